// What each file of the admin API's routes is given. Knows no routes.
import type { Registry as MetricsRegistry } from 'prom-client';
import type { AdminRole } from '../admin/admin-accounts.ts';
import type { Control, ControlLog } from '../control.ts';
import type { Stores } from '../storage/stores.ts';
import type { AdminGate } from './admin-gate.ts';
import type { createApp } from './app.ts';
import type { HealthDeps } from './health.ts';

/** What the admin API shows of streams. */
export type ShownSessions = {
  readonly all: () => Iterable<{ readonly provider: number; readonly connected: boolean }>;
  /** Of a device's row. */
  readonly ofDevice: (device: { readonly row: number }) => { readonly connected: boolean } | undefined;
};

export type AdminHttpDeps = HealthDeps & {
  readonly control: Control;
  readonly stores: Stores;
  readonly sessions: ShownSessions;
  readonly metrics: MetricsRegistry;
  readonly log: ControlLog;
  readonly nowMs: () => number;
  /** From `openAdminToken`. */
  readonly token: string;
  /** Admits to `/metrics` alone; the other token does too. Nobody has one when left out. */
  readonly metricsToken?: string;
};

/** What each file of routes is given. */
export type AdminRoutes = {
  readonly app: ReturnType<typeof createApp>;
  readonly deps: AdminHttpDeps;
  readonly gate: AdminGate;
  /** The words of a route's description. */
  readonly about: (
    tag: string,
    summary: string,
    role: AdminRole,
  ) => { tags: string[]; summary: string; description: string; security: Record<string, string[]>[] };
};
