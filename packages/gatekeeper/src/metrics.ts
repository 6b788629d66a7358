// What operators measure: counts without any label that names a person, device or address.
import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client';
import type { Control } from './control.ts';
import type { Core } from './core.ts';
import type { Stores } from './storage/stores.ts';

export function createMetrics(core: Core, control: Control, stores: Stores): Registry {
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
  counter('mailbox_damaged_total', 'Stored entries that could not be read', () => core.counters.damaged);
  return registry;
}
