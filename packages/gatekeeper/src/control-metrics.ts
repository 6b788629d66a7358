// What operators see of the control side, as numbers without names. Knows nothing of who reads them.
import { Counter, Gauge, type Registry } from 'prom-client';
import type { Control } from './control.ts';
import type { SqliteStore } from './storage/sqlite/store.ts';

/** Adds the control side's metrics to a registry; each is read when it is asked for. */
export function registerControlMetrics(register: Registry, control: Control, store: SqliteStore): void {
  const gauge = (name: string, help: string, read: () => number): void => {
    new Gauge({
      name,
      help,
      registers: [register],
      collect() {
        this.set(read());
      },
    });
  };
  gauge('drawbridge_accounts_cached', 'Accounts held in memory.', () => control.accounts.cached);
  gauge('drawbridge_store_waiting', 'Storage commands accepted and not yet durable.', () => store.waiting);
  gauge('drawbridge_wakeups_waiting', 'Wake-ups that wait to be sent.', control.wakeUps.waiting);
  gauge('drawbridge_providers_without_keys', 'Live providers whose key set was never fetched.', () =>
    control.registry.withoutKeys(),
  );
  gauge('drawbridge_providers_suspended', 'Suspended providers.', () => {
    return control.registry.list().filter(provider => provider.status === 'suspended').length;
  });
  new Counter({
    name: 'drawbridge_wakeups_total',
    help: 'Wake-ups by outcome.',
    labelNames: ['outcome'],
    registers: [register],
    collect() {
      this.reset();
      for (const [outcome, count] of Object.entries(control.wakeUps.counters)) this.inc({ outcome }, count);
    },
  });
}
