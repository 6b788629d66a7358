// Sleeping apps listen for wake-ups. Holds no state; knows nothing of tokens or push services.
// Source: docs/protocol/03 (Wake-up).

import { problemDetails } from '@drawbridge/identity/problem-details';
import { Type } from 'typebox';
import { type App, problem, problemResponses } from './app.ts';
import { problems } from './problems.ts';
import { type RouteContext, sessionOf } from './route-context.ts';

export function addWakeUpRoutes(app: App, context: RouteContext): void {
  const listen = {
    tags: ['wake-ups'],
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
    reply.raw.end(JSON.stringify(problemDetails(problems, 'too-many-streams')));
    return reply;
  });
}
