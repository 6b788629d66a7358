// Open event streams of the provider's sleeping apps, by person: a wake-up goes to all of that person's streams.
// Knows nothing of tokens or sessions. A wake-up has no content: the app connects to its gatekeeper and looks.
// Source: HTML living standard, section 9.2 (server-sent events).

import type { ServerResponse } from 'node:http';
import { type After, every, systemAfter } from '@drawbridge/identity/timers';

export const wakeUpStreamLimits = {
  maxStreams: 10_000,
  maxPerUser: 16,
  heartbeatMs: 25_000,
  /** A wake-up that finds no stream waits this long for one: apps reconnect. */
  pendingMs: 600_000,
  maxPending: 10_000,
};

export type WakeUpStreams = {
  /** True when the stream was opened; the response is then this room's until it closes. */
  readonly open: (identifier: string, response: ServerResponse) => boolean;
  readonly wake: (identifier: string, gatekeeper: string) => void;
  /** Ends the streams of one person. */
  readonly end: (identifier: string) => void;
  readonly close: () => void;
};

/** `nowMs` only goes forward. */
export function createWakeUpStreams(nowMs: () => number, after: After = systemAfter): WakeUpStreams {
  const byUser = new Map<string, Set<ServerResponse>>();
  const pending = new Map<string, { readonly gatekeepers: Set<string>; readonly untilMs: number }>();
  let count = 0;

  /** A reader that lets even these few bytes pile up is gone. */
  function write(response: ServerResponse, text: string): void {
    if (!response.write(text)) response.destroy();
  }

  const endHeartbeat = every(after, wakeUpStreamLimits.heartbeatMs, () => {
    for (const streams of byUser.values()) for (const response of streams) write(response, ':\n\n');
  });

  return {
    open: (identifier, response) => {
      const streams = byUser.get(identifier) ?? new Set();
      if (count >= wakeUpStreamLimits.maxStreams || streams.size >= wakeUpStreamLimits.maxPerUser) return false;
      byUser.set(identifier, streams.add(response));
      count++;
      response.once('close', () => {
        count--;
        streams.delete(response);
        if (streams.size === 0 && byUser.get(identifier) === streams) byUser.delete(identifier);
      });
      response.writeHead(200, {
        'content-type': 'text/event-stream',
        'cache-control': 'no-store',
        'x-accel-buffering': 'no',
      });
      response.write('retry: 5000\n\n');
      const missed = pending.get(identifier);
      pending.delete(identifier);
      if (missed !== undefined && nowMs() < missed.untilMs) {
        for (const gatekeeper of missed.gatekeepers) write(response, eventText(gatekeeper));
      }
      return true;
    },
    wake: (identifier, gatekeeper) => {
      const streams = byUser.get(identifier);
      if (streams !== undefined) {
        for (const response of streams) write(response, eventText(gatekeeper));
        return;
      }
      // At most one entry for each registered gatekeeper.
      const gatekeepers = pending.get(identifier)?.gatekeepers ?? new Set();
      pending.delete(identifier);
      pending.set(identifier, {
        gatekeepers: gatekeepers.add(gatekeeper),
        untilMs: nowMs() + wakeUpStreamLimits.pendingMs,
      });
      if (pending.size > wakeUpStreamLimits.maxPending) {
        const oldest = pending.keys().next();
        if (oldest.done !== true) pending.delete(oldest.value);
      }
    },
    end: identifier => {
      pending.delete(identifier);
      for (const response of byUser.get(identifier) ?? []) response.end();
    },
    close: () => {
      endHeartbeat();
      pending.clear();
      for (const streams of byUser.values()) for (const response of streams) response.end();
    },
  };
}

/** JSON has no line breaks, so one data line holds it. */
function eventText(gatekeeper: string): string {
  return `event: wake-up\ndata: ${JSON.stringify({ gatekeeper })}\n\n`;
}
