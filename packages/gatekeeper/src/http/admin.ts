// The operator's HTTP interface: providers, suspensions, audit log, metrics, health. On its own listener, with its own
// credential. Knows nothing of sockets.
// Source: docs/protocol/03 (Admin API); threat 20.
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import type { RequestListener } from 'node:http';
import { join } from 'node:path';
import type { Registry as MetricsRegistry } from 'prom-client';
import { Type } from 'typebox';
import type { Control, ControlLog } from '../control.ts';
import type { Stores } from '../storage/stores.ts';
import { writeSecretFile } from '../wakeup/event-keys.ts';
import { createApp, problem } from './app.ts';

export type AdminHttpDeps = {
  readonly control: Control;
  readonly stores: Stores;
  readonly metrics: MetricsRegistry;
  readonly log: ControlLog;
  readonly nowMs: () => number;
  /** From `openAdminToken`. */
  readonly token: string;
  /** Admits to `/metrics` alone; the other token does too. Nobody has one when left out. */
  readonly metricsToken?: string;
  /** False while starting and while shutting down. */
  readonly isReady: () => boolean;
};

export type AdminHttp = { readonly handler: RequestListener; readonly close: () => Promise<void> };

/** The credential file can't be used; the message says what to do. */
export class AdminTokenError extends Error {
  readonly code = 'admin-token-unusable';
}

/**
 * Reads a token's file in the data folder, or makes one with 256 random bits, mode 0600. `metrics-token` reads metrics and
 * nothing else, so that it may lie where Prometheus is configured.
 */
export function openAdminToken(dataFolder: string, name: 'admin-token' | 'metrics-token' = 'admin-token'): string {
  const file = join(dataFolder, name);
  let text: string;
  try {
    text = readFileSync(file, 'utf8').trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
      throw new AdminTokenError(`${file} can't be read: mend its owner and mode`);
    }
    text = randomBytes(32).toString('base64url');
    writeSecretFile(file, `${text}\n`);
    return text;
  }
  if ((statSync(file).mode & 0o077) !== 0) {
    throw new AdminTokenError(`${file} can be read by others: set its mode to 0600, and replace the token`);
  }
  if (!/^[\x21-\x7e]{32,512}$/.test(text)) {
    throw new AdminTokenError(`${file} must hold one token of 32 to 512 characters: remove it so that one is made`);
  }
  return text;
}

const closed = { additionalProperties: false };
const provider = Type.Object({ number: Type.String({ pattern: '^(0|[1-9][0-9]{0,4})$' }) }, closed);
const person = Type.Object({ interopId: Type.String({ pattern: '^(0|[1-9][0-9]{0,4})-[a-z2-7]{26}$' }) }, closed);
const auditQuery = Type.Object(
  {
    after: Type.Optional(Type.String({ pattern: '^[0-9]{1,15}$' })),
    limit: Type.Optional(Type.String({ pattern: '^[1-9][0-9]{0,2}$' })),
  },
  closed,
);

/** Builds the handler; it serves until `close`. */
export async function buildAdminHttp(deps: AdminHttpDeps): Promise<AdminHttp> {
  const { control, stores, log, nowMs } = deps;
  const { registry, enlistment } = control;
  const app = createApp(code => log('error', 'admin-http-failed', { code }));
  // Digests have one length, and comparing them tells nothing about the token.
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  const wanted = digest(deps.token);
  const forMetrics = deps.metricsToken === undefined ? undefined : digest(deps.metricsToken);

  app.addHook('onRequest', async (request, reply) => {
    const path = request.routeOptions.url;
    if (path === '/healthz' || path === '/readyz') return undefined;
    const token = /^Bearer ([\x21-\x7e]{1,512})$/i.exec(request.headers.authorization ?? '')?.[1] ?? '';
    const given = digest(token);
    if (timingSafeEqual(given, wanted)) return undefined;
    if (path === '/metrics' && forMetrics !== undefined && timingSafeEqual(given, forMetrics)) return undefined;
    log('warn', 'admin-refused', { code: 'admin-credential-required' });
    return problem(reply, 'admin-credential-required');
  });

  app.get('/healthz', (_request, reply) => reply.send({ status: 'ok' }));

  app.get('/readyz', async (_request, reply) => {
    const storage = await stores.health();
    const ready = storage === 'works' && deps.isReady();
    // A provider that can't be reached is that provider's trouble: counted here, but no reason to be taken out of service.
    const body = { status: ready ? 'ready' : 'not-ready', storage, providersWithoutKeys: registry.withoutKeys() };
    return reply.code(ready ? 200 : 503).send(body);
  });

  app.get('/metrics', async (_request, reply) =>
    reply.type(deps.metrics.contentType).send(await deps.metrics.metrics()),
  );

  app.get('/admin/v1/providers', (_request, reply) =>
    reply.send({
      providers: registry.list().map(({ number, name, issuer, status, trustClass, suites }) => ({
        number,
        name,
        issuer,
        status,
        trustClass,
        suites: [...suites],
      })),
    }),
  );

  app.get('/admin/v1/audit', { schema: { querystring: auditQuery } }, async (request, reply) => {
    const { after, limit } = request.query;
    const entries = await stores.audit.page(Number(after ?? 0), Number(limit ?? 100));
    return reply.send({
      entries: entries.map(({ atMs, ...entry }) => ({ ...entry, at: new Date(atMs).toISOString() })),
    });
  });

  app.post('/admin/v1/providers/:number/revoke-keys', { schema: { params: provider } }, async (request, reply) => {
    const number = Number(request.params.number);
    const result = await registry.revokeKeys(number, 'admin', nowMs());
    if (result === 'unknown') return problem(reply, 'provider-unknown');
    if (result === 'not-fetched') return problem(reply, 'key-set-not-fetched');
    log('warn', 'provider-keys-revoked', { provider: number });
    return reply.send({ number });
  });

  for (const action of ['suspend', 'resume'] as const) {
    app.post(`/admin/v1/providers/:number/${action}`, { schema: { params: provider } }, async (request, reply) => {
      const number = Number(request.params.number);
      const status = action === 'suspend' ? 'suspended' : 'live';
      const result = await registry.setStatus(number, status, 'admin', nowMs());
      if (result === 'unknown') return problem(reply, 'provider-unknown');
      if (result === 'suspended-by-configuration') return problem(reply, result);
      log('warn', `provider-${status}`, { provider: number });
      return reply.send({ number, status });
    });
    app.post(`/admin/v1/enlistments/:interopId/${action}`, { schema: { params: person } }, async (request, reply) => {
      const { interopId } = request.params;
      const status = action === 'suspend' ? 'suspended' : 'active';
      const result = await enlistment.setStatus(interopId, status, 'admin', nowMs());
      if (result === 'unknown') return problem(reply, 'enlistment-unknown');
      return reply.send({ interopId, status });
    });
  }

  await app.ready();
  return {
    handler: (request, response) => app.routing(request, response),
    close: async () => {
      await app.close();
    },
  };
}
