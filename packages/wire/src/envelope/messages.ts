// A message and the parts it has, as types, once it is parsed. Types alone.
// Source: docs/protocol/06-stanzas.md section 6.1.

import type { Jid, StanzaId } from '../jid.ts';

/** Inside a session: what is end-to-end encrypted. */
export type SessionKind = 'prekey' | 'session';
export type CiphertextKind = SessionKind | 'plaintext-retry';

/** One device's ciphertext: bytes, or the canonical base64 of them, whichever arrived. */
export type Ciphertext = {
  readonly deviceId: number;
  /** The registration id the sender expects of the device; undefined when it named none. */
  readonly registrationId: number | undefined;
  readonly kind: CiphertextKind;
  readonly payload: string | Uint8Array;
};

/** A commitment or a stamp: 32 bytes, or the canonical base64 of them, whichever arrived. */
export type Digest = string | Uint8Array;

/** The gatekeeper's word that it took a message with this commitment over at this time (section 10.4). */
export type Stamp = { readonly atMs: number; readonly mac: Digest };

/** A message that passed the gate. */
export type EnvelopeMessage = {
  readonly kind: 'envelope-message';
  /** `InteropId@domain` (all devices), or with a device id as resource (that device alone). */
  readonly to: Jid;
  /** The device that `to` names, or undefined when all are meant. */
  readonly toDevice: number | undefined;
  readonly id: StanzaId;
  readonly type: 'chat' | 'normal' | undefined;
  readonly suite: string;
  readonly fromDevice: number;
  /** What its sender commits to (section 10.4); undefined when it commits to nothing. */
  readonly commitment: Digest | undefined;
  /** 1..127 of them, each device once. */
  readonly ciphertexts: readonly Ciphertext[];
  /** All payloads together, as bytes. */
  readonly payloadBytes: number;
  readonly noStore: boolean;
  readonly silent: boolean;
};

/** What one device receives. */
export type DeviceMessage = {
  readonly kind: 'device-message';
  readonly from: Jid;
  readonly to: Jid;
  readonly id: StanzaId;
  readonly type: 'chat' | 'normal' | undefined;
  readonly suite: string;
  /** The sending device; always the resource of `from`. */
  readonly fromDevice: number;
  readonly commitment: Digest | undefined;
  /** Only beside a commitment. */
  readonly stamp: Stamp | undefined;
  readonly ciphertext: Ciphertext;
  readonly noStore: boolean;
  readonly silent: boolean;
  /** When the message was accepted, if it waited in the mailbox. */
  readonly delayedSince: string | undefined;
};
