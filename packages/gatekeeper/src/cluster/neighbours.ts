// The other nodes, as this one's mailboxes and accounts see them: what is written for a device is told to the node that has its
// stream, and what others tell is heard. Everything told is a hint: storage is asked again before anything hangs on it, and
// looked at now and then for what was not heard. Knows no bus's server, no streams and no rules.
// Source: docs/decisions/0067.
import type { InteropId } from '@drawbridge/wire/jid';
import type { AccountEvent, Device } from '../enlistment/account.ts';
import type { Elsewhere } from '../mailbox/elsewhere.ts';
import type { Bus } from './bus.ts';
import type { ClusterStore } from './cluster-store.ts';

/** How often a node says that it lives, and how long others wait for that. */
export const beatEveryMs = 2_000;
export const silentForMs = 10_000;
/** How often storage is asked what waits for the streams here: so long a lost hint may delay a message. */
export const lookEveryMs = 2_000;

/** Whatever hears of mailboxes: `Mailboxes`. */
export type HearsOfMail = {
  nudge(device: number): void;
  nudgeBehind(device: number, lastSeq: number): void;
  claimedElsewhere(device: number, epoch: number): void;
  deliverPassedOn(device: number, stanza: Uint8Array): void;
};

export type NeighbourDeps = {
  readonly node: string;
  readonly store: ClusterStore;
  /** Undefined: nothing is told, and storage is looked at alone. */
  readonly bus: Bus | undefined;
  readonly mail: () => HearsOfMail;
  /** An account, a device or a provider was changed by another node. */
  readonly hear: (event: AccountEvent) => void;
  /** Mail waits for these people, and the node that had their streams is dead. */
  readonly deserted: (people: readonly string[]) => void;
  readonly failed: (what: 'beat' | 'look') => void;
};

/** First byte of what is told of a device. */
const told = { written: 0, claimed: 1, passedOn: 2 } as const;
const eventSubject = 'events';
const subjectOf = (device: number): string => `device.${device}`;

type ToldEvent =
  | { readonly kind: 'account-changed' | 'account-suspended' | 'account-compromised'; readonly interopId: InteropId }
  | { readonly kind: 'device-removed'; readonly interopId: InteropId; readonly device: Device }
  | { readonly kind: 'account-withdrawn'; readonly interopId: InteropId; readonly devices: readonly Device[] }
  | { readonly kind: 'provider-suspended'; readonly provider: number }
  | { readonly kind: 'provider-keys'; readonly provider: number; readonly isRevoked: boolean };

export class Neighbours implements Elsewhere {
  readonly #deps: NeighbourDeps;
  readonly #listening = new Map<number, () => void>();
  readonly #timers: NodeJS.Timeout[] = [];
  #stopEvents: (() => void) | undefined;
  #isBeating = false;
  #isLooking = false;
  #isHearing = false;

  constructor(deps: NeighbourDeps) {
    this.#deps = deps;
  }

  /** Rejects when storage can't be asked. */
  async start(): Promise<void> {
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
    if (this.#isHearing || event.kind === 'keys-replaced') return;
    this.#deps.bus?.publish(
      eventSubject,
      Buffer.from(JSON.stringify({ node: this.#deps.node, event } satisfies { node: string; event: ToldEvent })),
    );
  }

  #tell(device: number, kind: number, rest: Uint8Array = new Uint8Array()): void {
    this.#deps.bus?.publish(subjectOf(device), Buffer.concat([Uint8Array.of(kind), rest]));
  }

  #hear(device: number, message: Uint8Array): void {
    const mail = this.#deps.mail();
    const rest = message.subarray(1);
    switch (message[0]) {
      case told.written:
        mail.nudge(device);
        return;
      case told.claimed:
        mail.claimedElsewhere(device, Number(Buffer.from(rest).toString()));
        return;
      case told.passedOn:
        mail.deliverPassedOn(device, rest);
        return;
      default:
      // A newer node's words.
    }
  }

  #hearEvent(message: Uint8Array): void {
    let heard: { node: string; event: ToldEvent };
    try {
      heard = JSON.parse(Buffer.from(message).toString()) as typeof heard;
    } catch {
      return;
    }
    const { node, event } = heard;
    if (node === this.#deps.node) return;
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
      await store.beat(node);
      const people = await store.endDeadClaims(node, silentForMs);
      if (people.length > 0) deserted(people);
    } catch {
      failed('beat');
    } finally {
      this.#isBeating = false;
    }
  }

  async #look(): Promise<void> {
    if (this.#isLooking) return;
    this.#isLooking = true;
    const { store, node, mail, failed } = this.#deps;
    try {
      for (const { device, lastSeq } of await store.waitingHere(node)) mail().nudgeBehind(device, lastSeq);
    } catch {
      failed('look');
    } finally {
      this.#isLooking = false;
    }
  }
}
