// A process that keeps three wake-ups, hands one to a push service that never answers, and waits to be killed. For tests.
import { openProviderDatabase } from '../storage/provider-database.ts';
import { createPushQueue, defaultPushQueueLimits } from '../wake-ups/push-queue.ts';
import { createPushStore } from '../wake-ups/push-store.ts';

const pushes = createPushQueue({
  store: createPushStore(openProviderDatabase(process.argv[2] ?? '')),
  hook: () => new Promise<void>(() => {}),
  limits: { ...defaultPushQueueLimits, atOnce: 1 },
  random: Math.random,
  nowMs: Date.now,
  log: () => {},
});
for (const identifier of ['mia', 'otto', 'anna']) await pushes.add(identifier, 'citadel');
process.stdout.write('kept\n');
setInterval(() => {}, 1_000);
