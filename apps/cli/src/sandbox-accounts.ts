// The sandbox's people: who there is, with which device key, in one file of JSON lines.
// Knows nothing of gatekeepers, providers or HTTP.
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { thumbprintX25519 } from '@drawbridge/identity/jwk';
import { keyPairFromPrivateKey } from '@drawbridge/noise/node-crypto';
import { isInteropId, parseJid } from '@drawbridge/wire/jid';
import { CommandError } from './command-error.ts';

/** An X25519 private key as RFC 8037 writes it; `d` and `x` are base64url of 32 bytes. */
export type DeviceKeyJwk = { readonly kty: 'OKP'; readonly crv: 'X25519'; readonly x: string; readonly d: string };

export type SandboxAccount = {
  /** `u0`, `u1`, …: the line's number in the file. */
  readonly account: string;
  /** Full JID. */
  readonly jid: string;
  readonly device: number;
  /** User-visible identifier at its provider. */
  readonly identifier: string;
  /** 1: the third party; 0: the gatekeeper's own users. */
  readonly provider: number;
  readonly deviceKey: DeviceKeyJwk;
};

/** What a thumbprint names in ownership proofs. */
export function deviceKeyThumbprint(key: DeviceKeyJwk): string {
  return thumbprintX25519(Buffer.from(key.x, 'base64url'));
}

/** Even accounts are the third party's, odd ones the gatekeeper's own users. */
export function sandboxProvider(index: number): 0 | 1 {
  return index % 2 === 0 ? 1 : 0;
}

/** The accounts in the order of their numbers; none when there is no file. Throws a CommandError for a damaged file. */
export function readAccounts(file: string): SandboxAccount[] {
  if (!existsSync(file)) return [];
  const lines = readFileSync(file, 'utf8').split('\n');
  if (lines.pop() !== '') throw damaged(file);
  return lines.map((line, index) => parseAccount(line, index) ?? fail(damaged(file)));
}

/** Replaces the file in one step, readable by its owner alone. */
export function writeAccounts(file: string, accounts: readonly SandboxAccount[]): void {
  const descriptor = openSync(`${file}.new`, 'w', 0o600);
  try {
    writeSync(descriptor, accounts.map(account => `${JSON.stringify(account)}\n`).join(''));
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
  renameSync(`${file}.new`, file);
}

function damaged(file: string): CommandError {
  return new CommandError(`${file} is damaged`, 'remove the data folder to start again, or name another with --data');
}

function fail(error: Error): never {
  throw error;
}

function parseAccount(line: string, index: number): SandboxAccount | undefined {
  try {
    const value = JSON.parse(line) as SandboxAccount;
    const { account, jid, device, identifier, provider, deviceKey } = value;
    const address = parseJid(jid);
    const fits =
      account === `u${index}` &&
      address !== undefined &&
      isInteropId(address.local) &&
      address.resource === String(device) &&
      typeof identifier === 'string' &&
      provider === sandboxProvider(index) &&
      deviceKey.kty === 'OKP' &&
      deviceKey.crv === 'X25519' &&
      publicHalf(deviceKey.d) === deviceKey.x;
    return fits ? value : undefined;
  } catch {
    return undefined;
  }
}

function publicHalf(d: string): string | undefined {
  const pair = keyPairFromPrivateKey(Buffer.from(d, 'base64url'));
  return pair === undefined ? undefined : Buffer.from(pair.publicKey).toString('base64url');
}
