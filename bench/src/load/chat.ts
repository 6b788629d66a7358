// Question: what does one routed message cost the server, and how long does it take? Pairs of people write to one
// another: in a closed loop (each direction keeps `window` messages under way), or in an open loop at a fixed rate with
// latency counted from the moment at which a message should have been sent (no coordinated omission).
import { createHistogram, performance } from 'node:perf_hooks';
import { memoryOf, switchesOf } from '../machine.ts';
import type { ClientSink, LoadClient } from './client.ts';
import { logInAll } from './logins.ts';
import { type Metered, sleep, startMeter } from './meter.ts';
import { type Payload, readPeople, type Target } from './target.ts';

export type ChatJob = {
  readonly kind: 'chat';
  readonly target: Target;
  readonly pairs: number;
  /** More people who are logged in and silent. */
  readonly idle?: number;
  readonly managed: boolean;
  readonly receipts: boolean;
  readonly payload: Payload;
  readonly load:
    | { readonly loop: 'closed'; readonly window: number }
    | { readonly loop: 'open'; readonly perSecond: number };
  readonly warmUpMs: number;
  readonly measureMs: number;
};

export type ChatResult = Metered & {
  /** Texts that arrived in the measured time (a receipt is part of its text). */
  readonly messages: number;
  readonly perSecond: number;
  readonly cpuMsPerMessage: number;
  readonly saturated: string | undefined;
  readonly latencyMs:
    | { readonly p50: number; readonly p99: number; readonly p999: number; readonly max: number }
    | undefined;
  readonly bytesPerMessage: { readonly sent: number; readonly received: number };
  readonly switchesPerMessage: number;
  readonly writesPerMessage: number;
  readonly refused: number;
  readonly lost: number;
  readonly residentKiB: number;
};

/** Messages under way whose times are remembered. */
const slots = 1 << 21;

export async function chat(job: ChatJob): Promise<ChatResult> {
  const { target, load, receipts } = job;
  const people = readPeople(target, job.pairs * 2 + (job.idle ?? 0));
  const sentAt = new Float64Array(slots);
  const histogram = createHistogram({ lowest: 1, highest: 120_000_000, figures: 3 });
  const lag = createHistogram({ lowest: 1, highest: 120_000_000, figures: 3 });
  // What an earlier run has left in mailboxes comes first, and is told by its lower numbers.
  const firstId = (Date.now() % 4_000_000) * 1_000;
  let nextId = firstId;
  let started = false;
  let arrived = 0;
  let refused = 0;
  let lost = 0;
  let lostReason = '';
  let measuring = false;
  let running = true;
  const clients: LoadClient[] = [];

  const sendText = (from: LoadClient, dueMs: number): void => {
    const id = nextId++;
    sentAt[id & (slots - 1)] = dueMs;
    from.send(people[from.person.index ^ 1]!, 'text', id);
  };
  const done = (sender: LoadClient, id: number): void => {
    arrived++;
    if (load.loop === 'closed') {
      if (running) sendText(sender, 0);
    } else if (measuring) {
      const micros = Math.round((performance.now() - sentAt[id & (slots - 1)]!) * 1_000);
      histogram.record(Math.max(1, micros));
    }
  };
  const sink: ClientSink = {
    message(client, kind, id) {
      if (!started || id < firstId) return;
      const other = clients[client.person.index ^ 1]!;
      if (kind === 'receipt') done(client, id);
      else if (receipts) client.send(other.person, 'receipt', id);
      else done(other, id);
    },
    acknowledged() {},
    refused() {
      refused++;
    },
    lost(_, reason) {
      lost++;
      lostReason = reason;
    },
  };
  const options = { target, payload: job.payload, managed: job.managed, available: true, sink, atOnce: 16 };
  const loggedIn = await logInAll(options, people);
  for (const client of loggedIn) clients[client.person.index] = client;
  await sleep(300);

  started = true;
  let ticker: NodeJS.Timeout | undefined;
  const talkers = clients.slice(0, job.pairs * 2);
  if (load.loop === 'closed') {
    for (const client of talkers) for (let i = 0; i < load.window; i++) sendText(client, 0);
  } else {
    const startMs = performance.now();
    const everyMs = 1_000 / load.perSecond;
    let due = 0;
    ticker = setInterval(() => {
      const nowMs = performance.now();
      while (startMs + due * everyMs <= nowMs) {
        const dueMs = startMs + due * everyMs;
        if (measuring) lag.record(Math.max(1, Math.round((nowMs - dueMs) * 1_000)));
        sendText(talkers[(due * 7_919) % talkers.length]!, dueMs);
        due++;
      }
    }, 1);
  }
  await sleep(job.warmUpMs);
  const bytes = (): { in: number; out: number } => {
    let [received, sent] = [0, 0];
    for (const client of talkers) {
      received += client.bytesIn;
      sent += client.bytesOut;
    }
    return { in: received, out: sent };
  };
  measuring = true;
  const before = { arrived, bytes: bytes(), switches: switchesOf(target.pid) };
  const stop = startMeter(target);
  await sleep(job.measureMs);
  const metered = stop();
  const messages = arrived - before.arrived;
  const after = bytes();
  const switches = switchesOf(target.pid);
  const { residentKiB } = memoryOf(target.pid);
  measuring = false;
  running = false;
  clearInterval(ticker);
  await sleep(200);
  for (const client of clients) client.close('in-order');
  if (lost > 0 && messages === 0) throw new Error(`connections were lost: ${lostReason}`);

  const { generatorCores } = metered;
  const lagP99Ms = lag.percentile(99) / 1_000;
  let saturated: string | undefined;
  if (generatorCores >= 0.85) saturated = `the load generator used ${generatorCores.toFixed(2)} of its core`;
  else if (load.loop === 'open' && lagP99Ms > 10) saturated = `messages left ${lagP99Ms.toFixed(1)} ms late (p99)`;
  const perMessage = (value: number): number => value / Math.max(1, messages);
  return {
    ...metered,
    messages,
    perSecond: messages / metered.seconds,
    cpuMsPerMessage: perMessage(metered.serverCpuMs),
    saturated,
    latencyMs:
      load.loop === 'open'
        ? {
            p50: histogram.percentile(50) / 1_000,
            p99: histogram.percentile(99) / 1_000,
            p999: histogram.percentile(99.9) / 1_000,
            max: histogram.max / 1_000,
          }
        : undefined,
    bytesPerMessage: {
      sent: perMessage(after.out - before.bytes.out),
      received: perMessage(after.in - before.bytes.in),
    },
    switchesPerMessage: perMessage(switches.voluntary - before.switches.voluntary),
    writesPerMessage: perMessage(switches.writeCalls - before.switches.writeCalls),
    refused,
    lost,
    residentKiB,
  };
}
