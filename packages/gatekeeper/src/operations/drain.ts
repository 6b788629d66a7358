// Empties a gatekeeper before it stops, in stages: readiness goes off, no connection is taken any more, streams are told to
// come again one after the other, so that the next process isn't stormed. Writing and closing are `close`'s.
// Knows nothing of signals; time and randomness are arguments.
import type { Config } from '../config-schema.ts';

export type DrainParts = {
  readonly settings: Config['drain'];
  readonly listening: { notReady(): void; stop(): void };
  /** Streams that are there now; `end` tells each why. */
  readonly streams: () => readonly { end(condition: 'system-shutdown'): void }[];
  readonly sleepMs: (ms: number) => Promise<unknown>;
  /** 0 inclusive to the argument exclusive. */
  readonly randomBelow: (limit: number) => number;
  readonly log: (event: string, data: Readonly<Record<string, number>>) => void;
};

/** How often some streams are ended. */
const stepMs = 50;

export async function drain(parts: DrainParts): Promise<void> {
  const { settings, listening, sleepMs, randomBelow, log } = parts;
  log('drain-not-ready', { seconds: settings.noticeSeconds });
  listening.notReady();
  if (settings.noticeSeconds > 0) await sleepMs(settings.noticeSeconds * 1_000);
  listening.stop();
  const left = [...parts.streams()];
  log('drain-streams', { streams: left.length, seconds: settings.spreadSeconds });
  // With few streams nobody is stormed, and nobody waits for long.
  for (let steps = Math.ceil((settings.spreadSeconds * 1_000) / stepMs); left.length > 0; steps--) {
    for (let count = Math.ceil(left.length / Math.max(1, steps)); count > 0; count--) {
      left.splice(randomBelow(left.length), 1)[0]?.end('system-shutdown');
    }
    if (left.length > 0) await sleepMs(stepMs);
  }
}
