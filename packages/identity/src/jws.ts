// JSON Web Signatures in compact form, strictly: one spelling per token, a closed header, two algorithms.
// Knows nothing of claims, issuers, key sets or time. No key and no address is ever taken from a token.
// Source: RFC 7515 sections 3, 5.2 and 7.1, RFC 7518 section 3.4, RFC 8037 section 3.1, RFC 8725 (JWT best practice).
// Why node:crypto and not a JOSE library: docs/decisions/0002.

import { sign, verify } from 'node:crypto';
import { isKeyId, type SignatureAlgorithm, type SigningKey, type VerificationKey } from './jwk.ts';
import { hasExactMembers, type JsonObject, parseStrictJson } from './strict-json.ts';

/** The longest token, in bytes, that is looked at (docs/protocol/02). */
export const maxTokenBytes = 8192;

/** Why a token is refused before anybody asks for its key. */
export type JwsErrorCode =
  | 'too-large'
  | 'not-compact'
  | 'encoding-refused'
  | 'json-refused'
  | 'header-refused'
  | 'type-refused'
  | 'algorithm-refused';

/** A token that is well-formed; nothing about it is proven yet. */
export type UnverifiedJws = {
  readonly kind: 'read';
  readonly algorithm: SignatureAlgorithm;
  readonly kid: string;
  readonly claims: JsonObject;
  readonly signingInput: Buffer;
  readonly signature: Buffer;
};

/** ES256 signatures are r and s of 32 bytes each (RFC 7518 section 3.4), not the DER that node:crypto makes alone. */
const digests = { ES256: 'sha256', EdDSA: null } as const;

/**
 * Takes a compact token apart. The header must be exactly `typ` (the given one), `kid` and `alg`.
 *
 * Nothing is fetched or verified here. Each part must be canonical base64url without padding, each JSON text UTF-8
 * without a byte-order mark and without a member named twice.
 */
export function readJws(
  token: string,
  typ: string,
  maxBytes = maxTokenBytes,
): UnverifiedJws | { readonly kind: 'refused'; readonly code: JwsErrorCode } {
  if (typeof token !== 'string') return refused('not-compact');
  // Characters first: a string of this length in UTF-16 units has at least as many bytes.
  if (token.length > maxBytes) return refused('too-large');
  const parts = token.split('.', 4);
  const [headerPart, claimsPart, signaturePart] = parts;
  if (parts.length !== 3 || !headerPart || !claimsPart || !signaturePart) return refused('not-compact');
  const headerBytes = decodeBase64url(headerPart);
  const claimsBytes = decodeBase64url(claimsPart);
  const signature = decodeBase64url(signaturePart);
  if (headerBytes === undefined || claimsBytes === undefined || signature === undefined) {
    return refused('encoding-refused');
  }
  const header = parseStrictJson(headerBytes);
  if (header.kind === 'refused') return header;
  const { alg, kid, typ: type } = header.value;
  if (alg !== 'ES256' && alg !== 'EdDSA') return refused('algorithm-refused');
  if (type !== typ) return refused('type-refused');
  if (!hasExactMembers(header.value, ['alg', 'kid', 'typ']) || !isKeyId(kid)) return refused('header-refused');
  const claims = parseStrictJson(claimsBytes);
  if (claims.kind === 'refused') return claims;
  return {
    kind: 'read',
    algorithm: alg,
    kid,
    claims: claims.value,
    signingInput: Buffer.from(`${headerPart}.${claimsPart}`, 'latin1'),
    signature,
  };
}

/**
 * True when the signature is the key's, over exactly these bytes and by the algorithm the key is for.
 * Synchronous on purpose: about 100 µs of CPU, less than the thread-pool hop around it costs (docs/decisions/0002).
 */
export function isSignedBy(jws: UnverifiedJws, key: VerificationKey): boolean {
  if (jws.algorithm !== key.algorithm || jws.signature.length !== 64) return false;
  return verify(
    digests[key.algorithm],
    jws.signingInput,
    { key: key.publicKey, dsaEncoding: 'ieee-p1363' },
    jws.signature,
  );
}

/** Signs claims into a compact token with the header `typ`, `kid`, `alg`. */
export function signJws(key: SigningKey, typ: string, claims: JsonObject): string {
  const header = encodeJson({ alg: key.algorithm, kid: key.kid, typ });
  const input = `${header}.${encodeJson(claims)}`;
  const options = { key: key.privateKey, dsaEncoding: 'ieee-p1363' } as const;
  const signature = sign(digests[key.algorithm], Buffer.from(input, 'latin1'), options);
  return `${input}.${signature.toString('base64url')}`;
}

function encodeJson(value: JsonObject): string {
  return Buffer.from(JSON.stringify(value), 'utf8').toString('base64url');
}

/** Canonical only: encoding the bytes again must give the same text, so no two tokens differ in spelling alone. */
function decodeBase64url(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64url');
  return bytes.toString('base64url') === text ? bytes : undefined;
}

function refused(code: JwsErrorCode): { readonly kind: 'refused'; readonly code: JwsErrorCode } {
  return { kind: 'refused', code };
}
