// Hands verified wake-ups to the provider's own push service: a few at a time, again after a growing pause when it fails, and
// never more than a bounded number. Knows nothing of push services, tokens or streams.
// Source: docs/protocol/03 (Wake-up); docs/operations/running-a-provider.md.

/** Called for each wake-up; a rejection means "try again". A wake-up may come twice, and says nothing but "connect". */
export type WakeUpHook = (identifier: string, gatekeeper: string) => unknown;

export type PushQueueLimits = {
  readonly atOnce: number;
  /** Wake-ups of one gatekeeper that wait or are tried; beyond that it is told to come again. */
  readonly maxPerGatekeeper: number;
  readonly attempts: number;
  /** Before the second try; doubled for each further one, and up to half of it is random. */
  readonly firstPauseMs: number;
  readonly maxPauseMs: number;
  /** A try that takes longer has failed. */
  readonly timeoutMs: number;
};

export const defaultPushQueueLimits: PushQueueLimits = {
  atOnce: 32,
  maxPerGatekeeper: 10_000,
  attempts: 7,
  firstPauseMs: 1_000,
  maxPauseMs: 60_000,
  timeoutMs: 30_000,
};

export type PushQueueOptions = {
  readonly hook: WakeUpHook;
  readonly limits: PushQueueLimits;
  readonly log: (event: string, code: string) => void;
  /** 0 up to but not including 1. */
  readonly random: () => number;
};

export type PushQueue = {
  /** Whether wake-ups of this gatekeeper should come later. */
  readonly isFull: (gatekeeper: string) => boolean;
  /** One that is the same as a waiting one adds nothing. */
  readonly add: (identifier: string, gatekeeper: string) => void;
  /** Forgets what waits, and lets what is tried end. */
  readonly close: () => Promise<void>;
};

type Entry = { readonly key: string; readonly identifier: string; readonly gatekeeper: string; attempt: number };

export function createPushQueue({ hook, limits, log, random }: PushQueueOptions): PushQueue {
  const ready: Entry[] = [];
  /** Waiting or in a pause, by person and gatekeeper; not those being tried, since a newer wake-up comes after them. */
  const waiting = new Set<string>();
  const counts = new Map<string, number>();
  const pauses = new Set<NodeJS.Timeout>();
  const running = new Set<Promise<void>>();
  let closed = false;

  function count(gatekeeper: string, by: 1 | -1): void {
    const left = (counts.get(gatekeeper) ?? 0) + by;
    if (left === 0) counts.delete(gatekeeper);
    else counts.set(gatekeeper, left);
  }

  function start(): void {
    while (!closed && running.size < limits.atOnce) {
      const entry = ready.shift();
      if (entry === undefined) return;
      waiting.delete(entry.key);
      const attempt = tryOnce(entry).finally(() => {
        running.delete(attempt);
        start();
      });
      running.add(attempt);
    }
  }

  async function tryOnce(entry: Entry): Promise<void> {
    try {
      await within(limits.timeoutMs, async () => void (await hook(entry.identifier, entry.gatekeeper)));
      count(entry.gatekeeper, -1);
    } catch {
      entry.attempt++;
      // A newer one for the same person waits: it does this one's work.
      if (waiting.has(entry.key)) return count(entry.gatekeeper, -1);
      if (entry.attempt < limits.attempts && !closed) return pause(entry);
      log('wake-up-hook-failed', 'gave-up');
      count(entry.gatekeeper, -1);
    }
  }

  function pause(entry: Entry): void {
    waiting.add(entry.key);
    const longMs = Math.min(limits.maxPauseMs, limits.firstPauseMs * 2 ** (entry.attempt - 1));
    const timer = setTimeout(
      () => {
        pauses.delete(timer);
        ready.push(entry);
        start();
      },
      longMs * (1 - random() / 2),
    );
    timer.unref();
    pauses.add(timer);
  }

  return {
    isFull: gatekeeper => (counts.get(gatekeeper) ?? 0) >= limits.maxPerGatekeeper,
    add(identifier, gatekeeper) {
      const key = `${gatekeeper} ${identifier}`;
      if (closed || waiting.has(key)) return;
      waiting.add(key);
      count(gatekeeper, 1);
      ready.push({ key, identifier, gatekeeper, attempt: 0 });
      start();
    },
    async close() {
      closed = true;
      for (const timer of pauses) clearTimeout(timer);
      await Promise.all(running);
    },
  };
}

async function within(ms: number, work: () => Promise<void>): Promise<void> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error('the hook took too long')), ms);
  try {
    await Promise.race([work(), late]);
  } finally {
    clearTimeout(timer);
  }
}
