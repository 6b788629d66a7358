// What a gatekeeper tells this provider, as values. Knows nothing of tokens, signatures or HTTP.
// Source: docs/protocol/10 section 10.5.

import type { SecurityEvent } from '@drawbridge/identity/security-event';

type Told = {
  /** Issuer URL of the gatekeeper that tells it. */
  readonly gatekeeper: string;
  /** The same each time that this event is told (`jti`), and no other's of this gatekeeper. */
  readonly id: string;
  /** When it happened: what is older than something that you know already was overtaken. */
  readonly occurredAtMs: number;
};

/** What happened to the provider, or to one of its people, at a gatekeeper. An identifier is personal data: not for a log. */
export type GatekeeperNotice = Told &
  (
    | {
        readonly kind: 'provider-step';
        /** `sandbox`, `live`, `suspended`, `resumed`, `withdrawn`, `terms-changed` or `keys-revoked`, perhaps more later. */
        readonly step: string;
        /** In the operator's words. */
        readonly reason?: string;
      }
    | { readonly kind: 'enlistment-suspended' | 'enlistment-resumed'; readonly identifier: string }
    /** `by`: whether the person withdrew, or an operator deleted them. */
    | { readonly kind: 'enlistment-ended'; readonly identifier: string; readonly by: 'person' | 'operator' }
    /** `report`: its id at the gatekeeper. It does not tell who reported or what was said. */
    | {
        readonly kind: 'report-upheld';
        readonly identifier: string;
        readonly report: string;
        readonly category: string;
      }
  );

/** A verified event of a gatekeeper as a value; undefined for a wake-up. */
export function noticeOf({
  event,
  issuer,
  jti,
  occurredAtMs,
  subject,
  payload,
}: SecurityEvent): GatekeeperNotice | undefined {
  const told = { gatekeeper: issuer, id: jti, occurredAtMs };
  const { step, reason, by, report, category } = payload;
  switch (event) {
    case 'urn:drawbridge:event:provider-step':
      return {
        kind: 'provider-step',
        ...told,
        step: String(step),
        ...(typeof reason === 'string' ? { reason } : {}),
      };
    case 'urn:drawbridge:event:enlistment-suspended':
      return { kind: 'enlistment-suspended', ...told, identifier: subject };
    case 'urn:drawbridge:event:enlistment-resumed':
      return { kind: 'enlistment-resumed', ...told, identifier: subject };
    case 'urn:drawbridge:event:enlistment-ended':
      return { kind: 'enlistment-ended', ...told, identifier: subject, by: by === 'person' ? 'person' : 'operator' };
    case 'urn:drawbridge:event:report-upheld':
      return {
        kind: 'report-upheld',
        ...told,
        identifier: subject,
        report: String(report),
        category: String(category),
      };
    default:
      return undefined;
  }
}
