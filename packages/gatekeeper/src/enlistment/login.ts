// Admits a device by its ownership proof: the same gate for every transport. Knows nothing of SASL, Noise or sockets.
// Source: docs/protocol/02 and 04 section 4.1.
import { hash } from 'node:crypto';
import { maxProofLifetimeSeconds, type ProofTransport } from '@drawbridge/identity/ownership-proof';
import type { ProofErrorCode } from '@drawbridge/identity/proof-errors';
import {
  type ClaimedDevice,
  type ProofVerdict,
  verifyOwnershipProof,
} from '@drawbridge/identity/verify-ownership-proof';
import type { Registry } from '../providers/registry.ts';
import type { Account, Accounts, Device } from './account.ts';
import type { ProofIds } from './proof-ids.ts';
import type { SeenTimes } from './seen-times.ts';
import { createUsedProofs } from './used-proofs.ts';

/** For the operator's log; the peer learns one word (docs/protocol/02). */
export type LoginErrorCode =
  | ProofErrorCode
  | 'provider-suspended'
  | 'device-key-mismatch'
  | 'account-unknown'
  /** Storage could not be read: nothing is known of the account. */
  | 'account-unread'
  | 'account-suspended'
  /** The provider has said since that the person's credentials were in wrong hands. */
  | 'proof-outdated'
  | 'device-unknown';

export type LoginContext = {
  readonly transport: 'xmpp' | 'compact';
  /** Thumbprint of the static key that the Noise handshake has proven; needed on the compact transport. */
  readonly deviceKeyThumbprint?: string;
  readonly nowMs: number;
};

export type LoginResult =
  | {
      readonly kind: 'admitted';
      readonly account: Account;
      readonly device: Device;
      /** The provider's key that vouched for it. */
      readonly keyThumbprint: string;
      readonly proofExpiresAtMs: number;
    }
  | { readonly kind: 'refused'; readonly code: LoginErrorCode };

export type Login = {
  /**
   * Verifies the proof, uses it up, and names the account and device it is for. Never rejects.
   *
   * What is admitted was true when the promise resolved: look the account up again when the stream is registered, so
   * that a suspension or removal in between is not missed.
   */
  readonly authenticate: (token: string, context: LoginContext) => Promise<LoginResult>;
};

export type VerifyProof = (
  token: string,
  transport: ProofTransport,
  nowMs: number,
  /** Thumbprint of the key that the connection has proven, where it has. */
  provenKey?: string,
) => Promise<ProofVerdict>;

/** Ownership proofs for this gatekeeper; ids are taken once, in durable storage, as hashes. */
export function createProofVerifier(deps: {
  readonly audience: string;
  readonly registry: Registry;
  readonly proofIds: ProofIds;
  readonly seenTimes: SeenTimes;
  readonly monotonicMs: () => number;
  readonly accounts: Pick<Accounts, 'findByIdentifier'>;
  /** Everybody hears that a provider's keys are not at hand: for development. */
  readonly tellsStrangers: boolean;
}): VerifyProof {
  const { audience, registry, accounts, tellsStrangers } = deps;
  const usedProofs = createUsedProofs(deps.proofIds, deps.monotonicMs);
  const knows = async ({ providerNumber, subject, jkt }: ClaimedDevice): Promise<boolean> => {
    // What can't be read knows nobody.
    const account = await accounts.findByIdentifier(providerNumber, subject).catch(() => undefined);
    return account?.devices.some(known => known.thumbprint === jkt) === true;
  };
  return (token, transport, nowMs, provenKey) => {
    deps.seenTimes.note(nowMs, deps.monotonicMs());
    return verifyOwnershipProof(token, {
      audience,
      nowMs,
      maxLifetimeSeconds: maxProofLifetimeSeconds[transport],
      issuers: registry.issuers,
      takeProofId: ({ issuer, jti, expiresAtMs }) => {
        // An issuer is a URL and holds no line break: no two pairs share a hash.
        return usedProofs.take(hash('sha256', `${issuer}\n${jti}`, 'buffer'), expiresAtMs);
      },
      ...(!tellsStrangers && {
        knowsDevice: async claimed => (provenKey ?? claimed.jkt) === claimed.jkt && (await knows(claimed)),
      }),
    });
  };
}

function refused(code: LoginErrorCode): LoginResult {
  return { kind: 'refused', code };
}

export function createLogin(deps: {
  readonly verifyProof: VerifyProof;
  readonly accounts: Accounts;
  readonly registry: Registry;
  /** Called once for each login, with its outcome alone. */
  readonly onDecided?: (outcome: 'admitted' | LoginErrorCode) => void;
}): Login {
  const { verifyProof, accounts, registry } = deps;

  async function decide(token: string, context: LoginContext): Promise<LoginResult> {
    const { transport, deviceKeyThumbprint, nowMs } = context;
    const verdict = await verifyProof(token, transport, nowMs, deviceKeyThumbprint);
    if (verdict.kind === 'refused') return verdict;
    const { proof } = verdict;
    const bound = transport === 'compact' || deviceKeyThumbprint !== undefined;
    if (bound && deviceKeyThumbprint !== proof.jkt) return refused('device-key-mismatch');
    if (!registry.isLive(proof.providerNumber)) return refused('provider-suspended');
    let account: Account | undefined;
    try {
      account = await accounts.findByIdentifier(proof.providerNumber, proof.subject);
    } catch {
      return refused('account-unread');
    }
    // Again after the last wait.
    if (!registry.isLive(proof.providerNumber)) return refused('provider-suspended');
    if (account === undefined) return refused('account-unknown');
    if (account.status !== 'active') return refused('account-suspended');
    if (proof.issuedAtMs < account.proofsFromMs) return refused('proof-outdated');
    const device = account.devices.find(known => known.thumbprint === proof.jkt);
    if (device === undefined) return refused('device-unknown');
    return {
      kind: 'admitted',
      account,
      device,
      keyThumbprint: proof.keyThumbprint,
      proofExpiresAtMs: proof.expiresAtMs,
    };
  }

  return {
    async authenticate(token, context) {
      const result = await decide(token, context);
      deps.onDecided?.(result.kind === 'refused' ? result.code : 'admitted');
      return result;
    },
  };
}
