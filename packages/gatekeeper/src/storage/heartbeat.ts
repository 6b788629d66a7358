// Whether storage works just now, by one small durable write and one read. Asked by readiness checks. Knows no store.
import { type After, systemAfter } from '@drawbridge/identity/timers';
import { StoreError } from './store-error.ts';
import type { StorageHealth } from './stores.ts';

/** Storage that has not answered for this long is late. */
export const heartbeatTimeoutMs = 5_000;
/** An answer is believed for so long: whoever asks often costs no more writes than this allows. */
const believeMs = 1_000;

/**
 * `write` writes and reads, through what everything else uses, and rejects with a StoreError. Those who ask while an answer
 * is on its way share it. Never rejects.
 */
export function createHeartbeat(
  write: () => Promise<unknown>,
  nowMs: () => number,
  timeoutMs = heartbeatTimeoutMs,
  after: After = systemAfter,
): () => Promise<StorageHealth> {
  let asked: Promise<StorageHealth> | undefined;
  let answeredAtMs = Number.NEGATIVE_INFINITY;
  /** What was asked and not answered: storage that hangs is not asked again and again. */
  let open: Promise<StorageHealth> | undefined;

  async function beat(): Promise<StorageHealth> {
    try {
      await write();
      return 'works';
    } catch (error) {
      return error instanceof StoreError && error.code === 'disk-full' ? 'full' : 'failed';
    }
  }

  return () => {
    if (asked !== undefined && nowMs() - answeredAtMs < believeMs) return asked;
    open ??= beat().finally(() => {
      open = undefined;
    });
    answeredAtMs = Number.POSITIVE_INFINITY;
    const late = Promise.withResolvers<'late'>();
    const callOff = after(timeoutMs, () => late.resolve('late'));
    asked = Promise.race([open, late.promise]).finally(() => {
      answeredAtMs = nowMs();
      callOff();
    });
    return asked;
  };
}
