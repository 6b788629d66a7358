// The gatekeeper's public HTTP interface: enlistment, well-known documents, OpenAPI; own users' issuer at `/users`.
// Knows nothing of sockets and TLS: it is a handler for any node:http(s) server.
// Source: docs/protocol/03.
import type { IncomingMessage, RequestListener } from 'node:http';
import swagger from '@fastify/swagger';
import { createApp, maxBodyBytes, problem } from './app.ts';
import { BodyBudget } from './body-budget.ts';
import { clientAddress, payersOf } from './client-address.ts';
import { addDiscoveryRoutes } from './discovery-routes.ts';
import { addEnlistedRoutes, addEnlistRoutes, addRenewalRoute } from './enlistment-routes.ts';
import { addEventRoutes } from './event-routes.ts';
import { addMediaRoutes } from './media-routes.ts';
import { writeProblem } from './problems.ts';
import { addProviderStatementRoutes } from './provider-routes.ts';
import { ProofGate } from './proof-gate.ts';
import type { PublicHttpDeps } from './public-deps.ts';

export type PublicHttp = {
  readonly handler: RequestListener;
  /** An upload of an own user: it ends when nothing moves, not after a time. */
  readonly isUpload: (request: IncomingMessage) => boolean;
  readonly close: () => Promise<void>;
};

/** Bodies are over within seconds. */
const bodyRetrySeconds = 5;

/** Builds the handler; it serves until `close`. */
export async function buildPublicHttp(deps: PublicHttpDeps): Promise<PublicHttp> {
  const { config, control, log } = deps;
  const addressOf = clientAddress(config.trustedProxies, config.relays);
  const app = createApp(code => log('error', 'http-failed', { code }));

  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Drawbridge gatekeeper',
        version: '1',
        description: 'Enlistment with a gatekeeper. The specification is docs/protocol/03.',
      },
      servers: [{ url: config.issuer }],
      components: {
        securitySchemes: {
          proof: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT', description: 'ownership proof' },
        },
      },
    },
  });

  app.addHook('onRequest', async (request, reply) => {
    if (config.mode === 'production') void reply.header('strict-transport-security', 'max-age=31536000');
    const payers = payersOf(addressOf(request.raw), request.raw.socket.remotePort);
    const retryAfterSeconds = control.budgets.take(payers.map(key => ({ budget: 'requestsPerAddress', key })));
    if (retryAfterSeconds > 0) return problem(reply, 'budget-spent', { retryAfterSeconds });
    return undefined;
  });

  const gate = new ProofGate(control, log, deps.nowMs);
  addDiscoveryRoutes(app, deps);
  addEnlistRoutes(app, deps, gate);
  addRenewalRoute(app, deps, gate);
  addEnlistedRoutes(app, deps, gate);
  addMediaRoutes(app, deps);
  addProviderStatementRoutes(app, deps);
  addEventRoutes(app, deps);

  await app.ready();
  const users = control.ownUsers;
  const isUpload = (request: IncomingMessage): boolean => users?.media?.serves(request) === true;
  const bodies = new BodyBudget(config.limits, maxBodyBytes);
  return {
    handler(request, response) {
      const route = (): void => {
        const isUsers = users !== undefined && /^\/users(?:[/?]|$)/.test(request.url ?? '');
        if (isUsers) users.handler(request, response);
        else app.routing(request, response);
      };
      if (isUpload(request)) return route();
      const release = bodies.admit(request, config.budgets.unlimited ? '' : addressOf(request), place => {
        if (place === 'taken') return route();
        // The connection stays: what is still on its way is read and thrown away, so that the answer arrives.
        return writeProblem(response, place === 'full' ? 'busy' : 'budget-spent', bodyRetrySeconds);
      });
      response.once('close', release);
    },
    isUpload,
    close: async () => {
      await app.close();
    },
  };
}
