// Whether the embedded store works: one small durable write and one read, through its workers. Knows no domain.
import { createHeartbeat } from '../heartbeat.ts';
import type { StorageHealth } from '../stores.ts';
import type { SqliteStore } from './store.ts';

export function sqliteHeartbeat(
  store: Pick<SqliteStore, 'run' | 'read'>,
  nowMs: () => number,
  timeoutMs?: number,
): () => Promise<StorageHealth> {
  const beat = (): Promise<unknown> =>
    Promise.all([store.run('heartbeat', undefined), store.read('heartbeatRead', undefined)]);
  return createHeartbeat(beat, nowMs, timeoutMs);
}
