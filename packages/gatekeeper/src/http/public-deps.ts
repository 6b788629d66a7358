// What the rooms of the public HTTP interface are given, and where clients reach the listeners.
// Types alone.
import type { Config } from '../config-schema.ts';
import type { Control, ControlLog } from '../control.ts';
import type { AccountStore } from '../enlistment/account-store.ts';
import type { CompactKeys } from '../listeners/compact-keys.ts';

/** Where clients reach what is listening; absent ones don't listen. */
export type Endpoints = {
  readonly xmpp?: { readonly host: string; readonly port: number };
  readonly xmpps?: { readonly host: string; readonly port: number };
  readonly websocket?: string;
  readonly compact?: { readonly host: string; readonly port: number };
  readonly compactWebsocket?: string;
  readonly http: string;
};

export type PublicHttpDeps = {
  readonly config: Config;
  readonly control: Control;
  readonly people: AccountStore;
  readonly log: ControlLog;
  readonly nowMs: () => number;
  /** Asked at each request, so that listeners with port 0 may be named after they listen. */
  readonly endpoints: () => Endpoints;
  /** The keys of the compact transport; asked at each request, for they may be replaced. Absent without that transport. */
  readonly compactKeys?: () => Pick<CompactKeys, 'signingJwk' | 'succession' | 'signOffer'>;
};
