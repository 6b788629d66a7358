// The admin API's routes about restrictions: who is held back by what others decided, why, and how an operator takes it back.
// Knows nothing of the rules. Source: docs/protocol/10 section 10.3.
import { Type } from 'typebox';
import type { Restriction } from '../integrity/restriction-store.ts';
import { restrictionLevels } from '../integrity/restriction-rules.ts';
import type { AdminRoutes } from './admin-routes.ts';
import { closed, InteropId, reasonBody, Time } from './admin-schemas.ts';
import { problem, problemResponses } from './app.ts';

const Subject = Type.Union([InteropId, Type.String({ pattern: '^[1-9][0-9]{0,4}$' })], {
  description: "an InteropId, or a provider's number",
});
const Level = Type.Enum([...restrictionLevels]);
const Share = Type.Number({ minimum: 0 });
const subjectParams = Type.Object({ subject: Subject }, closed);
const listQuery = Type.Object(
  { after: Type.Optional(Type.String({ maxLength: 64, description: 'those behind this subject' })) },
  closed,
);
const kept = {
  subject: Subject,
  level: Level,
  since: Type.Optional(Time),
  countedFrom: Type.Optional(Type.String({ format: 'date-time', description: 'nothing before it counts' })),
};
const Restrictions = Type.Object({ restrictions: Type.Array(Type.Object(kept, closed)) }, closed);
const Looked = Type.Object(
  {
    ...kept,
    now: Type.Object(
      { level: Level, refused: Share, accepted: Share, percent: Share, waiting: Share },
      { ...closed, description: 'what counts now; a lower level comes into force by itself after an hour' },
    ),
    explanation: Type.String(),
  },
  closed,
);
const Forgiven = Type.Object({ subject: Subject, level: Type.Literal('none') }, closed);
const pageRows = 100;

function shown({ subject, level, sinceMs, countedFromMs }: Restriction) {
  return {
    subject,
    level,
    since: new Date(sinceMs).toISOString(),
    ...(countedFromMs === 0 ? {} : { countedFrom: new Date(countedFromMs).toISOString() }),
  };
}

export function addRestrictionRoutes({ app, deps, gate, about }: AdminRoutes): void {
  const { integrity } = deps.control;
  app.get(
    '/admin/v1/restrictions',
    {
      onRequest: gate.needs('viewer'),
      schema: {
        ...about('restrictions', 'List who is restricted, or was forgiven, 100 at a time', 'viewer'),
        querystring: listQuery,
        response: { 200: Restrictions, ...problemResponses },
      },
    },
    async (request, reply) => {
      const list = await integrity.list(request.query.after ?? '', pageRows);
      return reply.send({ restrictions: list.map(shown) });
    },
  );

  app.get(
    '/admin/v1/restrictions/:subject',
    {
      onRequest: gate.needs('viewer'),
      schema: {
        ...about('restrictions', 'Look at what counts for and against a person or a provider: sums alone', 'viewer'),
        params: subjectParams,
        response: { 200: Looked, ...problemResponses },
      },
    },
    async (request, reply) => {
      const { subject } = request.params;
      const looked = await integrity.look(subject);
      if (looked === undefined) return problem(reply, 'enlistment-unknown');
      const { level, tally } = looked.judged;
      return reply.send({
        ...(looked.kept === undefined ? { subject, level: 'none' as const } : shown(looked.kept)),
        now: { level, ...tally },
        explanation: integrity.explain(looked.judged, subject),
      });
    },
  );

  app.post(
    '/admin/v1/restrictions/:subject/forgive',
    {
      onRequest: gate.needs('operator'),
      schema: {
        ...about('restrictions', 'Lift a restriction: nothing that was said up to now counts any more', 'operator'),
        params: subjectParams,
        body: reasonBody,
        response: { 200: Forgiven, ...problemResponses },
      },
    },
    async (request, reply) => {
      const { subject } = request.params;
      const { name } = gate.callerOf(request);
      const result = await integrity.forgive(subject, name, request.body?.reason);
      return result === 'unknown' ? problem(reply, 'enlistment-unknown') : reply.send({ subject, level: 'none' });
    },
  );
}
