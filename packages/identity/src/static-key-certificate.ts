// Certificates of Noise static keys: a gatekeeper's long-term key, which clients pin, says which static keys are its own.
// Knows nothing of handshakes, encodings or where keys are kept. Source: docs/protocol/05-compact.md section 5.3.
import { createPublicKey, type KeyObject, sign, verify } from 'node:crypto';

/** What is certified: a Noise static key (X25519, 32 bytes), for a time in whole seconds since 1970, both ends included. */
export type StaticKeyStatement = {
  readonly publicKey: Uint8Array;
  readonly notBefore: number;
  readonly notAfter: number;
};

/** With an Ed25519 signature (64 bytes) over `certificateText`. */
export type CertifiedStaticKey = StaticKeyStatement & { readonly signature: Uint8Array };

/** What is signed. The domain is inside: no gatekeeper's certificate serves another. */
function certificateText(domain: string, { publicKey, notBefore, notAfter }: StaticKeyStatement): Uint8Array {
  const key = Buffer.from(publicKey).toString('base64');
  return Buffer.from(`drawbridge static key 1\n${domain}\n${key}\n${notBefore}\n${notAfter}\n`, 'utf8');
}

/** Certifies a static key; `signingKey` is an Ed25519 private key. */
export function certifyStaticKey(
  domain: string,
  { publicKey, notBefore, notAfter }: StaticKeyStatement,
  signingKey: KeyObject,
): CertifiedStaticKey {
  const statement = { publicKey, notBefore, notAfter };
  return { ...statement, signature: sign(null, certificateText(domain, statement), signingKey) };
}

/** Whether the pinned Ed25519 key signed this certificate for this domain, and it is valid at `nowMs`. Never throws. */
export function isStaticKeyCertified(
  certificate: CertifiedStaticKey,
  domain: string,
  pinned: KeyObject,
  nowMs: number,
): boolean {
  const { notBefore, notAfter, signature } = certificate;
  if (nowMs < notBefore * 1_000 || nowMs > notAfter * 1_000) return false;
  return verify(null, certificateText(domain, certificate), pinned, signature);
}

/** The pinned key from `compactKeys.signingKey.x` of a reference offer: base64url of 32 bytes. Undefined when it is none. */
export function importPinnedKey(x: string): KeyObject | undefined {
  if (!/^[A-Za-z0-9_-]{43}$/.test(x)) return undefined;
  try {
    return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
  } catch {
    return undefined;
  }
}
