// What operators did at any node, and what providers said of their people, read on in the audit log, which is written with
// what it tells of: so a suspension reaches every node without a message that may be lost. Acts on what is kept now, not on
// what an entry says; a repeat does nothing.
// Knows no bus, no streams and no accounts. Source: docs/decisions/0067.
import type { AuditEntry, AuditLog } from '../audit/audit-log.ts';

const pageEntries = 500;
/** A set of keys that can't be fetched is left to its own timer after so many looks. */
const maxKeyTries = 30;

/** What other nodes keep in memory of it. `nothing`: storage is asked about it each time. A newer node's actions are not here. */
const concerns: Readonly<Record<AuditEntry['action'], 'person' | 'providers' | 'keys' | 'nothing'>> = {
  'enlistment-suspended': 'person',
  'enlistment-resumed': 'person',
  'enlistment-disabled': 'person',
  'enlistment-enabled': 'person',
  'enlistment-renamed': 'person',
  'enlistment-credentials-compromised': 'person',
  'enlistment-deleted': 'person',
  'provider-keys-revoked': 'keys',
  'provider-suspended': 'providers',
  'provider-resumed': 'providers',
  'provider-admitted': 'providers',
  'provider-went-live': 'providers',
  'provider-withdrawn': 'providers',
  'provider-terms-changed': 'providers',
  'provider-registered': 'nothing',
  'provider-applied': 'nothing',
  'provider-refused': 'nothing',
  'provider-agreement-accepted': 'nothing',
  'enlistment-looked-up': 'nothing',
  'enlistment-exported': 'nothing',
  'own-user-deleted': 'nothing',
  'own-user-looked-up': 'nothing',
  'own-user-suspended': 'nothing',
  'own-user-resumed': 'nothing',
  'admin-added': 'nothing',
  'admin-removed': 'nothing',
  'clock-confirmed': 'nothing',
  'events-told-again': 'nothing',
  'report-looked-at': 'nothing',
  'report-upheld': 'nothing',
  'report-dismissed': 'nothing',
  'restriction-slowed': 'nothing',
  'restriction-accepted-only': 'nothing',
  'restriction-lifted': 'nothing',
  'restriction-forgiven': 'nothing',
};

export type OperatorStepsDeps = {
  readonly audit: Pick<AuditLog, 'head' | 'page'>;
  /** Something was decided about this person: their streams end if they may have none. */
  readonly personChanged: (interopId: string) => Promise<void>;
  /** A provider came, went or changed: all are read again. */
  readonly providersChanged: () => Promise<void>;
  /** Streams end that another key vouched for than those of the provider's set now. False: it could not be fetched. */
  readonly keysRevoked: (provider: number) => Promise<boolean>;
};

export class OperatorSteps {
  readonly #deps: OperatorStepsDeps;
  #seq = 0;
  /** What is still to be acted on: it stays when acting on it failed. */
  readonly #people = new Set<string>();
  /** Providers, and how often their keys were asked for. */
  readonly #revoked = new Map<number, number>();
  #areProvidersOld = true;

  constructor(deps: OperatorStepsDeps) {
    this.#deps = deps;
  }

  /** From here on. Providers were read a moment before: what was changed since is read with the first look. */
  async start(): Promise<void> {
    this.#seq = (await this.#deps.audit.head())?.lastSeq ?? 0;
  }

  /** Rejects with StoreError alone; the next look makes up for it. */
  async look(): Promise<void> {
    for (;;) {
      const entries = await this.#deps.audit.page(this.#seq, pageEntries);
      for (const entry of entries) this.#note(entry);
      this.#seq = entries.at(-1)?.seq ?? this.#seq;
      if (entries.length < pageEntries) break;
    }
    const { personChanged, providersChanged, keysRevoked } = this.#deps;
    if (this.#areProvidersOld) {
      await providersChanged();
      this.#areProvidersOld = false;
    }
    for (const person of this.#people) {
      await personChanged(person);
      this.#people.delete(person);
    }
    for (const [provider, tries] of this.#revoked) {
      if ((await keysRevoked(provider)) || tries === maxKeyTries) this.#revoked.delete(provider);
      else this.#revoked.set(provider, tries + 1);
    }
  }

  #note({ action, subject }: AuditEntry): void {
    switch (concerns[action]) {
      case 'person':
        this.#people.add(subject);
        return;
      case 'keys':
        this.#revoked.set(Number(subject), 1);
        return;
      case 'providers':
        this.#areProvidersOld = true;
        return;
      case 'nothing':
        return;
    }
  }
}
