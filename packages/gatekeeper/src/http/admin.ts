// The operator's HTTP interface: people, providers, streams, audit log, metrics, health, and its OpenAPI. On its own
// listener, with its own credentials. Knows nothing of sockets.
// Source: docs/protocol/03 (Admin interface); threat 20.
import type { RequestListener } from 'node:http';
import swagger from '@fastify/swagger';
import { Type } from 'typebox';
import { addEventAdminRoutes } from './admin-events.ts';
import { addExportRoute } from './admin-export.ts';
import { createAdminGate } from './admin-gate.ts';
import { addApplicationRoutes } from './admin-applications.ts';
import { addStreamAndAuditRoutes } from './admin-operations.ts';
import { addOwnUserRoutes } from './admin-own-users.ts';
import { addPeopleRoutes } from './admin-people.ts';
import { addProviderRoutes } from './admin-providers.ts';
import { addReportRoutes } from './admin-reports.ts';
import { addRestrictionRoutes } from './admin-restrictions.ts';
import type { AdminHttpDeps, AdminRoutes } from './admin-routes.ts';
import { createApp, problemResponses } from './app.ts';
import { addHealthRoutes } from './health.ts';

export type AdminHttp = { readonly handler: RequestListener; readonly close: () => Promise<void> };

/** Without a credential; they tell nothing of anybody. */
const open: readonly (string | undefined)[] = ['/healthz', '/readyz', '/openapi.json'];

/** Builds the handler; it serves until `close`. */
export async function buildAdminHttp(deps: AdminHttpDeps): Promise<AdminHttp> {
  const { log } = deps;
  const app = createApp(code => log('error', 'admin-http-failed', { code }));
  const gate = createAdminGate({
    admins: deps.stores.admins,
    token: deps.token,
    metricsToken: deps.metricsToken,
    onRefused: code => log('warn', 'admin-refused', { code }),
  });
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Drawbridge gatekeeper, admin interface',
        version: '1',
        description: 'For operators. The specification is docs/protocol/03.',
      },
      components: {
        securitySchemes: { admin: { type: 'http', scheme: 'bearer', description: 'token of an admin, or of a file' } },
      },
    },
  });
  app.addHook('onRequest', async (request, reply) =>
    open.includes(request.routeOptions.url) ? undefined : await gate.admit(request, reply),
  );
  const routes: AdminRoutes = {
    app,
    deps,
    gate,
    about: (tag, summary, role) => ({
      tags: [tag],
      summary,
      description: `Needs the role ${role}, or a higher one.`,
      security: [{ admin: [] }],
    }),
  };

  addHealthRoutes(app, deps);
  app.get('/openapi.json', { schema: { hide: true } }, (_request, reply) => reply.send(app.swagger()));
  app.get(
    '/metrics',
    {
      onRequest: gate.needs('metrics'),
      schema: {
        ...routes.about('health', 'Metrics for Prometheus', 'metrics'),
        response: {
          200: { description: 'Metrics', content: { 'text/plain': { schema: Type.String() } } },
          ...problemResponses,
        },
      },
    },
    async (_request, reply) => reply.type(deps.metrics.contentType).send(await deps.metrics.metrics()),
  );
  addPeopleRoutes(routes);
  addOwnUserRoutes(routes);
  addExportRoute(routes);
  addReportRoutes(routes);
  addRestrictionRoutes(routes);
  addProviderRoutes(routes);
  addApplicationRoutes(routes);
  addEventAdminRoutes(routes);
  addStreamAndAuditRoutes(routes);

  await app.ready();
  return {
    handler: (request, response) => app.routing(request, response),
    close: async () => {
      await app.close();
    },
  };
}
