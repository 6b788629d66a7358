// The gatekeeper's keys for the compact transport: a long-term signing key, which clients pin, and Noise static keys,
// which it certifies and which are replaced now and then. Kept in one file of mode 0600; beside it lies the backup key that
// may follow the signing key, until the operator takes it away.
// Knows nothing of connections. Source: docs/protocol/05-compact.md section 5.3, 08-noise.md section 8.4.
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { chmodSync, existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { signOffer } from '@drawbridge/identity/signed-offer';
import type { JsonObject } from '@drawbridge/identity/strict-json';
import {
  encodeSigningKey,
  type SignedSigningKey,
  signStatement,
  successionLimits,
} from '@drawbridge/identity/signing-key-succession';
import { type CertifiedStaticKey, certifyStaticKey } from '@drawbridge/identity/static-key-certificate';
import type { KeyPair } from '@drawbridge/noise/crypto';
import { generatePrivateKey } from '@drawbridge/noise/node-crypto';
import { platformCrypto } from '@drawbridge/noise/platform-crypto';

/** How long a static key is the current one, and how long its certificate is valid: clients that know it may return. */
export const staticKeyUseMs = 30 * 86_400_000;
export const staticKeyValidMs = 90 * 86_400_000;
/** Clocks of clients may be behind. */
const backdateMs = 86_400_000;
/** The current static key and those before it that clients may still know. */
const maxStaticKeys = 3;

type StoredStatic = { readonly privateKey: string; readonly notBefore: number; readonly notAfter: number };
type StoredKeys = {
  readonly version: 1;
  readonly signingKey: string;
  readonly staticKeys: readonly StoredStatic[];
  /** Absent from files of 0.1.0. */
  readonly succession?: readonly SignedSigningKey[];
};

export type CompactKeys = {
  /** The long-term key as clients pin it: a JWK of an Ed25519 public key. */
  readonly signingJwk: { readonly kty: 'OKP'; readonly crv: 'Ed25519'; readonly x: string };
  /** Signs the reference offer with the long-term key. */
  readonly signOffer: (offer: JsonObject, issuer: string, issuedAtSeconds: number) => string;
  /** The current static key, then earlier ones still valid. */
  readonly staticKeyPairs: readonly [KeyPair, ...KeyPair[]];
  /** Certifies the current one. */
  readonly certificate: CertifiedStaticKey;
  /** What leads those who pinned an earlier key to this one; oldest first. */
  readonly succession: readonly SignedSigningKey[];
};

/** The file can't be used; the message says what to do. */
export class CompactKeysError extends Error {
  readonly code = 'compact-keys-unusable';
}

/**
 * Reads the keys, or makes them; replaces the static key when its time is over. Call it again now and then, for a process
 * may run for longer than that. Throws when the file can't be used.
 */
export function loadCompactKeys(file: string, domain: string, nowMs: number): CompactKeys {
  const stored = readStored(file) ?? newStored(file);
  // One that was made by a clock that was ahead would be refused by every client until its time has come.
  const valid = stored.staticKeys.filter(key => key.notAfter * 1_000 > nowMs && key.notBefore * 1_000 <= nowMs);
  const current = valid[0];
  const isDue = current === undefined || current.notAfter * 1_000 - nowMs < staticKeyValidMs - staticKeyUseMs;
  if (stored.succession === undefined) {
    const key = importSigningKey(file, stored.signingKey);
    return follow(file, domain, { ...stored, staticKeys: valid }, { key, by: [key], isStaticDue: isDue }, nowMs);
  }
  settleBackupKey(file, stored.succession);
  if (!isDue) return compactKeysOf(file, domain, { ...stored, staticKeys: valid });
  return replaceStaticKey(file, domain, { ...stored, staticKeys: valid }, nowMs);
}

/** What is wrong with the file, in words; undefined when it is good, or there is none yet. Changes nothing. */
export function compactKeysFault(file: string, domain: string): string | undefined {
  try {
    const stored = readStored(file);
    if (stored === undefined) needNothingPinned(file);
    else compactKeysOf(file, domain, stored);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : damaged(file).message;
  }
}

/**
 * Replaces the static key now. `forget` drops the earlier ones too, when one may have been stolen: clients that know them
 * then log in by XXfallback, one round trip more. Throws as `loadCompactKeys` does.
 */
export function rotateCompactKeys(file: string, domain: string, nowMs: number, forget = false): CompactKeys {
  const stored = readStored(file);
  if (stored?.succession === undefined) return loadCompactKeys(file, domain, nowMs);
  const kept = forget ? [] : stored.staticKeys.filter(key => key.notAfter * 1_000 > nowMs);
  return replaceStaticKey(file, domain, { ...stored, staticKeys: kept }, nowMs);
}

/**
 * Puts the backup key in force as the signing key, and makes another backup key in the data folder. Clients that pinned either
 * key follow; the key before need not be there. Static keys are fresh too, since they lie with it. Throws `CompactKeysError`,
 * with nothing changed, when `backupFile` does not hold the key that clients know.
 */
export function rotateSigningKey(file: string, domain: string, nowMs: number, backupFile?: string): CompactKeys {
  const stored = readStored(file);
  const from = backupFile ?? backupFileOf(file);
  const key = readBackupKey(from);
  const known = stored?.succession?.at(-1)?.backupKey;
  if (known !== undefined && encodeSigningKey(key) !== known) {
    throw new CompactKeysError(`${from} is not the backup key that clients know: look for one made ${madeAt(stored!)}`);
  }
  const before = stored === undefined ? [] : [importSigningKey(file, stored.signingKey)];
  const kept: StoredKeys = { ...(stored ?? { version: 1, signingKey: '' }), staticKeys: [] };
  return follow(file, domain, kept, { key, by: [key, ...before], isStaticDue: true }, nowMs);
}

/** From now on `key` signs, and a fresh backup key may follow it. A crash leaves the state before or after. */
function follow(
  file: string,
  domain: string,
  stored: StoredKeys,
  {
    key,
    by,
    isStaticDue,
  }: { readonly key: KeyObject; readonly by: readonly KeyObject[]; readonly isStaticDue: boolean },
  nowMs: number,
): CompactKeys {
  const backup = generateKeyPairSync('ed25519').privateKey;
  const succession = stored.succession ?? [];
  const since = Math.max(Math.floor(nowMs / 1_000), (succession.at(-1)?.since ?? 0) + 1);
  const statement = { since, signingKey: encodeSigningKey(key), backupKey: encodeSigningKey(backup) };
  const next: StoredKeys = {
    ...stored,
    signingKey: encodePrivate(key),
    succession: [...succession, signStatement(domain, statement, by)].slice(-successionLimits.maxStatements),
  };
  writeSecret(`${backupFileOf(file)}.next`, { version: 1, backupKey: encodePrivate(backup) });
  const keys = isStaticDue ? replaceStaticKey(file, domain, next, nowMs) : compactKeysOf(file, domain, next);
  if (!isStaticDue) writeSecret(file, next);
  settleBackupKey(file, next.succession!);
  return keys;
}

function replaceStaticKey(file: string, domain: string, stored: StoredKeys, nowMs: number): CompactKeys {
  const fresh: StoredStatic = {
    privateKey: Buffer.from(generatePrivateKey()).toString('base64'),
    notBefore: Math.floor((nowMs - backdateMs) / 1_000),
    notAfter: Math.floor((nowMs + staticKeyValidMs) / 1_000),
  };
  const replaced = { ...stored, staticKeys: [fresh, ...stored.staticKeys].slice(0, maxStaticKeys) };
  const keys = compactKeysOf(file, domain, replaced);
  writeSecret(file, replaced);
  return keys;
}

function compactKeysOf(file: string, domain: string, stored: StoredKeys): CompactKeys {
  const signingKey = importSigningKey(file, stored.signingKey);
  const pairs = stored.staticKeys.map(key =>
    platformCrypto.keyPairFromPrivateKey(Buffer.from(key.privateKey, 'base64')),
  );
  const [first, ...rest] = pairs.filter(pair => pair !== undefined);
  if (first === undefined || rest.length + 1 < pairs.length) throw damaged(file);
  const { notBefore, notAfter } = stored.staticKeys[0]!;
  const { x } = createPublicKey(signingKey).export({ format: 'jwk' });
  return {
    signingJwk: { kty: 'OKP', crv: 'Ed25519', x: x! },
    signOffer: (offer, issuer, issuedAtSeconds) =>
      signOffer({ kid: x!, algorithm: 'EdDSA', privateKey: signingKey }, offer, issuer, issuedAtSeconds),
    staticKeyPairs: [first, ...rest],
    certificate: certifyStaticKey(domain, { publicKey: first.publicKey, notBefore, notAfter }, signingKey),
    succession: stored.succession ?? [],
  };
}

export function backupFileOf(file: string): string {
  return join(dirname(file), 'compact-backup-key.json');
}

/** The backup key that the last statement names takes its place; a crash may have left it beside. */
function settleBackupKey(file: string, succession: readonly SignedSigningKey[]): void {
  const next = `${backupFileOf(file)}.next`;
  if (!existsSync(next)) return;
  if (encodeSigningKey(readBackupKey(next)) === succession.at(-1)?.backupKey) renameSync(next, backupFileOf(file));
}

function readBackupKey(file: string): KeyObject {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    throw new CompactKeysError(`${file} can't be read: name the file with the backup key that was taken away`);
  }
  try {
    const { backupKey } = JSON.parse(text) as { backupKey?: unknown };
    if (typeof backupKey === 'string') return importSigningKey(file, backupKey);
  } catch {
    // Falls through.
  }
  throw new CompactKeysError(`${file} holds no backup key: name the file that was taken away`);
}

function madeAt({ succession }: StoredKeys): string {
  return new Date((succession?.at(-1)?.since ?? 0) * 1_000).toISOString();
}

/** Throws when the file is lost: whoever pinned its key follows the backup key alone. */
function needNothingPinned(file: string): void {
  if (!existsSync(backupFileOf(file))) return;
  const next = 'restore it from a backup, or run `drawbridge gatekeeper rotate-signing-key`';
  throw new CompactKeysError(`${file} is gone, and clients have pinned its key: ${next}`);
}

function newStored(file: string): StoredKeys {
  needNothingPinned(file);
  return { version: 1, signingKey: encodePrivate(generateKeyPairSync('ed25519').privateKey), staticKeys: [] };
}

function readStored(file: string): StoredKeys | undefined {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const stored = JSON.parse(text) as StoredKeys;
    if (stored.version === 1 && typeof stored.signingKey === 'string' && Array.isArray(stored.staticKeys))
      return stored;
  } catch {
    // Falls through: a new long-term key would lock out every client that pinned the old one, so none is made.
  }
  throw damaged(file);
}

function damaged(file: string): CompactKeysError {
  const next = 'restore it from a backup, or move it away and run `drawbridge gatekeeper rotate-signing-key`';
  return new CompactKeysError(`${file} is damaged: ${next}`);
}

function writeSecret(file: string, keys: StoredKeys | { readonly version: 1; readonly backupKey: string }): void {
  const temporary = `${file}.new`;
  writeFileSync(temporary, `${JSON.stringify(keys, undefined, 2)}\n`, { mode: 0o600, flush: true });
  chmodSync(temporary, 0o600);
  renameSync(temporary, file);
}

function encodePrivate(key: KeyObject): string {
  return key.export({ format: 'der', type: 'pkcs8' }).toString('base64');
}

function importSigningKey(file: string, pkcs8: string): KeyObject {
  try {
    const key = createPrivateKey({ key: Buffer.from(pkcs8, 'base64'), format: 'der', type: 'pkcs8' });
    if (key.asymmetricKeyType === 'ed25519') return key;
  } catch {
    // Falls through.
  }
  throw damaged(file);
}
