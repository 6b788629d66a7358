// What an application says when it opens a client, and what is checked before anything else happens.
// Knows nothing of stores or networks.
import { appendFileSync, readFileSync } from 'node:fs';
import type { MediaSessionSource } from './account/media-session.ts';
import type { ProofSource, ProviderAccount } from './account/provider-session.ts';
import type { Clock, Random } from './clock.ts';
import { type HttpTrust, isHttpsUrl } from './connection/http.ts';
import type { TransportName } from './connection/transports.ts';
import { ClientError } from './errors.ts';
import type { KeySource } from './store/store-keys.ts';

export type ClientOptions = {
  /** Where everything is kept, encrypted. One client at a time. */
  readonly folder: string;
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
  readonly keySource: KeySource;
};

/** Throws `invalid-argument`. */
export function checkOptions(options: ClientOptions): CheckedOptions {
  const { folder } = options as { readonly folder?: unknown };
  if (typeof folder !== 'string' || folder === '')
    throw new ClientError('invalid-argument', { detail: 'folder is a path' });
  if (typeof options.gatekeeper !== 'string')
    throw new ClientError('invalid-argument', { detail: 'gatekeeper is an https URL' });
  const gatekeeper = options.gatekeeper.replace(/\/+$/, '');
  if (!isHttpsUrl(gatekeeper)) throw new ClientError('invalid-argument', { detail: 'gatekeeper is an https URL' });
  if (options.keyLogFile !== undefined && options.development !== true) {
    throw new ClientError('invalid-argument', { detail: 'keyLogFile needs `development: true`' });
  }
  const ca = options.ca === undefined ? undefined : readAuthority(options.ca);
  return { gatekeeper, trust: ca === undefined ? {} : { ca }, keySource: keySource(options) };
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
