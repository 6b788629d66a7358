// Every reason why an ownership proof is refused: for the operator's log only. Holds no personal data.
// Knows nothing of how the reason was found.
// Source: docs/protocol/02, last paragraphs.

import type { JwsErrorCode } from './jws.ts';

/** The closed list of reasons. */
export type ProofErrorCode =
  | JwsErrorCode
  | 'claim-set-refused'
  | 'issuer-unknown'
  | 'audience-refused'
  | 'subject-refused'
  | 'times-refused'
  | 'lifetime-too-long'
  | 'issued-in-future'
  | 'expired'
  | 'token-id-refused'
  | 'key-binding-refused'
  | 'region-refused'
  | 'key-unknown'
  | 'key-set-unavailable'
  | 'algorithm-key-mismatch'
  | 'signature-refused'
  | 'replayed'
  | 'replay-check-failed';

/** `level`: `info` is a stranger's or an old token, `warn` a broken or hostile provider, `error` our own side. */
export type ProofErrorEntry = {
  readonly level: 'info' | 'warn' | 'error';
  /** True when a fresh proof may well be accepted without anybody mending anything. */
  readonly retry: boolean;
  /** For the operator. */
  readonly text: string;
};

/** One entry for each code. */
export const proofErrors: Readonly<Record<ProofErrorCode, ProofErrorEntry>> = {
  'too-large': { level: 'info', retry: false, text: 'The token is longer than 8,192 bytes.' },
  'not-compact': { level: 'info', retry: false, text: 'The token is not three base64url parts (JWS compact form).' },
  'encoding-refused': {
    level: 'info',
    retry: false,
    text: 'Non-canonical base64url, bytes that are not UTF-8, or a byte-order mark.',
  },
  'json-refused': {
    level: 'info',
    retry: false,
    text: 'Header or claims are not one JSON object, or name a member twice.',
  },
  'header-refused': { level: 'info', retry: false, text: 'The header is not exactly alg, kid and typ.' },
  'type-refused': { level: 'info', retry: false, text: 'typ is not the one of an ownership proof.' },
  'algorithm-refused': { level: 'warn', retry: false, text: 'alg is neither ES256 nor EdDSA.' },
  'claim-set-refused': {
    level: 'warn',
    retry: false,
    text: 'A claim is missing, or one is there that is not in the list.',
  },
  'issuer-unknown': {
    level: 'info',
    retry: false,
    text: 'iss is not, character for character, a registered issuer that is live.',
  },
  'audience-refused': { level: 'warn', retry: false, text: 'aud is not this gatekeeper, as one string.' },
  'subject-refused': { level: 'warn', retry: false, text: 'sub is not a user-visible identifier (docs/protocol/01).' },
  'times-refused': { level: 'warn', retry: false, text: 'iat or exp is not whole seconds, or exp is not after iat.' },
  'lifetime-too-long': { level: 'warn', retry: false, text: 'exp - iat is longer than this transport allows.' },
  'issued-in-future': {
    level: 'warn',
    retry: true,
    text: 'iat lies more than 60 s ahead: compare the clocks of provider and gatekeeper.',
  },
  expired: { level: 'info', retry: true, text: 'exp has passed.' },
  'token-id-refused': { level: 'warn', retry: false, text: 'jti is not 16 to 64 characters of base64url.' },
  'key-binding-refused': { level: 'warn', retry: false, text: 'cnf is not exactly {jkt: SHA-256 thumbprint}.' },
  'region-refused': { level: 'warn', retry: false, text: 'region is there and is not "covered".' },
  'key-unknown': {
    level: 'info',
    retry: true,
    text: "kid is not in the issuer's key set, also after the refetch that was due.",
  },
  'key-set-unavailable': {
    level: 'error',
    retry: true,
    text: "The issuer's key set could not be fetched, or the last good one is older than 24 h.",
  },
  'algorithm-key-mismatch': { level: 'warn', retry: false, text: 'alg is not the one that the key is for.' },
  'signature-refused': { level: 'warn', retry: false, text: "The signature is not the key's." },
  replayed: { level: 'warn', retry: true, text: 'jti has been used before.' },
  'replay-check-failed': {
    level: 'error',
    retry: true,
    text: 'The store of used token ids did not answer; refused to be safe.',
  },
};
