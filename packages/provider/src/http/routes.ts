// The provider's HTTP surface, put together from its rooms. Holds no state of its own.
// Knows nothing of sockets and TLS; it can be mounted in another server.
// Source: docs/protocol/03 (Provider HTTP).

import type { FastifyInstance } from 'fastify';
import { createApp } from './app.ts';
import { addEventRoutes } from './event-routes.ts';
import { addIssuerRoutes } from './issuer-routes.ts';
import { addPeopleRoutes } from './people-routes.ts';
import type { RouteContext } from './route-context.ts';
import { addWakeUpRoutes } from './wake-up-routes.ts';

/** Builds the application; `routing(request, response)` serves one request of node:http. */
export async function createRoutes(context: RouteContext): Promise<FastifyInstance> {
  const app = await createApp(context);
  addIssuerRoutes(app, context);
  addPeopleRoutes(app, context);
  addEventRoutes(app, context);
  addWakeUpRoutes(app, context);
  await app.ready();
  return app;
}
