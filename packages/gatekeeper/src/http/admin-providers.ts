// The admin API's routes about providers in force: who they are, suspension, keys. Knows nothing of credentials.
import type { AdminRoutes } from './admin-routes.ts';
import { ProviderChanged, ProviderNamed, providerParams, Providers, reasonBody } from './admin-schemas.ts';
import { problem, problemResponses } from './app.ts';

export function addProviderRoutes({ app, deps, gate, about }: AdminRoutes): void {
  const { control, stores, log, nowMs } = deps;
  const { registry } = control;

  app.get(
    '/admin/v1/providers',
    {
      onRequest: gate.needs('viewer'),
      schema: {
        ...about('providers', 'List providers', 'viewer'),
        response: { 200: Providers, ...problemResponses },
      },
    },
    async (_request, reply) => {
      const use = new Map((await stores.providers.listUse()).map(each => [each.number, each]));
      const providers = registry.list().map(({ number, name, issuer, status, trustClass, suites, applied }) => {
        const { enlistments = 0, mailboxBytes = 0 } = use.get(number) ?? {};
        return { number, name, issuer, status, trustClass, suites: [...suites], enlistments, mailboxBytes, applied };
      });
      return reply.send({ providers });
    },
  );

  app.post(
    '/admin/v1/providers/:number/revoke-keys',
    {
      onRequest: gate.needs('operator'),
      schema: {
        ...about('providers', 'End streams that keys vouched for which are gone', 'operator'),
        params: providerParams,
        body: reasonBody,
        response: { 200: ProviderNamed, ...problemResponses },
      },
    },
    async (request, reply) => {
      const number = Number(request.params.number);
      const result = await registry.revokeKeys(number, gate.callerOf(request).name, nowMs(), request.body?.reason);
      if (result === 'unknown') return problem(reply, 'provider-unknown');
      if (result === 'not-fetched') return problem(reply, 'key-set-not-fetched');
      log('warn', 'provider-keys-revoked', { provider: number });
      return reply.send({ number });
    },
  );

  for (const action of ['suspend', 'resume'] as const) {
    app.post(
      `/admin/v1/providers/:number/${action}`,
      {
        onRequest: gate.needs('operator'),
        schema: {
          ...about('providers', action === 'suspend' ? 'Suspend: its streams end' : 'End a suspension', 'operator'),
          params: providerParams,
          body: reasonBody,
          response: { 200: ProviderChanged, ...problemResponses },
        },
      },
      async (request, reply) => {
        const number = Number(request.params.number);
        const status = action === 'suspend' ? 'suspended' : 'live';
        const { name } = gate.callerOf(request);
        const result = await registry.setStatus(number, status, name, nowMs(), request.body?.reason);
        if (result === 'unknown') return problem(reply, 'provider-unknown');
        if (result === 'suspended-by-configuration') return problem(reply, result);
        log('warn', `provider-${status}`, { provider: number });
        return reply.send({ number, status: registry.find(number)?.status ?? status });
      },
    );
  }
}
