// Where a server's log lines go: JSON by pino for machines, one readable line each for a terminal.
// Knows nothing of what is logged; events and codes are closed words and hold nothing of anybody.
import type { ControlLog } from '@drawbridge/gatekeeper/control';
import { pino } from 'pino';

export type LogLevel = 'info' | 'warn' | 'error';

const order: Readonly<Record<LogLevel, number>> = { info: 0, warn: 1, error: 2 };

export type LogTarget = { readonly write: (text: string) => unknown; readonly isTTY?: boolean };

/** Writes lines of at least `level` to `target`: JSON, or `12:30:05 warn  event key=value` when it is a terminal. */
export function createOperatorLog(target: LogTarget, level: LogLevel = 'info', nowMs = Date.now): ControlLog {
  if (target.isTTY === true) {
    return (at, event, data) => {
      if (order[at] < order[level]) return;
      const words = Object.entries(data).map(([key, value]) => ` ${key}=${value}`);
      target.write(`${new Date(nowMs()).toISOString().slice(11, 19)} ${at.padEnd(5)} ${event}${words.join('')}\n`);
    };
  }
  const logger = pino(
    {
      level,
      base: null,
      timestamp: () => `,"time":"${new Date(nowMs()).toISOString()}"`,
      formatters: { level: label => ({ level: label }) },
      messageKey: 'event',
    },
    { write: text => void target.write(text) },
  );
  return (at, event, data) => logger[at](data, event);
}
