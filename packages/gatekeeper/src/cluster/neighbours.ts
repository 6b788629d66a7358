// The other nodes, as this one's mailboxes and accounts see them: what is written for a device is told to the node that has its
// stream, and what others tell is heard. Everything told is a hint: storage is asked again before anything hangs on it, and
// looked at now and then for what was not heard. Knows no bus's server, no streams and no rules.
// Source: docs/decisions/0067.
import type { AccountEvent } from '../enlistment/account.ts';
import type { Elsewhere } from '../mailbox/elsewhere.ts';
import type { Bus } from './bus.ts';
import type { ClusterStore, OwnClaim } from './cluster-store.ts';
import { OperatorSteps, type OperatorStepsDeps } from './operator-steps.ts';
import { encodeToldEvent, parseToldEvent } from './told-event.ts';

/** How often a node says that it lives, and how long others wait for that. */
export const beatEveryMs = 2_000;
export const silentForMs = 10_000;
/** How often storage is asked what waits for the streams here: so long a lost hint may delay a message. */
export const lookEveryMs = 2_000;
/** Each so many looks storage is asked which claims are over: a device that was removed or is at another node. */
const looksPerCheck = 15;
const waitingPerPage = 5_000;
const claimsPerPage = 1_000;

/** Whatever hears of mailboxes: `Mailboxes`. */
export type HearsOfMail = {
  /** All that streams here have just now. */
  claims(): readonly OwnClaim[];
  nudge(device: number): void;
  nudgeBehind(device: number, lastSeq: number): void;
  claimedElsewhere(device: number, epoch: number): void;
  deliverPassedOn(device: number, stanza: Uint8Array): void;
};

export type NeighbourDeps = Omit<OperatorStepsDeps, 'personChanged'> & {
  readonly node: string;
  readonly store: ClusterStore;
  /** Undefined: nothing is told, and storage is looked at alone. */
  readonly bus: Bus | undefined;
  readonly mail: () => HearsOfMail;
  /** An account, a device or a provider was changed by another node. */
  readonly hear: (event: AccountEvent) => void;
  /** What was kept of this person in memory is forgotten: their streams end if they may have none any more. */
  readonly recheck: (interopId: string) => Promise<void>;
  /** Mail waits for these people, and the node that had their streams is dead. */
  readonly deserted: (people: readonly string[]) => void;
  readonly failed: (what: 'beat' | 'look') => void;
  /** Something on the bus was none of a node's words. */
  readonly notUnderstood: () => void;
};

/** First byte of what is said about a device. */
const told = { written: 0, claimed: 1, passedOn: 2 } as const;
const eventSubject = 'events';
const subjectOf = (device: number): string => `device.${device}`;

export class Neighbours implements Elsewhere {
  readonly #deps: NeighbourDeps;
  readonly #steps: OperatorSteps;
  readonly #listening = new Map<number, () => void>();
  readonly #timers: NodeJS.Timeout[] = [];
  #stopEvents: (() => void) | undefined;
  #isBeating = false;
  #isLooking = false;
  #isHearing = false;
  /** Others took this node for dead, and its claims are still to be renewed. */
  #isBack = false;
  #looks = 0;

  constructor(deps: NeighbourDeps) {
    this.#deps = deps;
    this.#steps = new OperatorSteps({
      ...deps,
      personChanged: async interopId => {
        this.#hearWithoutTelling({ kind: 'account-changed', interopId });
        await deps.recheck(interopId);
      },
    });
  }

  /** Rejects when storage can't be asked. */
  async start(): Promise<void> {
    await this.#steps.start();
    await this.#deps.store.beat(this.#deps.node);
    this.#timers.push(
      setInterval(() => void this.#beat(), beatEveryMs).unref(),
      setInterval(() => void this.#look(), lookEveryMs).unref(),
    );
    this.#stopEvents = this.#deps.bus?.subscribe(eventSubject, message => this.#hearEvent(message));
  }

  stop(): void {
    for (const timer of this.#timers) clearInterval(timer);
    this.#stopEvents?.();
    for (const stop of this.#listening.values()) stop();
    this.#listening.clear();
  }

  came(device: number): void {
    const { bus } = this.#deps;
    if (bus === undefined || this.#listening.has(device)) return;
    this.#listening.set(
      device,
      bus.subscribe(subjectOf(device), message => this.#hear(device, message)),
    );
  }

  left(device: number): void {
    this.#listening.get(device)?.();
    this.#listening.delete(device);
  }

  claimed(device: number, epoch: number): void {
    this.#tell(device, told.claimed, Buffer.from(String(epoch)));
  }

  written(device: number): void {
    this.#tell(device, told.written);
  }

  passOn(device: number, stanza: Uint8Array): void {
    this.#tell(device, told.passedOn, stanza);
  }

  /** What this node has changed; what it hears from others is not told again. */
  tellEvent(event: AccountEvent): void {
    const { bus, node } = this.#deps;
    if (this.#isHearing || bus === undefined) return;
    const message = encodeToldEvent(node, event);
    if (message !== undefined) bus.publish(eventSubject, message);
  }

  #tell(device: number, kind: number, rest: Uint8Array = new Uint8Array()): void {
    this.#deps.bus?.publish(subjectOf(device), Buffer.concat([Uint8Array.of(kind), rest]));
  }

  #hear(device: number, message: Uint8Array): void {
    const { mail, notUnderstood } = this.#deps;
    const rest = message.subarray(1);
    switch (message[0]) {
      case told.written:
        mail().nudge(device);
        return;
      case told.claimed: {
        const epoch = Buffer.from(rest).toString();
        if (!/^[1-9][0-9]{0,14}$/.test(epoch)) notUnderstood();
        else mail().claimedElsewhere(device, Number(epoch));
        return;
      }
      case told.passedOn:
        mail().deliverPassedOn(device, rest);
        return;
      default:
        // A newer node's words, or nobody's.
        notUnderstood();
    }
  }

  #hearEvent(message: Uint8Array): void {
    const heard = parseToldEvent(message);
    if (heard === undefined) this.#deps.notUnderstood();
    else if (heard.node !== this.#deps.node) this.#hearWithoutTelling(heard.event);
  }

  #hearWithoutTelling(event: AccountEvent): void {
    this.#isHearing = true;
    try {
      this.#deps.hear(event);
    } finally {
      this.#isHearing = false;
    }
  }

  async #beat(): Promise<void> {
    if (this.#isBeating) return;
    this.#isBeating = true;
    const { store, node, deserted, failed } = this.#deps;
    try {
      if ((await store.beat(node)) === 'new') this.#isBack = true;
      if (this.#isBack) {
        await this.#renewClaims();
        this.#isBack = false;
      }
      const people = await store.endDeadClaims(node, silentForMs);
      if (people.length > 0) deserted(people);
    } catch {
      failed('beat');
    } finally {
      this.#isBeating = false;
    }
  }

  /** All at once, so that each page is as it is when it is called: a stream that ends meanwhile is released after it. */
  async #renewClaims(): Promise<void> {
    const { store, node, mail } = this.#deps;
    await Promise.all(pagesOf(mail().claims()).map(page => store.renewClaims(node, page)));
    await this.#endOver();
  }

  async #endOver(): Promise<void> {
    const { store, mail } = this.#deps;
    for (const page of pagesOf(mail().claims())) {
      for (const { device, epoch } of await store.claimsOver(page)) mail().claimedElsewhere(device, epoch + 1);
    }
  }

  async #look(): Promise<void> {
    if (this.#isLooking) return;
    this.#isLooking = true;
    try {
      await this.#lookForMail();
      if (++this.#looks % looksPerCheck === 0) await this.#endOver();
      await this.#steps.look();
    } catch {
      this.#deps.failed('look');
    } finally {
      this.#isLooking = false;
    }
  }

  async #lookForMail(): Promise<void> {
    const { store, node, mail } = this.#deps;
    let after = 0;
    for (;;) {
      const heads = await store.waitingHere(node, after, waitingPerPage);
      for (const { device, lastSeq } of heads) mail().nudgeBehind(device, lastSeq);
      if (heads.length < waitingPerPage) return;
      after = heads.at(-1)!.device;
    }
  }
}

function pagesOf(claims: readonly OwnClaim[]): readonly (readonly OwnClaim[])[] {
  const pages: OwnClaim[][] = [];
  for (let i = 0; i < claims.length; i += claimsPerPage) pages.push(claims.slice(i, i + claimsPerPage));
  return pages;
}
