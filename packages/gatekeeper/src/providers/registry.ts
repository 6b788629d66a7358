// The registered providers: who may vouch for whom, with which keys, and who is suspended.
// Knows nothing of people. Number 0 is the gatekeeper's own users. Source: docs/protocol/01, 02; threat 2.
import type { EgressFetch } from '@drawbridge/identity/egress';
import { createKeySet, type KeySet, type KeySetEvent } from '@drawbridge/identity/key-set';
import { keepFresh } from '@drawbridge/identity/key-set-timer';
import type { KeySource, TrustedIssuer } from '@drawbridge/identity/verify-ownership-proof';
import type { Config } from '../config-schema.ts';
import type { ReachPolicy } from '../consent/may-reach.ts';
import type { AccountEvents } from '../enlistment/account-events.ts';
import type { ProviderStates, ProviderStatus } from './provider-states.ts';

export type Provider = {
  readonly number: number;
  readonly name: string;
  readonly issuer: string;
  readonly wakeUpUrl: string | undefined;
  readonly suites: ReadonlySet<string>;
  readonly trustClass: 'standard' | 'trial';
  readonly maxEnlistments: number;
  readonly status: ProviderStatus;
};

export type SetStatusResult = 'changed' | 'same' | 'unknown' | 'suspended-by-configuration';

export type Registry = ReachPolicy & {
  /** Live providers only, by exact `iss`. */
  readonly issuers: (iss: string) => TrustedIssuer | undefined;
  readonly find: (number: number) => Provider | undefined;
  readonly findByName: (name: string) => Provider | undefined;
  /** All, in ascending number; the first is number 0. */
  readonly list: () => readonly Provider[];
  readonly suiteAdmitted: (number: number, suite: string) => boolean;
  /** Durable and in the audit log; `provider-suspended` is emitted after that. */
  readonly setStatus: (
    number: number,
    status: ProviderStatus,
    actor: string,
    nowMs: number,
  ) => Promise<SetStatusResult>;
  /** Whether this key is in the provider's set, as it was fetched last. */
  readonly keyStands: (number: number, keyThumbprint: string) => boolean;
  /**
   * A key of the provider may be in wrong hands. For the embedded issuer (number 0): replaces all its keys now, and ends
   * every stream that an old one vouched for. For any other: fetches its set now and ends every stream that another key vouched for
   * than those in it (`keys-replaced`); in the audit log. `not-fetched`: nobody knows which keys are left, and nothing
   * was ended.
   */
  readonly revokeKeys: (number: number, actor: string, nowMs: number) => Promise<'revoked' | 'unknown' | 'not-fetched'>;
  /** Live providers whose key set has not been fetched yet. */
  readonly withoutKeys: () => number;
  readonly close: () => void;
};

/** The configuration contradicts what was registered before; the operator has to decide. */
export class RegistryError extends Error {
  readonly code = 'provider-renamed';
}

export type OwnIssuer = {
  readonly replaceAllKeys: () => Promise<void>;
  readonly holdsKey: (thumbprint: string) => boolean;
};

export type RegistryDeps = {
  readonly config: Config;
  readonly states: ProviderStates;
  readonly egressFetch: EgressFetch;
  /** The embedded issuer's keys; needed when `config.ownUsers.kind` is `embedded`. */
  readonly ownUserKeys: KeySource | undefined;
  /** The embedded issuer's way to throw away all its keys, and what is left; undefined when there is no such issuer. */
  readonly ownIssuer: OwnIssuer | undefined;
  readonly events: AccountEvents;
  readonly nowMs: () => number;
  /** Only goes forward. */
  readonly monotonicMs: () => number;
  readonly onKeySetEvent: (provider: number, event: KeySetEvent) => void;
};

type Entry = {
  provider: Provider;
  readonly heldByConfig: boolean;
  readonly keys: KeySource;
  readonly set: KeySet | undefined;
};

/** Registers the configured providers and starts fetching their keys. Rejects with RegistryError or StoreError. */
export async function createRegistry(deps: RegistryDeps): Promise<Registry> {
  const { config, states } = deps;
  const own = config.ownUsers;
  const wanted = [
    {
      number: 0,
      name: config.domain,
      issuer: own.kind === 'issuer' ? own.issuer : `${config.issuer}/users`,
      keySetOrigins: own.kind === 'issuer' ? own.keySetOrigins : [],
      wakeUpUrl: own.kind === 'issuer' ? own.wakeUpUrl : own.wakeUps ? `${config.issuer}/users/v1/wake-ups` : undefined,
      suites: own.suites,
      trustClass: 'standard' as const,
      quotas: { enlistments: Number.MAX_SAFE_INTEGER },
      status: 'live' as const,
    },
    ...config.providers.toSorted((a, b) => a.number - b.number),
  ];
  const registered = await states.register(
    wanted.map(({ number, name }) => ({ number, name })),
    deps.nowMs(),
  );
  if (registered.kind === 'refused') {
    throw new RegistryError(
      `provider ${registered.number}: the data folder knows number ${registered.storedNumber} as ` +
        `${registered.storedName}; a number and a name belong together for ever, so give the newcomer new ones`,
    );
  }

  const entries = new Map<number, Entry>();
  const byIssuer = new Map<string, Entry>();
  const byName = new Map<string, Entry>();
  const stops: (() => void)[] = [];
  for (const [index, { number, name, issuer, keySetOrigins, wakeUpUrl, suites, ...rest }] of wanted.entries()) {
    let keys = number === 0 && own.kind === 'embedded' ? deps.ownUserKeys : undefined;
    let set: KeySet | undefined;
    if (keys === undefined) {
      const onEvent = (event: KeySetEvent): void => {
        deps.onKeySetEvent(number, event);
        // Rotation overlaps; a set without any key of the one before says that those are good for nothing any more.
        if (event.kind === 'refreshed' && event.replacedAll) {
          deps.events.emit({ kind: 'keys-replaced', provider: number, stands: () => false });
        }
      };
      set = createKeySet({ issuer, keySetOrigins, fetch: deps.egressFetch, nowMs: deps.monotonicMs, onEvent });
      stops.push(keepFresh(set, deps.monotonicMs));
      keys = set;
    }
    const heldByConfig = rest.status === 'suspended';
    const provider: Provider = {
      number,
      name,
      issuer,
      wakeUpUrl,
      suites: new Set(suites),
      trustClass: rest.trustClass,
      maxEnlistments: rest.quotas.enlistments,
      status: heldByConfig ? 'suspended' : registered.statuses[index]!,
    };
    const entry = { provider, heldByConfig, keys, set };
    entries.set(number, entry);
    byIssuer.set(issuer, entry);
    byName.set(name, entry);
  }
  const pairs = new Set(config.policy.admittedPairs.flatMap(([a, b]) => [`${a} ${b}`, `${b} ${a}`]));

  return {
    issuers(iss) {
      const entry = byIssuer.get(iss);
      if (entry?.provider.status !== 'live') return undefined;
      return { providerNumber: entry.provider.number, keys: entry.keys };
    },
    find: number => entries.get(number)?.provider,
    findByName: name => byName.get(name)?.provider,
    list: () => Array.from(entries.values(), entry => entry.provider),
    isLive: number => entries.get(number)?.provider.status === 'live',
    admitsPair: (from, to) => pairs.size > 0 && pairs.has(`${from} ${to}`),
    suiteAdmitted: (number, suite) => entries.get(number)?.provider.suites.has(suite) === true,
    async setStatus(number, status, actor, nowMs) {
      const entry = entries.get(number);
      if (entry === undefined) return 'unknown';
      if (entry.heldByConfig && status === 'live') return 'suspended-by-configuration';
      const result = await states.setStatus({ number, status, actor, nowMs });
      if (result === 'changed') {
        entry.provider = { ...entry.provider, status };
        if (status === 'suspended') deps.events.emit({ kind: 'provider-suspended', provider: number });
      }
      return result;
    },
    keyStands: (number, keyThumbprint) => {
      const set = entries.get(number)?.set;
      if (set !== undefined) return set.holds(keyThumbprint);
      return number !== 0 || deps.ownIssuer === undefined || deps.ownIssuer.holdsKey(keyThumbprint);
    },
    async revokeKeys(number, actor, nowMs) {
      const entry = entries.get(number);
      const { ownIssuer } = deps;
      if (entry !== undefined && entry.set === undefined && number === 0 && ownIssuer !== undefined) {
        await ownIssuer.replaceAllKeys();
        await states.noteKeysRevoked({ number, actor, nowMs });
        deps.events.emit({ kind: 'keys-replaced', provider: number, stands: ownIssuer.holdsKey });
        return 'revoked';
      }
      if (entry?.set === undefined) return 'unknown';
      const { set } = entry;
      // A fetch that is under way may have begun before the keys were replaced.
      await set.refresh();
      const before = deps.monotonicMs();
      await set.refresh(true);
      if ((set.fetchedAtMs() ?? Number.NEGATIVE_INFINITY) < before) return 'not-fetched';
      await states.noteKeysRevoked({ number, actor, nowMs });
      deps.events.emit({ kind: 'keys-replaced', provider: number, stands: keyThumbprint => set.holds(keyThumbprint) });
      return 'revoked';
    },
    withoutKeys: () => {
      const waiting = (entry: Entry): boolean =>
        entry.provider.status === 'live' && entry.set !== undefined && entry.set.fetchedAtMs() === undefined;
      return [...entries.values()].filter(waiting).length;
    },
    close() {
      for (const stop of stops) stop();
    },
  };
}
