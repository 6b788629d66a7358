// What a provider's statement is answered with, and what operators see of it, as schemas. Knows nothing of where it comes
// from. Source: docs/protocol/10 section 10.6.
import { type Static, Type } from 'typebox';
import type { ShownAgreement, Standing } from '../providers/lifecycle.ts';

const closed = { additionalProperties: false };
const Time = Type.String({ format: 'date-time' });
const Count = Type.Integer({ minimum: 0 });
const Version = Type.Integer({ minimum: 1 });

const Stage = Type.Union([
  Type.Literal('applied'),
  Type.Literal('refused'),
  Type.Literal('sandbox'),
  Type.Literal('live'),
  Type.Literal('suspended'),
  Type.Literal('withdrawn'),
]);

const standing = {
  application: Type.String({ description: "the application's id" }),
  stage: Stage,
  number: Type.Optional(Type.Integer({ description: 'in every InteropId of its people; from the sandbox on' })),
  name: Type.String(),
  issuer: Type.String(),
  keySetOrigins: Type.Array(Type.String()),
  mediaOrigins: Type.Array(Type.String()),
  wakeUpUrl: Type.Optional(Type.String()),
  eventsUrl: Type.Optional(Type.String()),
  suites: Type.Array(Type.String()),
  regions: Type.Array(Type.String()),
  contact: Type.Object({ name: Type.String(), email: Type.String(), security: Type.Optional(Type.String()) }, closed),
  granted: Type.Optional(
    Type.Object({ enlistments: Count, trustClass: Type.String(), suites: Type.Array(Type.String()) }, closed),
  ),
  agreement: Type.Object(
    { accepted: Version, inForce: Version },
    { ...closed, description: 'versions; where they differ, the provider is asked to accept' },
  ),
  appliedAt: Time,
  steps: Type.Array(Type.Object({ at: Time, step: Type.String(), reason: Type.Optional(Type.String()) }, closed), {
    description: 'oldest first, with the reason that was given',
  }),
};
export const ProviderStanding = Type.Object(standing, closed);
export const Applications = Type.Object({ applications: Type.Array(ProviderStanding) }, closed);

const ids = Type.Array(Type.String());
export const AgreementShown = Type.Object(
  {
    version: Version,
    digest: Type.String({ description: 'SHA-256 of `text`, base64url: what a provider accepts' }),
    since: Time,
    clauses: Type.Array(Type.Object({ id: Type.String(), text: Type.String() }, closed)),
    text: Type.String({ description: 'JSON of issuer and clauses, as it is hashed' }),
    differences: Type.Optional(
      Type.Object(
        { added: ids, removed: ids, changed: ids },
        { ...closed, description: 'clauses that differ from the version before' },
      ),
    ),
  },
  closed,
);

export const statementBody = Type.Object(
  { statement: Type.String({ minLength: 1, maxLength: 8_192, description: 'a signed statement, a compact JWS' }) },
  closed,
);
export const agreementParams = Type.Object({ version: Type.String({ pattern: '^[1-9][0-9]{0,8}$' }) }, closed);

const iso = (ms: number): string => new Date(ms).toISOString();

export function showStanding({ application, steps }: Standing, inForce: number): Static<typeof ProviderStanding> {
  const { id, issuer, terms, agreement, stage, number, grant, status, appliedAtMs } = application;
  const isIn = stage === 'sandbox' || stage === 'live';
  return {
    application: id,
    stage: isIn && status === 'suspended' ? 'suspended' : stage,
    ...(number === undefined ? {} : { number }),
    ...terms,
    issuer,
    keySetOrigins: [...terms.keySetOrigins],
    mediaOrigins: [...terms.mediaOrigins],
    suites: [...terms.suites],
    regions: [...terms.regions],
    ...(grant === undefined ? {} : { granted: { ...grant, suites: [...grant.suites] } }),
    agreement: { accepted: agreement, inForce },
    appliedAt: iso(appliedAtMs),
    steps: steps.map(({ atMs, step, reason }) => ({
      at: iso(atMs),
      step,
      ...(reason === undefined ? {} : { reason }),
    })),
  };
}

export function showAgreement({
  version,
  digest,
  text,
  sinceMs,
  before,
}: ShownAgreement): Static<typeof AgreementShown> {
  const { clauses } = JSON.parse(text) as { clauses: { id: string; text: string }[] };
  return {
    version,
    digest,
    since: iso(sinceMs),
    clauses,
    text,
    ...(before === undefined
      ? {}
      : {
          differences: { added: [...before.added], removed: [...before.removed], changed: [...before.changed] },
        }),
  };
}
