// People who send as fast as acknowledgements allow, with stream management, and note what was acknowledged; people who
// log in later and note what comes. Together they measure the mailbox, and tell what a crash has lost.
import { performance } from 'node:perf_hooks';
import type { ClientSink, LoadClient } from './client.ts';
import { logInAll } from './logins.ts';
import { type Metered, sleep, startMeter } from './meter.ts';
import { type Payload, readPeople, type Target } from './target.ts';

export type StoreJob = {
  readonly kind: 'store';
  readonly target: Target;
  /** Pairs of a sender (even) and a recipient (odd). */
  readonly pairs: number;
  /** Index of the first pair. */
  readonly firstPair?: number;
  readonly messagesEach: number;
  /** Messages without acknowledgement that a sender has at once. */
  readonly window: number;
  readonly payload: Payload;
  /** Recipients: away; or logged in and no longer reading. */
  readonly recipients: 'offline' | 'stalled';
  readonly fault?: {
    /** As soon as this number of messages has been acknowledged in all. */
    readonly afterAcknowledged: number;
    /** Stopped for this long before it is killed; 0 kills at once. */
    readonly stoppedMs: number;
  };
};

export type StoreResult = Metered & {
  /** Messages acknowledged, for each sender: always its first ones. */
  readonly acknowledged: readonly number[];
  readonly total: number;
  readonly perSecond: number;
  readonly cpuMsPerMessage: number;
  readonly refused: number;
  readonly bytesPerMessage: number;
};

/** Ids say whose message it is and which: sender × this + number. */
const perSender = 10_000_000;

/** Of a server that was killed. */
const nothingMetered: Metered = {
  seconds: 1,
  serverCpuMs: 0,
  serverSystemMs: 0,
  serverCores: 0,
  generatorCores: 0,
  otherCores: 0,
};

export async function store(job: StoreJob): Promise<StoreResult> {
  const { target, fault } = job;
  const first = (job.firstPair ?? 0) * 2;
  const people = readPeople(target, first + job.pairs * 2);
  const senders = people.slice(first).filter(person => person.index % 2 === 0);
  const sent = new Map<number, number>();
  const acknowledged = new Map<number, number>();
  /** Stanzas before the first message. */
  const before = new Map<number, number>();
  let total = 0;
  let refused = 0;
  let lost = 0;
  const finished = Promise.withResolvers<void>();
  let faulted = false;
  let firstId = 0;

  const fill = (client: LoadClient): void => {
    const { index } = client.person;
    let number = sent.get(index)!;
    const limit = Math.min(job.messagesEach, acknowledged.get(index)! + job.window);
    while (number < limit) client.send(people[index + 1]!, 'text', index * perSender + firstId + number++);
    sent.set(index, number);
  };
  const inject = async (): Promise<void> => {
    if (fault === undefined || faulted) return;
    faulted = true;
    if (fault.stoppedMs > 0) {
      process.kill(target.pid, 'SIGSTOP');
      await sleep(fault.stoppedMs);
      process.kill(target.pid, 'SIGCONT');
      await sleep(100);
    }
    process.kill(target.pid, 'SIGKILL');
    await sleep(500);
    finished.resolve();
  };
  const sink: ClientSink = {
    message() {},
    acknowledged(client, handled) {
      const { index } = client.person;
      const known = before.get(index);
      if (known === undefined) return;
      const now = Math.max(0, handled - known);
      total += now - acknowledged.get(index)!;
      acknowledged.set(index, now);
      if (fault !== undefined && total >= fault.afterAcknowledged) void inject();
      if (total === job.messagesEach * job.pairs) finished.resolve();
      else if (!faulted) fill(client);
    },
    refused() {
      refused++;
    },
    lost(client, reason) {
      if (!faulted && client.person.index % 2 === 0)
        finished.reject(new Error(`a sender's connection was lost: ${reason}`));
      lost++;
      if (faulted && lost >= job.pairs) finished.resolve();
    },
  };
  const options = { target, payload: job.payload, managed: true, available: true, sink, atOnce: 16 } as const;
  if (job.recipients === 'stalled') {
    const recipients = await logInAll(
      options,
      people.slice(first).filter(person => person.index % 2 === 1),
    );
    await sleep(400);
    for (const client of recipients) client.pause();
  }
  const clients = await logInAll(options, senders);
  await sleep(300);
  for (const client of clients) {
    const { index } = client.person;
    sent.set(index, 0);
    acknowledged.set(index, 0);
    before.set(index, client.sentStanzas);
  }
  const stop = startMeter(target);
  const bytesBefore = clients.reduce((sum, client) => sum + client.bytesOut, 0);
  firstId = 0;
  for (const client of clients) fill(client);
  let metered: Metered | undefined;
  if (fault === undefined) {
    await finished.promise;
    metered = stop();
  } else await Promise.race([finished.promise, sleep(60_000)]);
  const bytes = clients.reduce((sum, client) => sum + client.bytesOut, 0) - bytesBefore;
  for (const client of clients) client.close(faulted ? 'cut' : 'in-order');
  const measured = metered ?? nothingMetered;
  const { seconds, serverCpuMs } = measured;
  return {
    ...measured,
    acknowledged: senders.map(person => acknowledged.get(person.index)!),
    total,
    perSecond: total / seconds,
    cpuMsPerMessage: serverCpuMs / Math.max(1, total),
    refused,
    bytesPerMessage: bytes / Math.max(1, total),
  };
}

export type DrainJob = {
  readonly kind: 'drain';
  readonly target: Target;
  readonly pairs: number;
  readonly firstPair?: number;
  readonly payload: Payload;
  /** Messages to wait for in all; without it, until nothing has come for `quietMs`. */
  readonly expected?: number;
  readonly quietMs: number;
  /** How many of its first messages each sender knows to be acknowledged. */
  readonly acknowledged?: readonly number[];
};

export type DrainResult = Metered & {
  readonly received: number;
  readonly perSecond: number;
  readonly cpuMsPerMessage: number;
  readonly repeated: number;
  readonly outOfOrder: number;
  readonly lostAcknowledged: number;
};

export async function drain(job: DrainJob): Promise<DrainResult> {
  const { target } = job;
  const first = (job.firstPair ?? 0) * 2;
  const people = readPeople(target, first + job.pairs * 2);
  const recipients = people.slice(first).filter(person => person.index % 2 === 1);
  const seen = new Map<number, Set<number>>();
  const highest = new Map<number, number>();
  let received = 0;
  let repeated = 0;
  let outOfOrder = 0;
  let lastMs = performance.now();
  const complete = Promise.withResolvers<void>();
  const sink: ClientSink = {
    message(_, kind, id) {
      if (kind !== 'text') return;
      const sender = Math.floor(id / perSender);
      const number = id % perSender;
      let numbers = seen.get(sender);
      if (numbers === undefined) seen.set(sender, (numbers = new Set()));
      lastMs = performance.now();
      if (numbers.has(number)) {
        repeated++;
        return;
      }
      numbers.add(number);
      if (number < (highest.get(sender) ?? -1)) outOfOrder++;
      else highest.set(sender, number);
      received++;
      if (received === job.expected) complete.resolve();
    },
    acknowledged() {},
    refused() {},
    lost: (_, reason) => complete.reject(new Error(`a recipient's connection was lost: ${reason}`)),
  };
  const stop = startMeter(target);
  const beganMs = performance.now();
  const options = { target, payload: job.payload, managed: true, available: true, sink, atOnce: 16 } as const;
  const clients = await logInAll(options, recipients);
  lastMs = Math.max(lastMs, performance.now());
  for (;;) {
    const left = job.quietMs - (performance.now() - lastMs);
    if (left <= 0) break;
    const done = await Promise.race([complete.promise.then(() => true), sleep(Math.max(20, left)).then(() => false)]);
    if (done) break;
  }
  const metered = stop();
  // The last acknowledgements must leave before the connections do.
  await sleep(300);
  for (const client of clients) client.close('in-order');
  await sleep(200);
  let lostAcknowledged = 0;
  for (const [index, count] of (job.acknowledged ?? []).entries()) {
    const numbers = seen.get(first + index * 2);
    for (let number = 0; number < count; number++) if (numbers?.has(number) !== true) lostAcknowledged++;
  }
  const seconds = (lastMs - beganMs) / 1_000;
  return {
    ...metered,
    received,
    perSecond: received / seconds,
    cpuMsPerMessage: metered.serverCpuMs / Math.max(1, received),
    repeated,
    outOfOrder,
    lostAcknowledged,
  };
}
