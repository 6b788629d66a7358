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
        throw refusal instanceof ClientError ? whyNot(error, refusal) : refusal;
      });
      return provider.fetchProof(request);
    }
  };
}

/** Whoever mistyped a password should hear that, also when the provider would take none like it for a new account. */
function whyNot(signIn: ClientError, signUp: ClientError): ClientError {
  // It is there, so that the password was wrong.
  if (signUp.code === 'identifier-taken') return signIn;
  if (signUp.code !== 'provider-refused') return signUp;
  const detail = `nor could an account be made: ${signUp.detail ?? 'refused'}`;
  return new ClientError('sign-in-refused', { detail, cause: signUp });
}
