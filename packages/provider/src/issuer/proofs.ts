// Issues ownership proofs for people of this provider, who were authenticated before. Knows nothing of HTTP or sessions.
// Source: docs/protocol/02.

import { randomBytes } from 'node:crypto';
import { issueOwnershipProof } from '@drawbridge/identity/issue-ownership-proof';
import { isThumbprint, type SigningKey } from '@drawbridge/identity/jwk';
import {
  isUserIdentifier,
  issuedProofLifetimeSeconds,
  type ProofTransport,
} from '@drawbridge/identity/ownership-proof';
import type { UserDirectory } from '../directory/user-directory.ts';

export type WantedProof = { readonly audience: string; readonly jkt: string; readonly transport: ProofTransport };

export type ProofIssue =
  | { readonly kind: 'issued'; readonly proof: string; readonly expiresAtMs: number }
  | {
      readonly kind: 'refused';
      readonly code: 'audience-refused' | 'key-binding-refused' | 'identifier-refused' | 'identifier-unknown';
    };

export type ProofIssuerOptions = {
  readonly issuer: string;
  readonly signingKey: () => SigningKey;
  readonly audiences: ReadonlySet<string>;
  readonly directory: UserDirectory;
  readonly nowMs: () => number;
};

export function createProofIssuer(
  options: ProofIssuerOptions,
): (identifier: string, wanted: WantedProof) => Promise<ProofIssue> {
  const { directory, nowMs } = options;
  return async (identifier, wanted) => {
    if (!options.audiences.has(wanted.audience)) return { kind: 'refused', code: 'audience-refused' };
    if (!isThumbprint(wanted.jkt)) return { kind: 'refused', code: 'key-binding-refused' };
    if (!isUserIdentifier(identifier)) return { kind: 'refused', code: 'identifier-refused' };
    if (!(await directory.exists(identifier))) return { kind: 'refused', code: 'identifier-unknown' };
    const region = await directory.region?.(identifier);
    const issuedAtSeconds = Math.floor(nowMs() / 1000);
    const expiresAtSeconds = issuedAtSeconds + issuedProofLifetimeSeconds[wanted.transport];
    const proof = await issueOwnershipProof(options.signingKey(), {
      issuer: options.issuer,
      subject: identifier,
      audience: wanted.audience,
      jkt: wanted.jkt,
      issuedAtSeconds,
      expiresAtSeconds,
      jti: randomBytes(24).toString('base64url'),
      ...(region === undefined ? {} : { region }),
    });
    return { kind: 'issued', proof, expiresAtMs: expiresAtSeconds * 1000 };
  };
}
