// One round's people at work: senders who send as fast as their windows allow, and recipients who are away, acknowledge,
// acknowledge late, stop acknowledging, stop reading, or come and go. All of it is noted in the ledger; afterwards
// everybody comes, and drains what is owed. Knows nothing of faults.
import { setTimeout as sleep } from 'node:timers/promises';
import { attribute, childElement, type Element, textOf } from '@drawbridge/wire/element';
import { NS_E2EE } from '@drawbridge/wire/namespaces';
import { ciphertextOf, type CiphertextSizes, type Ledger, type Visit } from './ledger.ts';
import { domain, type Network, type Person } from './network.ts';
import type { Random } from './random.ts';
import type { RawStream } from './raw-stream.ts';

/** What a recipient does while a round's traffic runs. */
const manners = [
  'away',
  'away',
  'acknowledging',
  'answering-pings',
  'late',
  'sometimes',
  'silent',
  'stalled',
  'coming-and-going',
] as const;
type Manner = (typeof manners)[number];

/** Nothing that must come may take longer; it is far more than a loaded machine needs. */
const patienceMs = 30_000;

export class Traffic {
  readonly ledger: Ledger;
  readonly #network: Network;
  readonly #random: Random;
  readonly #sizes: CiphertextSizes;
  readonly #senders: Sender[] = [];
  readonly #recipients: Recipient[] = [];
  #over = false;

  constructor(network: Network, ledger: Ledger, random: Random, sizes: CiphertextSizes) {
    this.#network = network;
    this.ledger = ledger;
    this.#random = random;
    this.#sizes = sizes;
  }

  /** Logs in everybody who isn't away, and begins to send. */
  async start(): Promise<void> {
    const { recipients, senders } = this.#network;
    // Everybody's manner changes from round to round, and each is there in every round.
    const shift = this.#random.integer(0, manners.length - 1);
    for (const [i, person] of recipients.entries()) {
      const manner = manners[(i + shift) % manners.length]!;
      this.#recipients.push(new Recipient(this.#network, this.ledger, this.#random, this.#sizes, person, manner));
    }
    for (const person of senders) {
      const window = this.#random.integer(2, 60);
      this.#senders.push(new Sender(this.#network, this.ledger, this.#random, this.#sizes, person, window));
    }
    await Promise.all(this.#recipients.map(recipient => recipient.come()));
    await Promise.all(this.#senders.map(sender => sender.come()));
    for (const sender of this.#senders) sender.go();
  }

  /** Resolves with true as soon as `reached`; with false after `withinMs`. */
  async until(reached: () => boolean, withinMs: number): Promise<boolean> {
    const untilMs = performance.now() + withinMs;
    while (!reached()) {
      if (performance.now() > untilMs) return false;
      await sleep(5);
    }
    return true;
  }

  /** Messages acknowledged from now on to those who are away: each was written. */
  storedFromNow(): () => number {
    const away = new Set(this.#recipients.filter(each => each.manner === 'away').map(each => each.person.index));
    const counts = this.#senders.map(sender => sender.countStored(away));
    return () => counts.reduce((sum, count) => sum + count(), 0);
  }

  /** No more new messages. */
  stop(): void {
    this.#over = true;
    for (const sender of this.#senders) sender.stop();
    for (const recipient of this.#recipients) recipient.stop();
  }

  /** With a gatekeeper that lives on: everything sent is acknowledged or refused. Gives how many were not. */
  async settle(): Promise<number> {
    const open = (): number => this.#senders.reduce((sum, sender) => sum + sender.open, 0);
    await this.until(() => open() === 0, patienceMs);
    return open();
  }

  /** Everybody leaves: in good order who acknowledges, the others as if the network broke. */
  async leave(): Promise<void> {
    if (!this.#over) this.stop();
    await Promise.all([...this.#recipients, ...this.#senders].map(each => each.leave()));
  }

  /**
   * Everybody comes and acknowledges all that is owed. A last message to each, from one sender, says that there is no
   * more: mailboxes keep order. Gives the number of recipients whom it did not reach.
   */
  async drain(): Promise<number> {
    const { senders, recipients } = this.#network;
    const drains = recipients.map(
      person => new Recipient(this.#network, this.ledger, this.#random, this.#sizes, person, 'acknowledging'),
    );
    await Promise.all(drains.map(drain => drain.come()));
    const last = new Sender(this.#network, this.ledger, this.#random, this.#sizes, this.#random.pick(senders), 0);
    await last.come();
    const awaited = new Map(drains.map(drain => [drain, last.sendTo(drain.person)]));
    last.flush();
    const missing = (): number => [...awaited].filter(([drain, id]) => !drain.lastIds.has(id)).length;
    const isDone = (): boolean => {
      // Draining makes room on a full disk, for this message too.
      for (const [drain, id] of awaited) if (last.refused.has(id)) awaited.set(drain, last.sendTo(drain.person));
      last.flush();
      return missing() === 0 && last.open === 0;
    };
    await this.until(isDone, patienceMs);
    for (const drain of drains) drain.acknowledge();
    await Promise.all([last.leave(), ...drains.map(drain => drain.leave())]);
    return missing();
  }

  /** What no mailbox holds any more is gone from disk a moment later. Gives what is left then. */
  async left(): Promise<number> {
    await this.until(() => this.#network.storedEntries() === 0, 5_000);
    return this.#network.storedEntries();
  }
}

class Sender {
  readonly #network: Network;
  readonly #ledger: Ledger;
  readonly #random: Random;
  readonly #sizes: CiphertextSizes;
  readonly #person: Person;
  readonly #window: number;
  #stream: RawStream | undefined;
  /** Ids in the order in which they were sent on this stream. */
  readonly #ids: string[] = [];
  readonly #to: number[] = [];
  readonly refused = new Set<string>();
  #handled = 0;
  #asking = false;
  #going = false;
  readonly #counters: { readonly of: ReadonlySet<number>; readonly from: number; count: number }[] = [];

  constructor(
    network: Network,
    ledger: Ledger,
    random: Random,
    sizes: CiphertextSizes,
    person: Person,
    window: number,
  ) {
    this.#network = network;
    this.#ledger = ledger;
    this.#random = random;
    this.#sizes = sizes;
    this.#person = person;
    this.#window = window;
  }

  async come(): Promise<void> {
    this.#stream = await this.#network.open(this.#person, {
      managed: true,
      onAcknowledged: handled => this.#acknowledged(handled),
      onStanza: stanza => {
        const id = attribute(stanza, 'id') ?? '';
        if (attribute(stanza, 'type') !== 'error') return;
        const error = childElement(stanza, 'error', stanza.ns);
        if (error === undefined || attribute(error, 'type') !== 'wait')
          this.#ledger.wrongAnswer(`${id} was refused, but not with "wait"`);
        this.refused.add(id);
        this.#ledger.refuse(id);
      },
    });
  }

  get open(): number {
    return this.#ids.length - this.#handled;
  }

  go(): void {
    this.#going = true;
    this.#fill();
  }

  stop(): void {
    this.#going = false;
  }

  /** Counts what is acknowledged from now on of what goes to these recipients from now on. */
  countStored(of: ReadonlySet<number>): () => number {
    const counter = { of, from: this.#ids.length, count: 0 };
    this.#counters.push(counter);
    return () => counter.count;
  }

  sendTo(recipient: Person): string {
    const id = this.#ledger.send(this.#person.index, recipient.index);
    this.#ids.push(id);
    this.#to.push(recipient.index);
    this.#stream?.send(
      `<message to='${recipient.interopId}@${domain}' id='${id}' type='chat'>` +
        `<envelope xmlns='${NS_E2EE}' suite='signal-1' from-device='${this.#person.deviceId}'>` +
        `<ciphertext device='${recipient.deviceId}' kind='session'>${ciphertextOf(id, this.#sizes)}</ciphertext>` +
        '</envelope></message>',
    );
    return id;
  }

  /** Asks for an acknowledgement of all that was sent. */
  flush(): void {
    if (this.#asking || this.open === 0) return;
    this.#asking = true;
    this.#stream?.ask();
  }

  async leave(): Promise<void> {
    this.#going = false;
    await this.#stream?.end();
  }

  #fill(): void {
    if (!this.#going || this.#stream?.isOpen !== true) return;
    while (this.open < this.#window) this.sendTo(this.#random.pick(this.#network.recipients));
    this.flush();
  }

  #acknowledged(handled: number): void {
    if (!Number.isInteger(handled) || handled > this.#ids.length || handled < this.#handled) {
      this.#ledger.wrongAnswer(`${handled} counted of ${this.#ids.length}, after ${this.#handled}`);
      return;
    }
    for (; this.#handled < handled; this.#handled++) {
      const id = this.#ids[this.#handled]!;
      if (this.refused.has(id)) continue;
      this.#ledger.acknowledge(id);
      for (const counter of this.#counters) {
        if (this.#handled >= counter.from && counter.of.has(this.#to[this.#handled]!)) counter.count++;
      }
    }
    this.#asking = false;
    this.#fill();
    this.flush();
  }
}

class Recipient {
  readonly person: Person;
  readonly manner: Manner;
  /** Ids received on the stream that is open now. */
  readonly lastIds = new Set<string>();
  readonly #network: Network;
  readonly #ledger: Ledger;
  readonly #random: Random;
  readonly #sizes: CiphertextSizes;
  #stream: RawStream | undefined;
  #visit: Visit | undefined;
  #staying = true;
  #wandering: Promise<void> | undefined;

  constructor(
    network: Network,
    ledger: Ledger,
    random: Random,
    sizes: CiphertextSizes,
    person: Person,
    manner: Manner,
  ) {
    this.#network = network;
    this.#ledger = ledger;
    this.#random = random;
    this.#sizes = sizes;
    this.person = person;
    this.manner = manner;
  }

  async come(): Promise<void> {
    if (this.manner === 'away') return;
    const visit = this.#ledger.visit(this.person.index, this.#network.life);
    this.#visit = visit;
    this.lastIds.clear();
    this.#stream = await this.#network.open(this.person, {
      managed: this.manner !== 'answering-pings',
      onAcknowledged: () => {},
      onStanza: stanza => this.#take(visit, stanza),
      onAsked: answer => {
        const answerNow = (): void => {
          if (this.#stream?.isOpen !== true || this.#visit !== visit) return;
          answer();
          this.#ledger.answer(visit);
        };
        if (this.manner === 'silent' || this.manner === 'stalled') return;
        // Around the time after which the gatekeeper writes what is not acknowledged.
        if (this.manner === 'late') setTimeout(answerNow, this.#random.integer(20, 90));
        else if (this.manner !== 'sometimes' || this.#random.share() < 0.7) answerNow();
      },
    });
    if (this.manner === 'stalled') this.#stream.stall();
    if (this.manner === 'coming-and-going') this.#wandering ??= this.#wander();
  }

  acknowledge(): void {
    if (this.#stream?.isOpen !== true || this.#visit === undefined) return;
    this.#stream.acknowledge();
    this.#ledger.answer(this.#visit);
  }

  stop(): void {
    this.#staying = false;
  }

  async leave(): Promise<void> {
    this.#staying = false;
    await this.#wandering;
    await this.#leaveNow(this.manner !== 'silent' && this.manner !== 'stalled' && this.manner !== 'late');
  }

  async #leaveNow(inGoodOrder: boolean): Promise<void> {
    const stream = this.#stream;
    const visit = this.#visit;
    if (stream === undefined || visit === undefined) return;
    this.#stream = undefined;
    if (!inGoodOrder) stream.cut();
    else if (await stream.end()) this.#ledger.heard(visit);
    await stream.gone;
  }

  async #wander(): Promise<void> {
    while (this.#staying) {
      await sleep(this.#random.integer(5, 60));
      await this.#leaveNow(this.#random.share() < 0.5);
      await sleep(this.#random.integer(0, 30));
      if (!this.#staying) return;
      // The gatekeeper may be gone.
      await this.come().catch(() => (this.#staying = false));
    }
  }

  #take(visit: Visit, stanza: Element): void {
    if (stanza.name !== 'message') return;
    const id = attribute(stanza, 'id') ?? '';
    const ciphertext = ((): Element | undefined => {
      const envelope = childElement(stanza, 'envelope', NS_E2EE);
      return envelope && childElement(envelope, 'ciphertext', NS_E2EE);
    })();
    const from = attribute(stanza, 'from') ?? '';
    const sender = this.#network.personOf(from.slice(0, from.indexOf('@')));
    const intact = ciphertext !== undefined && textOf(ciphertext) === ciphertextOf(id, this.#sizes);
    this.#ledger.arrive(visit, id, sender?.index, intact);
    this.lastIds.add(id);
  }
}
