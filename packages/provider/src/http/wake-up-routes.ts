// Wake-ups: gatekeepers post them, sleeping apps listen for them. Holds no state; knows nothing of tokens or push services.
// Source: docs/protocol/03 (Wake-up); RFC 8935 (event delivery).

import { Type } from 'typebox';
import { type App, httpLimits, problem, problemResponses } from './app.ts';
import { problemDetails, problems } from './problems.ts';
import { type RouteContext, sessionOf } from './route-context.ts';

/** RFC 8935 section 2.3. */
const EventRefused = Type.Object({ err: Type.String(), description: Type.String() }, { additionalProperties: false });

export function addWakeUpRoutes(app: App, context: RouteContext): void {
  const tags = ['wake-ups'];
  const receive = {
    tags,
    summary: 'A gatekeeper asks to wake a person',
    description: 'The body is a security event token, `application/secevent+jwt`.',
    response: {
      202: { description: 'Kept, or kept before', type: 'null' },
      400: EventRefused,
      503: { description: "The gatekeeper's keys or room are not at hand: come again", type: 'null' },
    },
  };
  app.post(`${context.pathPrefix}/v1/wake-ups`, { schema: receive }, async (request, reply) => {
    if (typeof request.body !== 'string') {
      return await reply.code(400).send({ err: 'invalid_request', description: 'Send application/secevent+jwt.' });
    }
    const receipt = await context.receiveWakeUp(request.body);
    if (receipt.kind === 'accepted') return await reply.code(202).send();
    if (receipt.retry) {
      return await reply.code(503).header('retry-after', String(httpLimits.retrySeconds)).send();
    }
    return await reply.code(400).send({ err: receipt.err, description: receipt.description });
  });

  const listen = {
    tags,
    summary: 'Hear wake-ups for one person',
    security: [{ session: [] }],
    response: {
      200: {
        description: 'Events `wake-up` with data `{"gatekeeper": issuer}`, until the session ends',
        content: { 'text/event-stream': { schema: Type.String() } },
      },
      ...problemResponses('not-authorized', 'too-many-streams'),
    },
  };
  app.get(`${context.pathPrefix}/v1/wake-ups/stream`, { schema: listen }, async (request, reply) => {
    const session = sessionOf(context, request);
    if (session === undefined || !(await context.directory.exists(session.identifier))) {
      return problem(reply, 'not-authorized');
    }
    reply.hijack();
    if (context.streams.open(session.identifier, reply.raw)) return reply;
    const { status } = problems['too-many-streams'];
    reply.raw.writeHead(status, { 'content-type': 'application/problem+json' });
    reply.raw.end(JSON.stringify(problemDetails('too-many-streams')));
    return reply;
  });
}
