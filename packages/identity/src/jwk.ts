// Signing and verification keys as JSON Web Keys: making, storing, publishing and reading them, and thumbprints.
// Knows nothing of tokens, issuers or where keys are kept.
// Source: RFC 7517 (JWK), RFC 7518 section 6.2 (EC), RFC 8037 (OKP), RFC 7638 (thumbprint).

import assert from 'node:assert/strict';
import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { isJsonObject, type JsonObject } from './strict-json.ts';

/** The whole allow-list of signature algorithms. It belongs to the verifier, never to a token. */
export type SignatureAlgorithm = 'ES256' | 'EdDSA';

/** A private key that signs with exactly one algorithm. */
export type SigningKey = {
  readonly kid: string;
  readonly algorithm: SignatureAlgorithm;
  readonly privateKey: KeyObject;
};

/** A public key that verifies exactly one algorithm. */
export type VerificationKey = {
  readonly kid: string;
  /** RFC 7638: of the key itself, whatever it is called. */
  readonly thumbprint: string;
  readonly algorithm: SignatureAlgorithm;
  readonly publicKey: KeyObject;
};

/** What a key set publishes of a signing key. */
export type PublicSigningJwk = {
  readonly kty: 'EC' | 'OKP';
  readonly crv: 'P-256' | 'Ed25519';
  readonly x: string;
  readonly y?: string;
  readonly kid: string;
  readonly alg: SignatureAlgorithm;
  readonly use: 'sig';
};

/** A signing key as it is written to a file of mode 0600. Never published. */
export type PrivateSigningJwk = PublicSigningJwk & { readonly d: string };

/** Why a JWK isn't used: `private-key-published` deserves an alarm, the others only mean "not for us". */
export type KeyErrorCode = 'key-refused' | 'key-of-other-kind' | 'private-key-published';

/** For each algorithm its one key type; the table is what keeps a token of one from meeting a key of the other. */
const algorithms = {
  ES256: { kty: 'EC', crv: 'P-256', asymmetricKeyType: 'ec', coordinates: ['x', 'y'] },
  EdDSA: { kty: 'OKP', crv: 'Ed25519', asymmetricKeyType: 'ed25519', coordinates: ['x'] },
} as const;

const privateMembers = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k'];

/** 32 bytes in canonical base64url: the last character carries four bits, so only every fourth letter can end it. */
const base64url32 = /^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/;

/** True for the syntax of an RFC 7638 SHA-256 thumbprint: canonical base64url of 32 bytes. */
export function isThumbprint(value: unknown): value is string {
  return typeof value === 'string' && base64url32.test(value);
}

/** A key id: 1..128 printable ASCII characters. */
export function isKeyId(value: unknown): value is string {
  return typeof value === 'string' && /^[\x21-\x7e]{1,128}$/.test(value);
}

/** RFC 7638 SHA-256 thumbprint of a raw X25519 public key of 32 bytes: the `jkt` that names a device key. */
export function thumbprintX25519(publicKey: Uint8Array): string {
  assert(publicKey.length === 32, 'an X25519 public key has 32 bytes');
  return thumbprint({ crv: 'X25519', kty: 'OKP', x: Buffer.from(publicKey).toString('base64url') });
}

/** Makes a signing key. Its key id is its own thumbprint, so two keys never share one. */
export function generateSigningKey(algorithm: SignatureAlgorithm): SigningKey {
  const { privateKey } =
    algorithm === 'ES256' ? generateKeyPairSync('ec', { namedCurve: 'P-256' }) : generateKeyPairSync('ed25519');
  return { kid: keyThumbprint(privateKey), algorithm, privateKey };
}

/** The public half, as it stands in a key set. */
export function publicJwk(key: SigningKey): PublicSigningJwk {
  const { kty, crv } = algorithms[key.algorithm];
  const exported = createPublicKey(key.privateKey).export({ format: 'jwk' });
  const y = exported.y === undefined ? {} : { y: exported.y };
  return { kty, crv, x: exported.x ?? '', ...y, kid: key.kid, alg: key.algorithm, use: 'sig' };
}

/** The verification key that belongs to a signing key of one's own. */
export function verificationKey(key: SigningKey): VerificationKey {
  const publicKey = createPublicKey(key.privateKey);
  return { kid: key.kid, thumbprint: keyThumbprint(publicKey), algorithm: key.algorithm, publicKey };
}

/** The whole key, for a file of mode 0600. */
export function exportSigningKey(key: SigningKey): PrivateSigningJwk {
  return { ...publicJwk(key), d: key.privateKey.export({ format: 'jwk' }).d ?? '' };
}

/** Reads a signing key that `exportSigningKey` wrote; `key-refused` when anything about it is wrong. */
export function importSigningKey(
  jwk: unknown,
): { readonly kind: 'imported'; readonly key: SigningKey } | { readonly kind: 'refused'; readonly code: KeyErrorCode } {
  if (!isJsonObject(jwk) || !isKeyId(jwk['kid'])) return { kind: 'refused', code: 'key-refused' };
  const algorithm = algorithmOf(jwk);
  if (algorithm === undefined) return { kind: 'refused', code: 'key-of-other-kind' };
  try {
    const privateKey = createPrivateKey({ key: keyMembers(jwk, algorithm, ['d']), format: 'jwk' });
    return { kind: 'imported', key: { kid: jwk['kid'], algorithm, privateKey } };
  } catch {
    return { kind: 'refused', code: 'key-refused' };
  }
}

/** The private key as PKCS #8 PEM (RFC 5958), for tools that read no JWK. */
export function exportSigningKeyPem(key: SigningKey): string {
  return key.privateKey.export({ format: 'pem', type: 'pkcs8' });
}

/** Reads a PKCS #8 PEM key on P-256 or Ed25519; without `kid` it is named by its thumbprint. */
export function importSigningKeyPem(
  pem: string,
  kid?: string,
): { readonly kind: 'imported'; readonly key: SigningKey } | { readonly kind: 'refused'; readonly code: KeyErrorCode } {
  let privateKey: KeyObject;
  try {
    privateKey = createPrivateKey({ key: pem, format: 'pem' });
  } catch {
    return { kind: 'refused', code: 'key-refused' };
  }
  const algorithm = privateKey.asymmetricKeyType === 'ed25519' ? 'EdDSA' : 'ES256';
  const fits =
    privateKey.asymmetricKeyType === 'ed25519' ||
    (privateKey.asymmetricKeyType === 'ec' && privateKey.asymmetricKeyDetails?.namedCurve === 'prime256v1');
  if (!fits) return { kind: 'refused', code: 'key-of-other-kind' };
  const name = kid ?? keyThumbprint(privateKey);
  if (!isKeyId(name)) return { kind: 'refused', code: 'key-refused' };
  return { kind: 'imported', key: { kid: name, algorithm, privateKey } };
}

/**
 * Reads a public key out of somebody else's key set.
 *
 * `key-of-other-kind`: a good key for something else (RSA, encryption, another curve, a foreign `alg` or `key_ops`).
 * `private-key-published`: private members stand in a public place, so the key is anybody's.
 * `key-refused`: no key id, wrong types, non-canonical base64url, or a point that isn't on the curve.
 */
export function importVerificationKey(
  jwk: unknown,
):
  | { readonly kind: 'imported'; readonly key: VerificationKey }
  | { readonly kind: 'refused'; readonly code: KeyErrorCode } {
  if (!isJsonObject(jwk)) return { kind: 'refused', code: 'key-refused' };
  if (privateMembers.some(member => Object.hasOwn(jwk, member))) {
    return { kind: 'refused', code: 'private-key-published' };
  }
  const algorithm = algorithmOf(jwk);
  if (algorithm === undefined) return { kind: 'refused', code: 'key-of-other-kind' };
  if (!isKeyId(jwk['kid'])) return { kind: 'refused', code: 'key-refused' };
  try {
    const publicKey = createPublicKey({ key: keyMembers(jwk, algorithm, []), format: 'jwk' });
    return { kind: 'imported', key: { kid: jwk['kid'], thumbprint: keyThumbprint(publicKey), algorithm, publicKey } };
  } catch {
    return { kind: 'refused', code: 'key-refused' };
  }
}

/** The one algorithm that a JWK is for, by type and curve; `undefined` when `use`, `key_ops` or `alg` say otherwise. */
function algorithmOf(jwk: JsonObject): SignatureAlgorithm | undefined {
  for (const algorithm of ['ES256', 'EdDSA'] as const) {
    const { kty, crv } = algorithms[algorithm];
    if (jwk['kty'] !== kty || jwk['crv'] !== crv) continue;
    if (jwk['use'] !== undefined && jwk['use'] !== 'sig') return undefined;
    if (jwk['alg'] !== undefined && jwk['alg'] !== algorithm) return undefined;
    const operations = jwk['key_ops'];
    if (operations !== undefined && !(Array.isArray(operations) && operations.includes('verify'))) return undefined;
    return algorithm;
  }
  return undefined;
}

/** Only what the algorithm needs goes to node:crypto; throws when a coordinate isn't 32 canonical bytes. */
function keyMembers(jwk: JsonObject, algorithm: SignatureAlgorithm, more: readonly string[]): Record<string, string> {
  const { kty, crv, coordinates } = algorithms[algorithm];
  const members: Record<string, string> = { kty, crv };
  for (const name of [...coordinates, ...more]) {
    const value = jwk[name];
    assert(isThumbprint(value), 'a coordinate has 32 bytes');
    members[name] = value;
  }
  return members;
}

function keyThumbprint(key: KeyObject): string {
  const publicKey = key.type === 'public' ? key : createPublicKey(key);
  const { crv, kty, x, y } = publicKey.export({ format: 'jwk' });
  return thumbprint(y === undefined ? { crv, kty, x } : { crv, kty, x, y });
}

/** RFC 7638 section 3: the required members alone, in lexicographic order, without white space. */
function thumbprint(requiredMembersInOrder: object): string {
  return createHash('sha256').update(JSON.stringify(requiredMembersInOrder)).digest('base64url');
}
