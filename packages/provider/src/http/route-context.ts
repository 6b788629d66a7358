// What the provider's routes are given, and what they share: the session of a request. Knows nothing of routes.

import type { PublicSigningJwk } from '@drawbridge/identity/jwk';
import type { FastifyRequest } from 'fastify';
import type { UserDirectory } from '../directory/user-directory.ts';
import type { EventReceipt } from '../events/event-receiver.ts';
import type { ProofIssue, WantedProof } from '../issuer/proofs.ts';
import type { Sessions } from '../storage/provider-database.ts';
import type { WakeUpReceipt } from '../wake-ups/receiver.ts';
import type { WakeUpStreams } from '../wake-ups/streams.ts';
import type { AttemptBudget } from './attempt-budget.ts';
import type { LoginAttempts } from './login-attempts.ts';

export type RouteContext = {
  readonly issuer: string;
  readonly pathPrefix: string;
  readonly directory: UserDirectory;
  readonly registrationOpen: boolean;
  /** Where people create uploads; undefined: nowhere. */
  readonly mediaUrl: string | undefined;
  readonly sessions: Sessions;
  readonly streams: WakeUpStreams;
  readonly budgets: { readonly addresses: AttemptBudget; readonly proofs: AttemptBudget };
  readonly attempts: LoginAttempts;
  readonly clientAddress: (request: FastifyRequest['raw']) => string;
  readonly keySet: () => { readonly keys: readonly PublicSigningJwk[] };
  readonly issueProof: (identifier: string, wanted: WantedProof) => Promise<ProofIssue>;
  readonly receiveWakeUp: (token: string) => Promise<WakeUpReceipt>;
  readonly receiveEvent: (token: string) => Promise<EventReceipt>;
  readonly log: (event: string, code: string) => void;
};

export type Session = { readonly token: string; readonly identifier: string };

/** Whose request this is; undefined without a session that stands. */
export function sessionOf({ sessions }: RouteContext, request: FastifyRequest): Session | undefined {
  const token = /^Bearer ([A-Za-z0-9_-]{43})$/i.exec(request.headers.authorization ?? '')?.[1];
  const identifier = token === undefined ? undefined : sessions.find(token);
  return token === undefined || identifier === undefined ? undefined : { token, identifier };
}
