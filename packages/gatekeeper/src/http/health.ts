// Whether the process answers, and whether it may be sent clients: for supervisors and load balancers, without a
// credential. Knows nothing of who asks.
import type { RequestListener } from 'node:http';
import type { GatekeeperClockState } from '../clock/gatekeeper-clock.ts';
import type { Registry } from '../providers/registry.ts';
import type { Stores } from '../storage/stores.ts';
import { createApp, problemResponses } from './app.ts';
import { Health, Readiness } from './admin-schemas.ts';

export type HealthDeps = {
  readonly stores: Pick<Stores, 'health'>;
  readonly control: {
    readonly registry: Pick<Registry, 'withoutKeys'>;
    readonly clockState: () => Pick<GatekeeperClockState, 'kind'>;
  };
  /** False while starting and while shutting down. */
  readonly isReady: () => boolean;
};

export function addHealthRoutes(app: ReturnType<typeof createApp>, deps: HealthDeps): void {
  const about = (summary: string) => ({ tags: ['health'], summary });
  app.get(
    '/healthz',
    { schema: { ...about('Whether the process answers'), response: { 200: Health, ...problemResponses } } },
    async (_request, reply) => reply.send({ status: 'ok' }),
  );
  app.get(
    '/readyz',
    {
      schema: {
        ...about('Whether clients may be sent here'),
        response: { 200: Readiness, 503: Readiness, '4xx': problemResponses['4xx'] },
      },
    },
    async (_request, reply) => {
      const storage = await deps.stores.health();
      const ready = storage === 'works' && deps.isReady();
      // A provider that can't be reached is that provider's trouble: counted here, but no reason to be taken out of service.
      const providersWithoutKeys = deps.control.registry.withoutKeys();
      // Nor is a clock that is not believed: what it would delete is kept.
      const details = { storage, providersWithoutKeys, clock: deps.control.clockState().kind };
      if (ready) return reply.code(200).send({ status: 'ready', ...details });
      return reply.code(503).send({ status: 'not-ready', ...details });
    },
  );
}

/** The two alone, for a listener of their own. */
export async function buildHealthHttp(
  deps: HealthDeps,
): Promise<{ readonly handler: RequestListener; readonly close: () => Promise<void> }> {
  const app = createApp(() => {});
  addHealthRoutes(app, deps);
  await app.ready();
  return {
    handler: (request, response) => app.routing(request, response),
    close: async () => {
      await app.close();
    },
  };
}
