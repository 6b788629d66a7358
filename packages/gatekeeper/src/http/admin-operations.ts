// The admin API's routes about providers, streams and the audit log. Knows nothing of credentials.
import { chainStart } from '../audit/audit-chain.ts';
import type { AdminRoutes } from './admin-routes.ts';
import {
  Audit,
  AuditHead,
  auditQuery,
  ProviderChanged,
  ProviderNamed,
  providerParams,
  Providers,
  reasonBody,
  Streams,
} from './admin-schemas.ts';
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
      const providers = registry.list().map(({ number, name, issuer, status, trustClass, suites }) => {
        const { enlistments = 0, mailboxBytes = 0 } = use.get(number) ?? {};
        return { number, name, issuer, status, trustClass, suites: [...suites], enlistments, mailboxBytes };
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
        response: { 200: ProviderNamed, ...problemResponses },
      },
    },
    async (request, reply) => {
      const number = Number(request.params.number);
      const result = await registry.revokeKeys(number, gate.callerOf(request).name, nowMs());
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
        return reply.send({ number, status });
      },
    );
  }
}

export function addStreamAndAuditRoutes({ app, deps, gate, about }: AdminRoutes): void {
  app.get(
    '/admin/v1/streams',
    {
      onRequest: gate.needs('viewer'),
      schema: {
        ...about('streams', 'Count streams, by provider', 'viewer'),
        response: { 200: Streams, ...problemResponses },
      },
    },
    async (_request, reply) => {
      const counts = new Map(
        deps.control.registry.list().map(({ number }) => [number, { connected: 0, resumable: 0 }]),
      );
      for (const { provider, connected } of deps.sessions.all()) {
        const count = counts.get(provider) ?? { connected: 0, resumable: 0 };
        counts.set(provider, count);
        if (connected) count.connected++;
        else count.resumable++;
      }
      const providers = [...counts].map(([number, count]) => ({ number, ...count }));
      const sum = (of: 'connected' | 'resumable'): number => providers.reduce((all, each) => all + each[of], 0);
      return reply.send({ connected: sum('connected'), resumable: sum('resumable'), providers });
    },
  );

  app.get(
    '/admin/v1/audit/head',
    {
      onRequest: gate.needs('viewer'),
      schema: {
        ...about('audit', 'Where the audit log stands: keep it elsewhere', 'viewer'),
        response: { 200: AuditHead, ...problemResponses },
      },
    },
    async (_request, reply) =>
      reply.send((await deps.stores.audit.head()) ?? { seq: 0, digest: chainStart, lastSeq: 0 }),
  );

  app.get(
    '/admin/v1/audit',
    {
      onRequest: gate.needs('viewer'),
      schema: {
        ...about('audit', 'What operators did, oldest first', 'viewer'),
        querystring: auditQuery,
        response: { 200: Audit, ...problemResponses },
      },
    },
    async (request, reply) => {
      const { after, limit, subject } = request.query;
      const entries = await deps.stores.audit.page(Number(after ?? 0), Number(limit ?? 100), subject);
      return reply.send({
        entries: entries.map(({ atMs, reason, ...entry }) => ({
          ...entry,
          at: new Date(atMs).toISOString(),
          ...(reason === undefined ? {} : { reason }),
        })),
      });
    },
  );
}
