// What an application says when it opens a client, and what is checked before anything else happens.
// Knows nothing of stores or networks.
import { appendFileSync, readFileSync } from 'node:fs';
import type { MediaSessionSource } from './account/media-session.ts';
import type { ProofSource, ProviderAccount } from './account/provider-session.ts';
import type { Clock, Random } from './clock.ts';
import type { ConnectSocket } from './connection/connect-socket.ts';
import { type HttpTrust, isHttpsUrl } from './connection/http.ts';
import { parseRelay } from './connection/relay-tunnel.ts';
import { defaultTransports, type TransportName } from './connection/transports.ts';
import { ClientError } from './errors.ts';
import type { RowStorage } from './storage/row-storage.ts';
import type { KeySource } from './store/store-keys.ts';

export type ClientOptions = {
  /** Where everything is kept, encrypted. One client at a time. With `storage`: only files on their way, encrypted too. */
  readonly folder: string;
  /** Where rows are kept in place of the folder's SQLite file: sealed, in a storage of the app's own. */
  readonly storage?: RowStorage;
  /** What opens the folder; exactly one of the three. A key has 32 bytes. */
  readonly passphrase?: string;
  readonly key?: Uint8Array;
  readonly keyFile?: string;
  /** The gatekeeper's issuer URL, exactly as its reference offer names it (a slash at the end aside). */
  readonly gatekeeper: string;
  /** An account at a provider that runs the provider kit; `signUp` makes it when it isn't there. */
  readonly provider?: ProviderAccount & { readonly signUp?: boolean };
  /** For other providers: gives ownership proofs. */
  readonly proofSource?: ProofSource;
  /** Beside `proofSource`: the session for files, for a service that has a login of its own. */
  readonly mediaSession?: MediaSessionSource;
  /** Development: path of a PEM file, or PEM text, of the authority that is trusted instead of the system's. */
  readonly ca?: string;
  /** The transports to try, in order. */
  readonly transports?: readonly TransportName[];
  /**
   * A relay (`drawbridge relay`), `host:port`: the gatekeeper sees its address in place of this device's. What goes to the
   * provider goes there directly, unless it lies with the gatekeeper.
   */
  readonly relay?: string;
  /**
   * Opens the sockets of this client in place of the system: those of all transports, of HTTPS, and the one to a relay. What
   * goes through is under TLS or Noise.
   */
  readonly connectSocket?: ConnectSocket;
  /** Says that this is not a real person's device: allows `keyLogFile`. */
  readonly development?: boolean;
  /** Where the keys of compact sessions are written for `drawbridge inspect`; needs `development`. */
  readonly keyLogFile?: string;
  /** Whether senders learn that their messages have arrived. Default: yes. */
  readonly deliveryReceipts?: boolean;
  readonly clock?: Clock;
  readonly random?: Random;
};

export type CheckedOptions = {
  /** Without a slash at its end. */
  readonly gatekeeper: string;
  readonly trust: HttpTrust;
  /** Towards the provider, which knows the person anyway. */
  readonly providerTrust: HttpTrust;
  readonly keySource: KeySource;
};

const isText = (value: unknown): boolean => typeof value === 'string' && value !== '';
const isFlag = (value: unknown): boolean => typeof value === 'boolean';
const isFunction = (value: unknown): boolean => typeof value === 'function';
const isObject = (value: unknown): boolean => typeof value === 'object' && value !== null;

function isClock(value: unknown): boolean {
  const { nowMs, after } = (isObject(value) ? value : {}) as Partial<Record<keyof Clock, unknown>>;
  return isFunction(nowMs) && isFunction(after);
}

function isStorage(value: unknown): boolean {
  const { load, write, close } = (isObject(value) ? value : {}) as Partial<Record<keyof RowStorage, unknown>>;
  return isFunction(load) && isFunction(write) && isFunction(close);
}

function isTransports(value: unknown): boolean {
  const known: readonly unknown[] = defaultTransports;
  return Array.isArray(value) && value.length > 0 && value.every(each => known.includes(each));
}

/** What each member has to be, in words; the compiler sees to it that none is missing here. */
type Rule = readonly [(value: unknown) => boolean, string];
type Rules = Readonly<Record<string, Rule | undefined>>;
type Members<T> = { readonly [K in keyof Required<T>]: Rule };
const members: Members<ClientOptions> = {
  folder: [isText, 'is a path'],
  storage: [isStorage, 'is an object with load, write and close'],
  passphrase: [value => typeof value === 'string', 'is a text'],
  key: [value => value instanceof Uint8Array, 'is 32 bytes'],
  keyFile: [isText, 'is a path'],
  gatekeeper: [isText, 'is an https URL'],
  provider: [isObject, 'is an object with url, identifier and password'],
  proofSource: [isFunction, 'is a function that gives proofs'],
  mediaSession: [value => isFunction(value) || isObject(value), 'gives sessions for files'],
  ca: [isText, 'is a path, or PEM'],
  transports: [isTransports, `is a list of ${defaultTransports.join(', ')}`],
  relay: [value => typeof value === 'string' && parseRelay(value) !== undefined, 'is host:port of a relay'],
  connectSocket: [isFunction, 'is a function that opens a stream to host and port'],
  development: [isFlag, 'is true or false'],
  keyLogFile: [isText, 'is a path'],
  deliveryReceipts: [isFlag, 'is true or false'],
  clock: [isClock, 'is an object with nowMs and after'],
  random: [isFunction, 'is a function like Math.random'],
};
const providerMembers: Members<NonNullable<ClientOptions['provider']>> = {
  url: [isText, 'is an https URL'],
  identifier: [isText, 'is who one is at the provider'],
  password: [value => typeof value === 'string', 'is a text'],
  signUp: [isFlag, 'is true or false'],
};

/** Programs in plain JavaScript have no compiler to tell them of a name that is spelled wrong. */
function checkMembers(value: object, known: Rules, needed: readonly string[], path = ''): void {
  for (const [name, member] of Object.entries(value) as [string, unknown][]) {
    const rule = known[name];
    if (rule === undefined) {
      const detail = `${path}${name} is not known; known are ${Object.keys(known).join(', ')}`;
      throw new ClientError('invalid-argument', { detail });
    }
    if (member !== undefined && !rule[0](member)) {
      throw new ClientError('invalid-argument', { detail: `${path}${name} ${rule[1]}` });
    }
  }
  for (const name of needed) {
    if (Object.getOwnPropertyDescriptor(value, name)?.value !== undefined) continue;
    throw new ClientError('invalid-argument', { detail: `${path}${name} ${known[name]?.[1] ?? 'is missing'}` });
  }
}

/** Throws `invalid-argument`, which names the option. */
export function checkOptions(options: ClientOptions): CheckedOptions {
  if (!isObject(options)) throw new ClientError('invalid-argument', { detail: 'the options are an object' });
  checkMembers(options, members, ['folder', 'gatekeeper']);
  if (options.provider !== undefined) {
    checkMembers(options.provider, providerMembers, ['url', 'identifier', 'password'], 'provider.');
  }
  const gatekeeper = options.gatekeeper.replace(/\/+$/, '');
  if (!isHttpsUrl(gatekeeper)) throw new ClientError('invalid-argument', { detail: 'gatekeeper is an https URL' });
  if (options.keyLogFile !== undefined && options.development !== true) {
    throw new ClientError('invalid-argument', { detail: 'keyLogFile needs `development: true`' });
  }
  return { gatekeeper, ...trustOf(options, gatekeeper), keySource: keySource(options) };
}

function trustOf(options: ClientOptions, gatekeeper: string): Pick<CheckedOptions, 'trust' | 'providerTrust'> {
  const { connectSocket } = options;
  const trust = { ...(options.ca === undefined ? {} : { ca: readAuthority(options.ca) }), connectSocket };
  const relay = options.relay === undefined ? undefined : parseRelay(options.relay);
  if (relay === undefined) return { trust, providerTrust: trust };
  const onlyOrigin = new URL(gatekeeper).origin;
  return { trust: { ...trust, relay }, providerTrust: { ...trust, relay: { ...relay, onlyOrigin } } };
}

function keySource(options: ClientOptions): KeySource {
  const { passphrase, key, keyFile } = options;
  const given: KeySource[] = [];
  if (passphrase !== undefined && passphrase !== '') given.push({ kind: 'passphrase', passphrase });
  if (key !== undefined) given.push({ kind: 'key', key });
  if (keyFile !== undefined) given.push({ kind: 'key-file', path: keyFile });
  if (given.length === 1) return given[0]!;
  throw new ClientError('invalid-argument', { detail: 'give exactly one of passphrase, key, keyFile' });
}

function readAuthority(ca: string): string {
  if (ca.includes('-----BEGIN')) return ca;
  try {
    return readFileSync(ca, 'utf8');
  } catch (cause) {
    throw new ClientError('invalid-argument', { detail: `the file that ca names can't be read: ${ca}`, cause });
  }
}

/** Opens the file (mode 0600) and gives what writes a line to it. */
export function openKeyLog(file: string): (line: string) => void {
  try {
    appendFileSync(file, '', { mode: 0o600 });
  } catch (error) {
    throw new ClientError('invalid-argument', { detail: 'keyLogFile cannot be written', cause: error });
  }
  return line => {
    try {
      appendFileSync(file, `${line}\n`);
    } catch {
      // A disk that is full now must not end the stream: the line is missing, as the reader will see.
    }
  };
}
