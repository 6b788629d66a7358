// The port for providers that applied: what they applied with, where they stand, and the versions of the agreement.
// Knows no store, no keys and no rules.
import type { AgreementRef, ApplicationTerms } from '@drawbridge/identity/provider-statement';
import type { NewEvent } from '../events/event-outbox.ts';
import type { AuditNote } from '../audit/audit-log.ts';
import type { ProviderStatus } from './provider-states.ts';

/** `suspended` is beside it (`ProviderStates`): a suspended provider is let in again where it stood. */
export type Stage = 'applied' | 'refused' | 'sandbox' | 'live' | 'withdrawn';

/** What the operator gives, within what was applied for. */
export type Grant = {
  readonly enlistments: number;
  readonly trustClass: 'standard' | 'trial';
  readonly suites: readonly string[];
};

export type Application = {
  readonly id: string;
  readonly issuer: string;
  readonly terms: ApplicationTerms;
  /** Version of the agreement that was accepted last. */
  readonly agreement: number;
  readonly stage: Stage;
  /** From the sandbox on; never given to another. */
  readonly number: number | undefined;
  readonly grant: Grant | undefined;
  readonly status: ProviderStatus;
  readonly appliedAtMs: number;
};

export type StoredAgreement = AgreementRef & { readonly text: string; readonly sinceMs: number };

export type Step = {
  readonly id: string;
  readonly actor: string;
  readonly reason: string;
  readonly nowMs: number;
  /** Tells the provider; its number is that of the step. */
  readonly event?: NewEvent | undefined;
};

/** What a step makes of an application; a step that does not fit its stage changes nothing. */
export type StepTo =
  | { readonly stage: 'refused' }
  /** `number` undefined: the next free one from 1000 on. */
  | { readonly stage: 'sandbox'; readonly number: number | undefined; readonly grant: Grant }
  | { readonly stage: 'live'; readonly grant: Grant }
  | { readonly stage: 'withdrawn' };

/** Numbers below are for the configuration. */
export const firstAppliedNumber = 1_000;
export const lastProviderNumber = 65_535;

/** The stages from which a step may be made, and what the audit log calls it. */
export const stageSteps: Readonly<
  Record<StepTo['stage'], { readonly from: readonly Stage[]; readonly action: AuditNote['action'] }>
> = {
  refused: { from: ['applied'], action: 'provider-refused' },
  sandbox: { from: ['applied'], action: 'provider-admitted' },
  live: { from: ['sandbox'], action: 'provider-went-live' },
  withdrawn: { from: ['applied', 'sandbox', 'live'], action: 'provider-withdrawn' },
};

export type StepResult =
  | { readonly kind: 'done'; readonly number: number | undefined }
  | { readonly kind: 'refused'; readonly code: 'application-unknown' | 'wrong-stage' | 'number-taken' | 'name-taken' };

/** Each call is one transaction with its audit entry, durable when it resolves; rejects with StoreError alone. */
export interface ProviderApplications {
  /**
   * Keeps an application. Refused when one of this issuer or name is open or admitted, when the name belonged to a provider
   * before, or when too many wait, in all or below one domain.
   */
  apply(application: {
    readonly id: string;
    readonly issuer: string;
    readonly terms: ApplicationTerms;
    readonly agreement: number;
    /** The last two labels of its name: a share of what may wait. */
    readonly domain: string;
    readonly maxWaiting: number;
    readonly maxWaitingPerDomain: number;
    readonly nowMs: number;
  }): Promise<'applied' | 'issuer-known' | 'name-taken' | 'full'>;
  step(step: Step, to: StepTo): Promise<StepResult>;
  /** Other quotas or suites for a provider in the sandbox or live. */
  changeGrant(step: Step, grant: Grant): Promise<StepResult>;
  acceptAgreement(id: string, version: number, nowMs: number): Promise<'accepted' | 'same' | 'unknown'>;
  /** Applications that nobody decided on since `beforeMs` are refused. Gives how many. */
  expire(beforeMs: number, nowMs: number): Promise<number>;
  find(id: string): Promise<Application | undefined>;
  /** The application of this issuer that counts: an open or admitted one before a refused or withdrawn one, then the latest. */
  findByIssuer(issuer: string): Promise<Application | undefined>;
  findByNumber(number: number): Promise<Application | undefined>;
  /** Latest first, at most `limit`; of one stage if it is named. */
  list(limit: number, stage?: Stage): Promise<readonly Application[]>;
  /** In the sandbox and live, in ascending number. */
  admitted(): Promise<readonly Application[]>;
  /** Keeps the agreement in force as another version when its digest is not that of the latest. */
  keepAgreement(agreement: {
    readonly digest: string;
    readonly text: string;
    readonly nowMs: number;
  }): Promise<StoredAgreement>;
  agreement(version: number): Promise<StoredAgreement | undefined>;
}
