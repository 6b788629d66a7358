// What a provider is given, and what is wrong with it, said by the option's name. Knows nothing of what options do.

import type { IncomingMessage } from 'node:http';
import type { ExpiryClock } from '@drawbridge/identity/believed-clock';
import type { EgressOptions } from '@drawbridge/identity/egress';
import type { SignatureAlgorithm } from '@drawbridge/identity/jwk';
import type { UserDirectory } from './directory/user-directory.ts';
import type { EventHook } from './events/event-receiver.ts';
import type { KnownGatekeeper } from './events/gatekeeper-tokens.ts';
import { defaultMediaLimits, type MediaOptions } from './media-origin/media-options.ts';
import type { WakeUpHook } from './wake-ups/push-queue.ts';

/** One line for the operator. Never an identifier, token, key or address. */
export type ProviderLogEntry = { readonly event: string; readonly code: string };

export type ProviderOptions = {
  /** The issuer URL as registered with the gatekeepers: https, no slash at the end. Its path is where routes begin. */
  readonly issuer: string;
  /** The gatekeepers that proofs may be for, and wake-ups and events may come from. */
  readonly gatekeepers: readonly KnownGatekeeper[];
  /** The folder for keys and database, made with mode 0700; `:memory:` keeps everything in memory. */
  readonly dataFolder: string;
  /** The provider's own users; the embedded SQLite directory when left out. */
  readonly directory?: UserDirectory;
  /** Whether anybody may register through `POST /v1/users`. Closed when left out. */
  readonly registration?: 'open' | 'closed';
  /** For fetching gatekeepers' keys: what development networks allow. */
  readonly egress?: EgressOptions;
  readonly algorithm?: SignatureAlgorithm;
  /** Serves a media origin at `<issuer>/media`; none when left out. In memory it needs a folder of its own. */
  readonly media?: MediaOptions;
  /** Where routes begin when that isn't the issuer's path, behind a server that rewrites paths: '' or '/path'. */
  readonly pathPrefix?: string;
  /** The client's address, for attempt budgets; behind a reverse proxy, what its header says. */
  readonly clientAddress?: (request: IncomingMessage) => string;
  /** Called for each verified wake-up, and again after a pause when it rejects (`wake-ups/push-queue.ts`). */
  readonly onWakeUp?: WakeUpHook;
  /**
   * Called for each verified event that a gatekeeper posts to `<issuer>/v1/events` (chapter 10.5), at least once; told again when
   * it rejects. Left out: events are refused, and stay with the gatekeeper.
   */
  readonly onEvent?: EventHook;
  readonly log?: (entry: ProviderLogEntry) => void;
  /** Wall clock, for tests. */
  readonly nowMs?: () => number;
  /** By which what is kept grows old, where whoever embeds the provider has such a clock. */
  readonly expiry?: ExpiryClock;
};

/** An option that is missing, unknown or wrong. The message names it and says what to give. */
export class ProviderOptionsError extends Error {
  readonly code = 'options-refused';
  readonly option: string;
  constructor(option: string, message: string) {
    super(`${option}: ${message}`);
    this.option = option;
  }
}

/** Says what to give instead; undefined when the value is right. */
type Check = (value: unknown) => string | undefined;

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const text: Check = value => (typeof value === 'string' && value !== '' ? undefined : 'give a text');
const hook: Check = value => (typeof value === 'function' ? undefined : 'give a function');
const object: Check = value => (isObject(value) ? undefined : 'give an object');
const oneOf =
  (...values: readonly string[]): Check =>
  value =>
    typeof value === 'string' && values.includes(value) ? undefined : `give ${values.join(' or ')}`;

function baseUrl(value: unknown): string | undefined {
  const url = typeof value === 'string' && URL.canParse(value) ? new URL(value) : undefined;
  if (url === undefined || !['https:', 'http:'].includes(url.protocol))
    return 'give an https URL (http in development)';
  if (url.username !== '' || url.password !== '') return 'leave credentials out of the URL';
  return String(value).endsWith('/') || url.search !== '' || url.hash !== ''
    ? 'let the URL end with its path: no slash, query or fragment'
    : undefined;
}

function gatekeepers(value: unknown): string | undefined {
  if (!Array.isArray(value)) return "give a list such as [{ issuer: 'https://citadel.example' }]";
  const seen = new Set<unknown>();
  for (const each of value as readonly unknown[]) {
    if (!isObject(each)) return "give entries such as { issuer: 'https://citadel.example' }";
    const unknown = Object.keys(each).find(name => name !== 'issuer' && name !== 'keySetUrl');
    if (unknown !== undefined) return `an entry has no member ${unknown}: issuer and keySetUrl are known`;
    const wrong = baseUrl(each['issuer']);
    if (wrong !== undefined) return `issuer of an entry: ${wrong}`;
    const { keySetUrl } = each;
    if (keySetUrl !== undefined && !(typeof keySetUrl === 'string' && URL.canParse(keySetUrl))) {
      return 'keySetUrl is not a URL';
    }
    if (seen.has(each['issuer'])) return 'name each gatekeeper once';
    seen.add(each['issuer']);
  }
  return undefined;
}

const required = ['issuer', 'gatekeepers', 'dataFolder'] as const satisfies readonly (keyof ProviderOptions)[];

/** Every option, in the order of the operator's page, which a test compares with this table. */
export const optionChecks: Readonly<Record<keyof ProviderOptions, Check>> = {
  issuer: baseUrl,
  gatekeepers,
  dataFolder: text,
  directory: value =>
    isObject(value) && typeof value['authenticate'] === 'function' && typeof value['exists'] === 'function'
      ? undefined
      : 'give an object with the functions authenticate and exists',
  registration: oneOf('open', 'closed'),
  media: object,
  onWakeUp: hook,
  onEvent: hook,
  clientAddress: hook,
  pathPrefix: value =>
    typeof value === 'string' && /^(?:\/[^/?#]+)*$/.test(value) ? undefined : "give '' or a path such as '/kit'",
  algorithm: oneOf('ES256', 'EdDSA'),
  egress: object,
  log: hook,
  nowMs: hook,
  expiry: object,
};

export const mediaOptionChecks: Readonly<Record<keyof MediaOptions, Check>> = {
  limits: object,
  folder: text,
  store: object,
  reading: oneOf('url', 'closed'),
  url: baseUrl,
};

const count: Check = value =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? undefined : 'give a whole number';

/** Throws a ProviderOptionsError for the first option that is unknown, missing or wrong. */
export function checkProviderOptions(options: ProviderOptions): void {
  checkMembers('', options, optionChecks);
  for (const name of required) {
    if (options[name] === undefined) throw new ProviderOptionsError(name, 'is missing, and nothing works without it');
  }
  if (options.media === undefined) return;
  checkMembers('media.', options.media, mediaOptionChecks);
  const limitChecks = Object.fromEntries(Object.keys(defaultMediaLimits).map(name => [name, count]));
  checkMembers('media.limits.', options.media.limits ?? {}, limitChecks);
  if (options.dataFolder === ':memory:' && options.media.folder === undefined) {
    throw new ProviderOptionsError(
      'media.folder',
      'is missing: a media origin needs a folder when dataFolder is :memory:',
    );
  }
}

function checkMembers(prefix: string, given: object, checks: Readonly<Record<string, Check>>): void {
  for (const [name, value] of Object.entries(given)) {
    const check = Object.hasOwn(checks, name) ? checks[name] : undefined;
    if (check === undefined) {
      throw new ProviderOptionsError(prefix + name, `is unknown; known: ${Object.keys(checks).join(', ')}`);
    }
    const wrong = value === undefined ? undefined : check(value);
    if (wrong !== undefined) throw new ProviderOptionsError(prefix + name, wrong);
  }
}
