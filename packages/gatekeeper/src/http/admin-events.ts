// The admin API's routes about events that wait to be told to providers, and those that could not be told. Knows nothing of
// credentials, and names no person.
// Source: docs/protocol/03-http.md (Admin interface), 10-consent-and-reports.md section 10.5.
import { isAboutProvider } from '@drawbridge/identity/security-event-kinds';
import { Type } from 'typebox';
import type { ListedEvent } from '../events/event-outbox.ts';
import type { AdminRoutes } from './admin-routes.ts';
import { providerParams } from './admin-schemas.ts';
import { problem, problemResponses } from './app.ts';

const closed = { additionalProperties: false };
const Time = Type.String({ format: 'date-time' });
const number = (maximum: number) => Type.String({ pattern: `^[0-9]{1,${String(maximum).length}}$` });
const query = Type.Object(
  {
    provider: Type.Optional(number(65_535)),
    state: Type.Optional(Type.Union([Type.Literal('waiting'), Type.Literal('dead')])),
    after: Type.Optional(number(999_999_999_999_999)),
    limit: Type.Optional(Type.String({ pattern: '^(?:[1-9][0-9]{0,2}|1000)$' })),
  },
  closed,
);
const Listed = Type.Object(
  {
    events: Type.Array(
      Type.Object(
        {
          id: Type.Integer({ minimum: 1 }),
          provider: Type.Integer(),
          event: Type.String(),
          about: Type.Union([Type.Literal('person'), Type.Literal('provider')]),
          occurredAt: Time,
          attempts: Type.Integer({ minimum: 0, description: 'tries that failed' }),
          code: Type.Optional(Type.String({ description: 'why the last try failed, or why it was given up' })),
          deadAt: Type.Optional(Time),
        },
        closed,
      ),
    ),
  },
  closed,
);
const Resent = Type.Object({ resent: Type.Integer({ minimum: 0 }) }, closed);
const eventParams = Type.Object({ id: number(999_999_999_999_999) }, closed);

export function addEventAdminRoutes({ app, deps, gate, about }: AdminRoutes): void {
  const { outgoingEvents } = deps.stores;
  app.get(
    '/admin/v1/events',
    {
      onRequest: gate.needs('viewer'),
      schema: {
        ...about('events', 'List events that wait to be told to providers, or that are dead', 'viewer'),
        querystring: query,
        response: { 200: Listed, ...problemResponses },
      },
    },
    async (request, reply) => {
      const { provider, state, after, limit } = request.query;
      const list = await outgoingEvents.list({
        provider: provider === undefined ? undefined : Number(provider),
        isDead: state === 'dead',
        afterSeq: Number(after ?? 0),
        limit: Number(limit ?? 100),
      });
      return reply.send({ events: list.map(shown) });
    },
  );
  app.post(
    '/admin/v1/events/:id/resend',
    {
      onRequest: gate.needs('operator'),
      schema: {
        ...about('events', 'Tell a dead event again', 'operator'),
        params: eventParams,
        response: { 200: Resent, ...problemResponses },
      },
    },
    async (request, reply) => {
      const { name: actor } = gate.callerOf(request);
      const resent = await outgoingEvents.revive({ seq: Number(request.params.id), actor, nowMs: deps.nowMs() });
      return resent === 0 ? problem(reply, 'event-unknown') : reply.send({ resent });
    },
  );
  app.post(
    '/admin/v1/providers/:number/resend-events',
    {
      onRequest: gate.needs('operator'),
      schema: {
        ...about('events', 'Tell all dead events of a provider again', 'operator'),
        params: providerParams,
        response: { 200: Resent, ...problemResponses },
      },
    },
    async (request, reply) => {
      const { name: actor } = gate.callerOf(request);
      const provider = Number(request.params.number);
      return reply.send({ resent: await outgoingEvents.revive({ provider, actor, nowMs: deps.nowMs() }) });
    },
  );
}

function shown({ seq, provider, event, occurredAtMs, attempts, code, deadAtMs }: ListedEvent) {
  return {
    id: seq,
    provider,
    event,
    about: isAboutProvider(event) ? ('provider' as const) : ('person' as const),
    occurredAt: new Date(occurredAtMs).toISOString(),
    attempts,
    ...(code === undefined ? {} : { code }),
    ...(deadAtMs === undefined ? {} : { deadAt: new Date(deadAtMs).toISOString() }),
  };
}
