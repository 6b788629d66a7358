// What of the log is written: a level, and a bound on how often one line repeats, so that strangers who are refused a
// thousand times a second don't fill the disk. Knows nothing of where lines go.
import type { Config } from '../config-schema.ts';
import type { ControlLog } from '../control.ts';

const order: Readonly<Record<'info' | 'warn' | 'error', number>> = { info: 0, warn: 1, error: 2 };
const windowMs = 60_000;
/** Different lines that are counted; events and codes are closed words, so there are never so many. */
const maxCounted = 2_000;

export type LogSettings = Config['log'];

export type BoundedLog = {
  readonly log: ControlLog;
  /** From now on. */
  configure(settings: LogSettings): void;
  /** Says how many lines were left out since the last time. */
  summarise(): void;
  /** Says it a last time and stops. */
  close(): void;
};

/** Lines of at least `level`; of those with one event, code and provider at most `linesPerMinute`, then a count of the rest. */
export function createBoundedLog(sink: ControlLog, first: LogSettings): BoundedLog {
  let settings = first;
  let counted = new Map<string, { readonly level: 'info' | 'warn' | 'error'; readonly event: string; count: number }>();
  const summarise = (): void => {
    const before = counted;
    counted = new Map();
    for (const [, { level, event, count }] of before) {
      const leftOut = count - settings.linesPerMinute;
      if (leftOut > 0) sink(level, 'lines-left-out', { of: event, count: leftOut });
    }
  };
  const timer = setInterval(summarise, windowMs);
  timer.unref();
  return {
    log(level, event, data) {
      if (order[level] < order[settings.level]) return;
      const key = `${event} ${data['code'] ?? data['condition'] ?? ''} ${data['provider'] ?? ''}`;
      const known = counted.get(key);
      if (known === undefined && counted.size < maxCounted) counted.set(key, { level, event, count: 1 });
      else if (known !== undefined && ++known.count > settings.linesPerMinute) return;
      sink(level, event, data);
    },
    configure(next) {
      settings = next;
    },
    summarise,
    close() {
      clearInterval(timer);
      summarise();
    },
  };
}
