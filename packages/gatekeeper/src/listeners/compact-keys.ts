// The gatekeeper's keys for the compact transport: a long-term signing key, which clients pin, and Noise static keys,
// which it certifies and which are replaced now and then. Kept in one file of mode 0600.
// Knows nothing of connections. Source: docs/protocol/05-compact.md section 5.3.
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign, verify } from 'node:crypto';
import { chmodSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import type { KeyPair } from '@drawbridge/noise/crypto';
import { generatePrivateKey, keyPairFromPrivateKey } from '@drawbridge/noise/node-crypto';
import { certificateText, type StaticKeyCertificate } from '@drawbridge/stream/compact-login';

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
  readonly certificate: StaticKeyCertificate;
};

/** Reads the keys, or makes them; replaces the static key when its time is over. Throws when the file can't be used. */
export function loadCompactKeys(file: string, domain: string, nowMs: number): CompactKeys {
  const stored = readStored(file);
  const signingKey =
    stored === undefined ? generateKeyPairSync('ed25519').privateKey : importSigningKey(stored.signingKey);
  let staticKeys = (stored?.staticKeys ?? []).filter(key => key.notAfter * 1_000 > nowMs);
  const current = staticKeys[0];
  const due = current === undefined || current.notAfter * 1_000 - nowMs < staticKeyValidMs - staticKeyUseMs;
  if (due) {
    const fresh: StoredStatic = {
      privateKey: Buffer.from(generatePrivateKey()).toString('base64'),
      notBefore: Math.floor((nowMs - backdateMs) / 1_000),
      notAfter: Math.floor((nowMs + staticKeyValidMs) / 1_000),
    };
    staticKeys = [fresh, ...staticKeys].slice(0, maxStaticKeys);
    const signingPkcs8 = signingKey.export({ format: 'der', type: 'pkcs8' }).toString('base64');
    writeStored(file, { version: 1, signingKey: signingPkcs8, staticKeys });
  }
  const [first, ...rest] = staticKeys.map(key => keyPairFromPrivateKey(Buffer.from(key.privateKey, 'base64')));
  if (first === undefined || rest.includes(undefined)) throw new Error(`${file} is damaged: restore it from a backup`);
  const { notBefore, notAfter } = staticKeys[0]!;
  const unsigned = { publicKey: first.publicKey, notBefore, notAfter };
  const { x } = createPublicKey(signingKey).export({ format: 'jwk' });
  return {
    signingJwk: { kty: 'OKP', crv: 'Ed25519', x: x! },
    staticKeyPairs: [first, ...rest.filter(pair => pair !== undefined)],
    certificate: { ...unsigned, signature: sign(null, certificateText(domain, unsigned), signingKey) },
  };
}

/** Whether the pinned key signed this certificate for this domain and it is valid at `nowMs`. */
export function isCertified(
  certificate: StaticKeyCertificate,
  domain: string,
  pinned: KeyObject,
  nowMs: number,
): boolean {
  if (nowMs < certificate.notBefore * 1_000 || nowMs > certificate.notAfter * 1_000) return false;
  return verify(null, certificateText(domain, certificate), pinned, certificate.signature);
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
  throw new Error(`${file} is damaged: restore it from a backup, or remove it if no client has pinned its key yet`);
}

function writeStored(file: string, keys: StoredKeys): void {
  const temporary = `${file}.new`;
  writeFileSync(temporary, `${JSON.stringify(keys, undefined, 2)}\n`, { mode: 0o600, flush: true });
  chmodSync(temporary, 0o600);
  renameSync(temporary, file);
}

function importSigningKey(pkcs8: string): KeyObject {
  return createPrivateKey({ key: Buffer.from(pkcs8, 'base64'), format: 'der', type: 'pkcs8' });
}
