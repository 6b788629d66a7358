// The gatekeeper's keys for the compact transport: a long-term signing key, which clients pin, and Noise static keys,
// which it certifies and which are replaced now and then. Kept in one file of mode 0600.
// Knows nothing of connections. Source: docs/protocol/05-compact.md section 5.3.
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { chmodSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
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
type StoredKeys = { readonly version: 1; readonly signingKey: string; readonly staticKeys: readonly StoredStatic[] };

export type CompactKeys = {
  /** The long-term key as clients pin it: a JWK of an Ed25519 public key. */
  readonly signingJwk: { readonly kty: 'OKP'; readonly crv: 'Ed25519'; readonly x: string };
  /** The current static key, then earlier ones still valid. */
  readonly staticKeyPairs: readonly [KeyPair, ...KeyPair[]];
  /** Certifies the current one. */
  readonly certificate: CertifiedStaticKey;
};

/**
 * Reads the keys, or makes them; replaces the static key when its time is over. Call it again now and then, for a process
 * may run for longer than that. Throws when the file can't be used.
 */
export function loadCompactKeys(file: string, domain: string, nowMs: number): CompactKeys {
  const stored = readStored(file);
  const valid = (stored?.staticKeys ?? []).filter(key => key.notAfter * 1_000 > nowMs);
  const current = valid[0];
  const isDue = current === undefined || current.notAfter * 1_000 - nowMs < staticKeyValidMs - staticKeyUseMs;
  if (stored !== undefined && !isDue) return compactKeysOf(file, domain, { ...stored, staticKeys: valid });
  return replaceStaticKey(
    file,
    domain,
    { version: 1, signingKey: stored?.signingKey ?? newSigningKey(), staticKeys: valid },
    nowMs,
  );
}

/**
 * Replaces the static key now. `forget` drops the earlier ones too, when one may have been stolen: clients that know them
 * then log in by XXfallback, one round trip more. Throws as `loadCompactKeys` does.
 */
export function rotateCompactKeys(file: string, domain: string, nowMs: number, forget = false): CompactKeys {
  const stored = readStored(file);
  if (stored === undefined) return loadCompactKeys(file, domain, nowMs);
  const kept = forget ? [] : stored.staticKeys.filter(key => key.notAfter * 1_000 > nowMs);
  return replaceStaticKey(file, domain, { ...stored, staticKeys: kept }, nowMs);
}

function replaceStaticKey(file: string, domain: string, stored: StoredKeys, nowMs: number): CompactKeys {
  const fresh: StoredStatic = {
    privateKey: Buffer.from(generatePrivateKey()).toString('base64'),
    notBefore: Math.floor((nowMs - backdateMs) / 1_000),
    notAfter: Math.floor((nowMs + staticKeyValidMs) / 1_000),
  };
  const replaced = { ...stored, staticKeys: [fresh, ...stored.staticKeys].slice(0, maxStaticKeys) };
  const keys = compactKeysOf(file, domain, replaced);
  writeStored(file, replaced);
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
    staticKeyPairs: [first, ...rest],
    certificate: certifyStaticKey(domain, { publicKey: first.publicKey, notBefore, notAfter }, signingKey),
  };
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

function damaged(file: string): Error {
  return new Error(`${file} is damaged: restore it from a backup, or remove it if no client has pinned its key yet`);
}

function writeStored(file: string, keys: StoredKeys): void {
  const temporary = `${file}.new`;
  writeFileSync(temporary, `${JSON.stringify(keys, undefined, 2)}\n`, { mode: 0o600, flush: true });
  chmodSync(temporary, 0o600);
  renameSync(temporary, file);
}

function newSigningKey(): string {
  const { privateKey } = generateKeyPairSync('ed25519');
  return privateKey.export({ format: 'der', type: 'pkcs8' }).toString('base64');
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
