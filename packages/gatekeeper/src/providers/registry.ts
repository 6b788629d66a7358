// The registered providers: who may vouch for whom, with which keys, and who is suspended.
// Knows nothing of people. Number 0 is the gatekeeper's own users. Source: docs/protocol/01, 02; threat 2.
import type { EgressFetch } from '@drawbridge/identity/egress';
import { createKeySet, type KeptKeySet, type KeySet, type KeySetEvent } from '@drawbridge/identity/key-set';
import { keepFresh } from '@drawbridge/identity/key-set-timer';
import type { KeySource, TrustedIssuer } from '@drawbridge/identity/verify-ownership-proof';
import type { Config } from '../config-schema.ts';
import type { ReachPolicy } from '../consent/may-reach.ts';
import type { NewEvent } from '../events/event-outbox.ts';
import { composeEvent } from '../events/outbound-events.ts';
import type { AccountEvents } from '../enlistment/account-events.ts';
import type { Application, ProviderApplications } from './applications.ts';
import type { ProviderStates, ProviderStatus, StoredKeySet } from './provider-states.ts';

export type Provider = {
  readonly number: number;
  readonly name: string;
  readonly issuer: string;
  /** `eventsUrl`, when wake-ups have no place of their own. */
  readonly wakeUpUrl: string | undefined;
  readonly eventsUrl: string | undefined;
  readonly mediaOrigins: readonly string[];
  readonly suites: ReadonlySet<string>;
  readonly trustClass: 'standard' | 'trial';
  readonly maxEnlistments: number;
  /** `sandbox`: its people reach each other, and own users who test with it. */
  readonly status: ProviderStatus | 'sandbox';
  /** It came by an application, not by the configuration. */
  readonly applied: boolean;
};

export type SetStatusResult = 'changed' | 'same' | 'unknown' | 'suspended-by-configuration';

export type Registry = ReachPolicy & {
  /** Live providers only, by exact `iss`. */
  readonly issuers: (iss: string) => TrustedIssuer | undefined;
  /** Suspended ones too: whose signature it is can be asked of them, but nothing that they vouch for holds. */
  readonly registered: (iss: string) => TrustedIssuer | undefined;
  readonly find: (number: number) => Provider | undefined;
  readonly findByName: (name: string) => Provider | undefined;
  /** All, in ascending number; the first is number 0. */
  readonly list: () => readonly Provider[];
  /** Whether an own user of this identifier may opt in to the provider, and is shown it. */
  readonly mayChoose: (provider: Provider, identifier: string) => boolean;
  /** The number of the provider whose files lie at this origin. */
  readonly providerOfOrigin: (origin: string) => number | undefined;
  readonly suiteAdmitted: (number: number, suite: string) => boolean;
  /** Durable and in the audit log; `provider-suspended` is emitted after that. */
  readonly setStatus: (
    number: number,
    status: ProviderStatus,
    actor: string,
    nowMs: number,
    reason?: string,
  ) => Promise<SetStatusResult>;
  /** In this process alone and at once: its streams end. For a step that is durable and has yet to be read again. */
  readonly end: (number: number) => void;
  /** Whether this key is in the provider's set, as it was fetched last. */
  readonly keyStands: (number: number, keyThumbprint: string) => boolean;
  /**
   * A key of the provider may be in wrong hands. For the embedded issuer (number 0): replaces all its keys now, and ends
   * every stream that an old one vouched for. For any other: fetches its set now and ends every stream that another key vouched for
   * than those in it (`keys-replaced`); in the audit log. `not-fetched`: nobody knows which keys are left, and nothing
   * was ended.
   */
  readonly revokeKeys: (
    number: number,
    actor: string,
    nowMs: number,
    reason?: string,
  ) => Promise<'revoked' | 'unknown' | 'not-fetched'>;
  /**
   * Fetches the provider's key set now, in this process; with `isRevoked` streams end that another key vouched for than
   * those in it. False: it could not be fetched, or there is none to fetch.
   */
  readonly refetchKeys: (number: number, isRevoked: boolean) => Promise<boolean>;
  /**
   * Takes the providers of another configuration; those that stay keep their keys and streams, streams of those that are
   * gone or suspended now end. Gives the words of what is wrong when a number or name was another's: nothing changed then.
   */
  readonly reconfigure: (config: Config) => Promise<string | undefined>;
  /**
   * Reads from storage what is kept of providers: those that applied, and who is suspended. After a step that was taken
   * outside of this registry, here or at another node; streams of those that left or are suspended end.
   */
  readonly readAgain: () => Promise<void>;
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
  readonly applications: Pick<ProviderApplications, 'admitted'>;
  readonly egressFetch: EgressFetch;
  /** The embedded issuer's keys; needed when `config.ownUsers.kind` is `embedded`. */
  readonly ownUserKeys: KeySource | undefined;
  /** The embedded issuer's way to throw away all its keys, and what is left; undefined when there is no such issuer. */
  readonly ownIssuer: OwnIssuer | undefined;
  readonly events: AccountEvents;
  readonly nowMs: () => number;
  /** What providers are told as the time. */
  readonly tellMs: () => number;
  /** Only goes forward. */
  readonly monotonicMs: () => number;
  readonly onKeySetEvent: (provider: number, event: KeySetEvent) => void;
};

type Entry = {
  provider: Provider;
  /** What it is when nobody has suspended it. */
  readonly stage: 'sandbox' | 'live';
  readonly heldByConfig: boolean;
  readonly keys: KeySource;
  readonly set: KeySet | undefined;
  /** Where the keys lie: with another issuer or origin a new set is made. */
  readonly keyPlaces: string;
  readonly stop: () => void;
};

type Wanted = Config['providers'][number] & { readonly stage?: 'sandbox' | 'live' };

/** Own users and third-party providers, as configured, in ascending number. */
function wantedProviders(config: Config): Wanted[] {
  const own = config.ownUsers;
  return [
    {
      number: 0,
      name: config.domain,
      issuer: own.kind === 'issuer' ? own.issuer : `${config.issuer}/users`,
      keySetOrigins: own.kind === 'issuer' ? own.keySetOrigins : [],
      mediaOrigins: own.kind === 'issuer' ? own.mediaOrigins : [],
      ...placesOf(config),
      suites: own.suites,
      trustClass: 'standard',
      quotas: { enlistments: Number.MAX_SAFE_INTEGER },
      status: 'live',
    },
    ...config.providers.toSorted((a, b) => a.number - b.number),
  ];
}

function wantedOf({ number, issuer, terms, stage, grant }: Application): Wanted {
  const { name, keySetOrigins, mediaOrigins, wakeUpUrl, eventsUrl } = terms;
  return {
    number: number!,
    name,
    issuer,
    keySetOrigins: [...keySetOrigins],
    mediaOrigins: [...mediaOrigins],
    ...(wakeUpUrl === undefined ? {} : { wakeUpUrl }),
    ...(eventsUrl === undefined ? {} : { eventsUrl }),
    suites: [...(grant?.suites ?? [])],
    trustClass: grant?.trustClass ?? 'trial',
    quotas: { enlistments: grant?.enlistments ?? 0 },
    status: 'live',
    stage: stage === 'live' ? 'live' : 'sandbox',
  };
}

/** What a configured and an applied provider may not share; the words of the first that they do. */
function clashOf(configured: readonly Wanted[], applied: readonly Wanted[]): string | undefined {
  for (const one of applied) {
    const other = configured.find(
      each =>
        each.number === one.number ||
        each.name === one.name ||
        each.issuer === one.issuer ||
        each.mediaOrigins.some(origin => one.mediaOrigins.includes(origin)),
    );
    if (other === undefined) continue;
    return (
      `provider ${other.number} (${other.name}): number, name, issuer or a media origin belong to provider ${one.number} ` +
      `(${one.name}), which applied and was admitted: take it out of the configuration, or withdraw the other first`
    );
  }
  return undefined;
}

function placesOf({ issuer, ownUsers }: Config): { readonly wakeUpUrl?: string; readonly eventsUrl?: string } {
  if (ownUsers.kind === 'embedded') return ownUsers.wakeUps ? { wakeUpUrl: `${issuer}/users/v1/wake-ups` } : {};
  const { wakeUpUrl, eventsUrl } = ownUsers;
  return {
    ...(wakeUpUrl === undefined ? {} : { wakeUpUrl }),
    ...(eventsUrl === undefined ? {} : { eventsUrl }),
  };
}

/** What is known of each provider just now: its configuration, its status and its keys. */
class Entries {
  readonly #deps: RegistryDeps;
  byNumber = new Map<number, Entry>();
  byIssuer = new Map<string, Entry>();
  byName = new Map<string, Entry>();
  byOrigin = new Map<string, number>();
  pairs: ReadonlySet<string> = new Set();
  sandboxPeople: ReadonlySet<string> = new Set();

  constructor(deps: RegistryDeps) {
    this.#deps = deps;
  }

  /** Takes the providers of a configuration. Those that are there already keep their keys. */
  async take(config: Config): Promise<{ readonly refused: string } | undefined> {
    const configured = wantedProviders(config);
    const applied = (await this.#deps.applications.admitted()).map(wantedOf);
    const clash = clashOf(configured, applied);
    if (clash !== undefined) return { refused: clash };
    const wanted = [...configured, ...applied].toSorted((a, b) => a.number - b.number);
    const registered = await this.#deps.states.register(
      wanted.map(({ number, name }) => ({ number, name })),
      this.#deps.nowMs(),
    );
    if (registered.kind === 'refused') {
      return {
        refused:
          `provider ${registered.number}: the data folder knows number ${registered.storedNumber} as ` +
          `${registered.storedName}; a number and a name belong together for ever, so give the newcomer new ones`,
      };
    }
    const kept = await this.#deps.states.keptKeySets();
    const before = this.byNumber;
    const entries = wanted.map((each, index) =>
      this.#entry(
        each,
        registered.statuses[index]!,
        before.get(each.number),
        config.ownUsers.kind === 'embedded',
        kept,
      ),
    );
    this.byNumber = new Map(entries.map(entry => [entry.provider.number, entry]));
    this.byIssuer = new Map(entries.map(entry => [entry.provider.issuer, entry]));
    this.byOrigin = new Map(
      entries.flatMap(({ provider }) => provider.mediaOrigins.map(origin => [origin, provider.number] as const)),
    );
    this.sandboxPeople = new Set(config.applications.sandboxPeople);
    this.byName = new Map(entries.map(entry => [entry.provider.name, entry]));
    this.pairs = new Set(config.policy.admittedPairs.flatMap(([a, b]) => [`${a} ${b}`, `${b} ${a}`]));
    for (const old of before.values()) this.#endWhatChanged(old);
    return undefined;
  }

  registered(iss: string): TrustedIssuer | undefined {
    const entry = this.byIssuer.get(iss);
    return entry && { providerNumber: entry.provider.number, keys: entry.keys };
  }

  setStatus(entry: Entry, status: ProviderStatus): void {
    const { number } = entry.provider;
    entry.provider = { ...entry.provider, status: status === 'live' ? entry.stage : status };
    if (status === 'suspended') this.#deps.events.emit({ kind: 'provider-suspended', provider: number });
  }

  close(): void {
    for (const entry of this.byNumber.values()) entry.stop();
  }

  #entry(
    wanted: Wanted,
    stored: ProviderStatus,
    old: Entry | undefined,
    ownEmbedded: boolean,
    kept: readonly StoredKeySet[],
  ): Entry {
    const { number, name, issuer, keySetOrigins, mediaOrigins, wakeUpUrl, eventsUrl, suites, trustClass, quotas } =
      wanted;
    const stage = wanted.stage ?? 'live';
    const heldByConfig = wanted.status === 'suspended';
    const provider: Provider = {
      number,
      name,
      issuer,
      wakeUpUrl: wakeUpUrl ?? eventsUrl,
      eventsUrl,
      mediaOrigins,
      suites: new Set(suites),
      trustClass,
      maxEnlistments: quotas.enlistments,
      status: heldByConfig || stored === 'suspended' ? 'suspended' : stage,
      applied: wanted.stage !== undefined,
    };
    const keyPlaces = [issuer, ...keySetOrigins].join(' ');
    if (old !== undefined && old.keyPlaces === keyPlaces) return { ...old, provider, stage, heldByConfig };
    const own = number === 0 && ownEmbedded ? this.#deps.ownUserKeys : undefined;
    if (own !== undefined)
      return { provider, stage, heldByConfig, keyPlaces, keys: own, set: undefined, stop: () => {} };
    const { onKeySetEvent, events, egressFetch, monotonicMs } = this.#deps;
    const onEvent = (event: KeySetEvent): void => {
      onKeySetEvent(number, event);
      // Rotation overlaps; a set without any key of the one before says that those are good for nothing any more.
      if (event.kind === 'refreshed' && event.replacedAll) {
        events.emit({ kind: 'keys-replaced', provider: number, stands: () => false });
      }
    };
    const earlier = kept.find(each => each.number === number && each.places === keyPlaces);
    const set = createKeySet({
      issuer,
      keySetOrigins,
      fetch: egressFetch,
      nowMs: monotonicMs,
      onEvent,
      ...(earlier === undefined ? {} : { kept: this.#aged(earlier) }),
      keep: body => {
        const fetched = { number, places: keyPlaces, body, fetchedAtMs: this.#deps.nowMs() };
        // Only spares an outage after a restart: a store that fails now is reported elsewhere.
        this.#deps.states.keepKeySet(fetched).catch(() => {});
      },
    });
    return { provider, stage, heldByConfig, keyPlaces, keys: set, set, stop: keepFresh(set, monotonicMs) };
  }

  #aged({ body, fetchedAtMs }: StoredKeySet): KeptKeySet {
    return { body, ageMs: this.#deps.nowMs() - fetchedAtMs };
  }

  /** Streams of providers that are gone, suspended or have another issuer now end; all others go on. */
  #endWhatChanged(old: Entry): void {
    const { number, status } = old.provider;
    const { events } = this.#deps;
    const now = this.byNumber.get(number);
    if (now === undefined || now.keyPlaces !== old.keyPlaces) old.stop();
    if (now === undefined || (status !== 'suspended' && now.provider.status === 'suspended')) {
      events.emit({ kind: 'provider-suspended', provider: number });
    } else if (now.provider.issuer !== old.provider.issuer) {
      events.emit({ kind: 'keys-replaced', provider: number, stands: () => false });
    }
  }
}

async function revokeKeys(
  deps: RegistryDeps,
  entry: Entry | undefined,
  note: Parameters<ProviderStates['noteKeysRevoked']>[0],
): Promise<'revoked' | 'unknown' | 'not-fetched'> {
  const { states, ownIssuer, events } = deps;
  const { number } = note;
  if (entry !== undefined && entry.set === undefined && number === 0 && ownIssuer !== undefined) {
    await ownIssuer.replaceAllKeys();
    await states.noteKeysRevoked(note);
    events.emit({ kind: 'keys-replaced', provider: number, stands: ownIssuer.holdsKey });
    return 'revoked';
  }
  if (entry?.set === undefined) return 'unknown';
  const { set } = entry;
  if (!(await isFetchedNow(set, deps.monotonicMs))) return 'not-fetched';
  await states.noteKeysRevoked(note);
  events.emit({ kind: 'keys-replaced', provider: number, stands: keyThumbprint => set.holds(keyThumbprint) });
  events.emit({ kind: 'provider-keys', provider: number, isRevoked: true });
  return 'revoked';
}

async function isFetchedNow(set: KeySet, monotonicMs: () => number): Promise<boolean> {
  const before = monotonicMs();
  await set.refresh(true);
  return (set.fetchedAtMs() ?? Number.NEGATIVE_INFINITY) >= before;
}

async function refetchKeys(deps: RegistryDeps, entry: Entry | undefined, isRevoked: boolean): Promise<boolean> {
  const set = entry?.set;
  if (entry === undefined || set === undefined || !(await isFetchedNow(set, deps.monotonicMs))) return false;
  const { number } = entry.provider;
  if (isRevoked) {
    deps.events.emit({ kind: 'keys-replaced', provider: number, stands: thumbprint => set.holds(thumbprint) });
  }
  return true;
}

const stepOf = (step: string, reason: string | undefined, nowMs: number) =>
  ({ event: 'urn:drawbridge:event:provider-step', payload: { step, reason }, nowMs }) as const;

/** Registers the configured providers and starts fetching their keys. Rejects with RegistryError or StoreError. */
export async function createRegistry(deps: RegistryDeps): Promise<Registry> {
  const { states } = deps;
  const known = new Entries(deps);
  let config = deps.config;
  // One after the other: each reads what the one before has written.
  let turn: Promise<unknown> = Promise.resolve();
  const inTurn = <T>(change: () => Promise<T>): Promise<T> => {
    const changed = turn.then(change);
    turn = changed.catch(() => undefined);
    return changed;
  };
  const take = (next?: Config): Promise<{ readonly refused: string } | undefined> =>
    inTurn(async () => {
      const fault = await known.take(next ?? config);
      if (fault === undefined) config = next ?? config;
      return fault;
    });
  const isLive = (number: number): boolean => {
    const status = known.byNumber.get(number)?.provider.status;
    return status === 'live' || status === 'sandbox';
  };
  const toldStep = (entry: Entry | undefined, step: string, reason?: string): NewEvent | undefined =>
    composeEvent(entry?.provider, config.limits, stepOf(step, reason, deps.tellMs()));
  const faults = await take();
  if (faults !== undefined) throw new RegistryError(faults.refused);

  return {
    issuers(iss) {
      const found = known.registered(iss);
      return found !== undefined && isLive(found.providerNumber) ? found : undefined;
    },
    registered: iss => known.registered(iss),
    find: number => known.byNumber.get(number)?.provider,
    findByName: name => known.byName.get(name)?.provider,
    list: () => Array.from(known.byNumber.values(), entry => entry.provider),
    isLive,
    admitsPair: (from, to) =>
      (known.pairs.size > 0 && known.pairs.has(`${from} ${to}`)) ||
      (from === to && known.byNumber.get(from)?.provider.status === 'sandbox'),
    mayChoose: ({ status }, identifier) => status !== 'sandbox' || known.sandboxPeople.has(identifier),
    providerOfOrigin: origin => known.byOrigin.get(origin),
    suiteAdmitted: (number, suite) => known.byNumber.get(number)?.provider.suites.has(suite) === true,
    setStatus: (number, status, actor, nowMs, reason) =>
      inTurn(async () => {
        const entry = known.byNumber.get(number);
        if (entry === undefined) return 'unknown';
        if (entry.heldByConfig && status === 'live') return 'suspended-by-configuration';
        const event = toldStep(entry, status === 'live' ? 'resumed' : 'suspended', reason);
        const result = await states.setStatus({ number, status, actor, reason, nowMs, event });
        if (result === 'changed') known.setStatus(entry, status);
        return result;
      }),
    end(number) {
      const entry = known.byNumber.get(number);
      if (entry !== undefined) known.setStatus(entry, 'suspended');
    },
    keyStands: (number, keyThumbprint) => {
      const set = known.byNumber.get(number)?.set;
      if (set !== undefined) return set.holds(keyThumbprint);
      return number !== 0 || deps.ownIssuer === undefined || deps.ownIssuer.holdsKey(keyThumbprint);
    },
    revokeKeys: (number, actor, nowMs, reason) => {
      const entry = known.byNumber.get(number);
      const event = toldStep(entry, 'keys-revoked', reason);
      return revokeKeys(deps, entry, { number, actor, nowMs, reason, event });
    },
    refetchKeys: (number, isRevoked) => refetchKeys(deps, known.byNumber.get(number), isRevoked),
    withoutKeys: () => {
      const waiting = (entry: Entry): boolean =>
        isLive(entry.provider.number) && entry.set !== undefined && entry.set.fetchedAtMs() === undefined;
      return [...known.byNumber.values()].filter(waiting).length;
    },
    reconfigure: async next => (await take(next))?.refused,
    readAgain: async () => {
      await take();
    },
    close: () => known.close(),
  };
}
