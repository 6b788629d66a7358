// Ownership proofs from a provider that runs the kit; signs up when the account isn't there yet and that is wanted.
// Knows nothing of gatekeepers beyond the audience of a proof.
// Source: docs/protocol/02-ownership-proof.md.
import { ClientError } from '../errors.ts';
import type { ProofSource, ProviderSession } from './provider-session.ts';

/** `maySignUp` is asked when the provider refuses the sign-in. */
export function providerProofs(provider: ProviderSession | undefined, maySignUp: () => boolean): ProofSource {
  return async request => {
    if (provider === undefined) {
      throw new ClientError('invalid-argument', { detail: 'openClient needs `provider` or `proofSource`' });
    }
    try {
      return await provider.fetchProof(request);
    } catch (error) {
      const isMissing = error instanceof ClientError && error.code === 'sign-in-refused';
      if (!isMissing || !maySignUp()) throw error;
      await provider.signUp().catch((refusal: unknown) => {
        // It is there, so that the password was wrong.
        throw refusal instanceof ClientError && refusal.code === 'identifier-taken' ? error : refusal;
      });
      return provider.fetchProof(request);
    }
  };
}
