// What operators measure: counts without any label that names a person, device or address.
// Knows nothing of who reads them.
import { statSync } from 'node:fs';
import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client';
import type { Control } from './control.ts';
import type { Core } from './core.ts';
import { createMeasuredDepth } from './operations/measured-depth.ts';
import type { MailboxDepth, Stores } from './storage/stores.ts';

export type MetricsDeps = {
  readonly core: Core;
  readonly control: Control;
  readonly stores: Stores;
  /** Of the embedded store; undefined: the database is elsewhere, and has figures of its own. */
  readonly databaseFile: string | undefined;
  /** When the certificate ends; undefined without one. */
  readonly certificateExpiresAtMs: () => number | undefined;
  readonly nowMs: () => number;
};

export function createMetrics(deps: MetricsDeps): Registry {
  const { core, control, stores } = deps;
  const registry = new Registry();
  collectDefaultMetrics({ register: registry, prefix: 'drawbridge_' });
  const gauge = (name: string, help: string, value: () => number): void => {
    const metric = new Gauge({
      name: `drawbridge_${name}`,
      help,
      registers: [],
      collect() {
        this.set(value());
      },
    });
    registry.registerMetric(metric);
  };
  const counter = (name: string, help: string, value: () => number): void => {
    let seen = 0;
    const metric = new Counter({
      name: `drawbridge_${name}`,
      help,
      registers: [],
      collect() {
        this.inc(value() - seen);
        seen = value();
      },
    });
    registry.registerMetric(metric);
  };
  gauge('sessions', 'Sessions of devices, connected or resumable', () => core.sessions.count);
  gauge('connections', 'Open connections', () => core.listenerHost.gate.connections);
  gauge(
    'connections_unauthenticated',
    'Open connections that have not logged in',
    () => core.listenerHost.gate.unauthenticated,
  );
  gauge('logins_waiting', 'Steps of logins that wait for their turn', () => core.listenerHost.gate.turns.waiting);
  gauge('storage_waiting', 'Storage commands accepted and not yet durable', () => stores.waiting());
  gauge('wake_ups_waiting', 'Wake-ups not yet delivered to their provider', () => control.wakeUps.waiting());
  for (const [outcome, name] of [
    ['sent', 'sent'],
    ['failed', 'failed'],
    ['givenUp', 'given_up'],
    ['dropped', 'dropped'],
  ] as const) {
    counter(`wake_ups_${name}_total`, `Wake-ups by outcome: ${name}`, () => control.wakeUps.counters[outcome]);
  }
  counter('messages_routed_total', 'Messages taken for delivery', () => core.counters.routed);
  counter('messages_refused_total', 'Messages refused with an error', () => core.counters.refused);
  counter(
    'messages_storage_refused_total',
    'Messages refused because storage could not keep them',
    () => core.counters.storageRefused,
  );
  counter(
    'stanzas_dropped_total',
    'Stanzas dropped without an answer (errors, answers nobody asked for)',
    () => core.counters.dropped,
  );
  counter(
    'bus_not_understood_total',
    'Messages on the bus that are none of a node’s words: of a newer version, or of a stranger',
    () => core.counters.notUnderstood,
  );
  counter(
    'bus_lost_total',
    'Messages to other nodes that were not sent, for the bus does not keep up; storage is asked instead',
    () => core.lostOnBus,
  );
  counter('mailbox_damaged_total', 'Stored entries that could not be read', () => core.counters.damaged);
  addOutcomes(registry, deps);
  addStorage(registry, deps);
  addMailboxes(registry, deps);
  return registry;
}

/** Counts by a closed word: an outcome, a condition, a budget, a provider's number. */
function addOutcomes(registry: Registry, { core, control }: MetricsDeps): void {
  const counts = (
    name: string,
    help: string,
    label: string,
    values: () => Iterable<readonly [string, number]>,
  ): void => {
    const metric = new Counter({
      name: `drawbridge_${name}`,
      help,
      labelNames: [label],
      registers: [],
      collect() {
        this.reset();
        for (const [word, value] of values()) this.inc({ [label]: word }, value);
      },
    });
    registry.registerMetric(metric);
  };
  counts('logins_total', 'Logins by outcome: admitted, or the code of the refusal', 'outcome', () => control.logins);
  counts(
    'refusals_total',
    'Stanzas refused with an error, by its condition',
    'condition',
    () => core.counters.refusedBy,
  );
  counts(
    'stream_errors_total',
    'Streams that ended with an error, by its condition or code',
    'condition',
    () => core.listenerHost.streamErrors,
  );
  counts(
    'budget_refusals_total',
    'Requests refused because a budget was spent',
    'budget',
    () => control.budgets.refusals,
  );
  counts(
    'provider_events_total',
    'Events that providers told, by what became of them',
    'outcome',
    () => control.inboundEvents.counts,
  );
  counts('events_told_total', 'Tries to tell providers of events, by outcome', 'outcome', () =>
    Object.entries(control.outboundEvents.counters),
  );
  counts('wake_ups_total', 'Wake-ups by outcome', 'outcome', () => {
    const { sent, givenUp, failed, dropped } = control.wakeUps.counters;
    return Object.entries({ sent, 'given-up': givenUp, failed, dropped });
  });
  const sessions = new Gauge({
    name: 'drawbridge_provider_sessions',
    help: "Sessions of each provider's devices, by its number (0: own users)",
    labelNames: ['provider'],
    registers: [],
    collect() {
      this.reset();
      for (const { number } of control.registry.list()) this.set({ provider: String(number) }, 0);
      for (const { provider } of core.sessions.all()) this.inc({ provider: String(provider) });
    },
  });
  registry.registerMetric(sessions);
}

/** What fills up, ends or lags. */
function addStorage(registry: Registry, deps: MetricsDeps): void {
  const gauge = (name: string, help: string, value: () => number | undefined | Promise<number>): void => {
    const metric = new Gauge({
      name: `drawbridge_${name}`,
      help,
      registers: [],
      async collect() {
        const now = await value();
        if (now !== undefined) this.set(now);
      },
    });
    registry.registerMetric(metric);
  };
  const size = (end: string): number | undefined =>
    deps.databaseFile === undefined
      ? undefined
      : (statSync(`${deps.databaseFile}${end}`, { throwIfNoEntry: false })?.size ?? 0);
  gauge('database_bytes', "Size of the embedded store's file", () => size(''));
  gauge('database_wal_bytes', "Size of the embedded store's write-ahead log", () => size('-wal'));
  gauge('certificate_days_left', 'Days until the certificate that is served ends', () => {
    const atMs = deps.certificateExpiresAtMs();
    return atMs === undefined ? undefined : (atMs - deps.nowMs()) / 86_400_000;
  });
  gauge('clock_believed', '1: what is kept grows old by the clock; 0: the clock is not believed', () =>
    deps.control.clockState().kind === 'believed' ? 1 : 0,
  );
  gauge('providers_without_keys', 'Live providers whose key set has not been fetched yet', () =>
    deps.control.registry.withoutKeys(),
  );
  gauge('storage_answer_seconds', 'How long storage took to say how it is, a write included', async () => {
    const startMs = performance.now();
    await deps.stores.health();
    return (performance.now() - startMs) / 1_000;
  });
  gauge('storage_works', '1: storage takes writes and answers reads; 0: full, late or failed', async () =>
    (await deps.stores.health()) === 'works' ? 1 : 0,
  );
}

/** What waits in mailboxes, and what each provider's people take. */
function addMailboxes(registry: Registry, deps: MetricsDeps): void {
  const depth = createMeasuredDepth(deps.stores.measureDepth, () => performance.now());
  const gauge = (name: string, help: string, value: (depth: MailboxDepth) => number): void => {
    const metric = new Gauge({
      name: `drawbridge_${name}`,
      help,
      registers: [],
      async collect() {
        const now = await depth();
        if (now !== undefined) this.set(value(now));
      },
    });
    registry.registerMetric(metric);
  };
  gauge('mailbox_entries', 'Messages that wait', ({ entries }) => entries);
  gauge('mailbox_devices', 'Devices for which messages wait', ({ devices }) => devices);
  gauge('mailbox_oldest_seconds', 'Age of the message that waits for longest', ({ oldestAcceptedAtMs }) =>
    oldestAcceptedAtMs === undefined ? 0 : (deps.nowMs() - oldestAcceptedAtMs) / 1_000,
  );
  const { providers, outgoingEvents } = deps.stores;
  const perProvider = <T>(
    name: string,
    help: string,
    read: () => Promise<readonly T[]>,
    value: (each: T) => readonly [provider: number, value: number],
  ): void => {
    const metric = new Gauge({
      name: `drawbridge_provider_${name}`,
      help: `${help}, by the provider's number (0: own users)`,
      labelNames: ['provider'],
      registers: [],
      async collect() {
        const list = await read().catch(() => undefined);
        if (list === undefined) return;
        this.reset();
        for (const each of list) {
          const [provider, now] = value(each);
          this.set({ provider: String(provider) }, now);
        }
      },
    });
    registry.registerMetric(metric);
  };
  const counts = () => outgoingEvents.counts();
  perProvider('events_waiting', 'Events that wait to be told', counts, each => [each.provider, each.waiting]);
  perProvider('events_dead', 'Events that could not be told', counts, each => [each.provider, each.dead]);
  const use = () => providers.listUse();
  perProvider('enlistments', 'People who are enlisted', use, each => [each.number, each.enlistments]);
  perProvider('mailbox_bytes', 'Bytes that wait', use, each => [each.number, each.mailboxBytes]);
}
