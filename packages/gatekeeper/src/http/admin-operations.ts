// The admin API's routes about streams and the audit log. Knows nothing of credentials.
import { chainStart } from '../audit/audit-chain.ts';
import type { AdminRoutes } from './admin-routes.ts';
import { Audit, AuditHead, auditQuery, Streams } from './admin-schemas.ts';
import { problemResponses } from './app.ts';

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
