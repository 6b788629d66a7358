// Where each stanza of a device goes: through the gate into mailboxes, to an IQ handler, or back with an error.
// Knows nothing of encodings, sockets or storage. Source: docs/protocol/06-stanzas.md; RFC 6120 section 10, RFC 6121 section 8.
import { attribute, type Element, element, OversizedElement } from '@drawbridge/wire/element';
import {
  type Ciphertext,
  deviceMessage,
  type EnvelopeMessage,
  envelopeRefusalElement,
  parseEnvelopeMessage,
  placedNotice,
} from '@drawbridge/wire/envelope';
import { parseJid } from '@drawbridge/wire/jid';
import { NS_CLIENT } from '@drawbridge/wire/namespaces';
import { parsePresence, stanzaRefusalElement } from '@drawbridge/wire/stanza';
import { stanzaErrorElement } from '@drawbridge/wire/stanza-error';
import type { FirstAnswer, People, Undecided } from '../consent/contacts.ts';
import type { Account, Accounts, Device } from '../enlistment/account.ts';
import type { Delivery } from '../mailbox/delivery.ts';
import type { RefusedBecause } from '../mailbox/device-mailbox.ts';
import { StoreError } from '../storage/store-error.ts';
import type { DeviceSession } from './device-session.ts';
import { type IqHandlers } from './iq.ts';
import { deviceById, wrongDevices } from './device-set.ts';
import { IqRouter } from './iq-router.ts';
import { MessageReceipt } from './message-receipt.ts';
import {
  answerError,
  blockedBySender,
  busy,
  comeAgain,
  conditionOf,
  firstContactFull,
  firstContactLarge,
  notAdmitted,
  refusals,
  tooLarge,
  unavailable,
  wrongFromDevice,
} from './stanza-answers.ts';

export type RouterDeps = {
  readonly domain: string;
  readonly accounts: Accounts;
  readonly delivery: Delivery;
  readonly iqHandlers: IqHandlers;
  readonly mayReach: (from: Account, to: Account) => boolean;
  readonly contacts: Pick<People, 'judge' | 'admit'>;
  readonly suiteAdmitted: (provider: number, suite: string) => boolean;
  /** Asks the person's provider to wake their devices; coalesced, without content. */
  readonly wakeUp: (account: Account) => void;
  readonly isReachable: (device: Device) => boolean;
  /** With other nodes about: no stream here says nothing, and storage tells whether there is one elsewhere. */
  readonly mayBeElsewhere: (device: Device) => boolean;
  readonly sessionsOf: (account: Account) => readonly DeviceSession[];
  readonly nowMs: () => number;
  /** Hears of what threw though nothing should have: a defect of ours, which costs one answer or one session. */
  readonly defect: (error: unknown) => void;
  readonly counters: RouterCounters;
};

/** Who sends and who receives, as read; undefined: there is nobody (any more). */
type Parties = {
  readonly from: Account | undefined;
  readonly to: Account | undefined;
  /** What a first contact, or an answer that accepts, was found to be. */
  readonly admitted?: FirstAnswer;
};
/** Something has to be read, or counted, before this stanza goes on. */
type NotYet =
  | { readonly kind: 'accounts-unread' }
  | {
      readonly kind: 'undecided';
      readonly from: Account;
      readonly to: Account;
      readonly what: Undecided;
      readonly message: EnvelopeMessage;
    };
const accountsUnread: NotYet = { kind: 'accounts-unread' };

/** Stanzas of one device that wait for an account; one read holds fewer, and none is read meanwhile. */
export const maxHeldStanzas = 10_000;

/** What operators count; no labels that name anybody. */
export type RouterCounters = {
  routed: number;
  refused: number;
  storageRefused: number;
  dropped: number;
  /** `refused`, by the condition of the error. */
  readonly refusedBy: Map<string, number>;
};

/** What a notice of a place counts for: a little more than it is. */
const placedBytes = 512;

export class Router {
  readonly #deps: RouterDeps;
  readonly #iqs: IqRouter;

  constructor(deps: RouterDeps) {
    this.#deps = deps;
    this.#iqs = new IqRouter(deps);
  }

  /** Routes at once when the accounts are in memory; else holds this stanza, and what follows it, until they are read. */
  route(session: DeviceSession, el: Element, sequence: number): void {
    const { held } = session;
    if (el instanceof OversizedElement) {
      this.#refuse(session, el, tooLarge);
      session.resolve(sequence);
      return;
    }
    if (held.length === 0 && this.#route(session, el, sequence, undefined) === undefined) return;
    if (held.length >= maxHeldStanzas) {
      answerError(session, el, busy, this.#deps.domain);
      session.resolve(sequence);
      return;
    }
    session.hold({ el, sequence });
    if (session.held.length === 1) void this.#routeHeld(session);
  }

  async #routeHeld(session: DeviceSession): Promise<void> {
    const { held } = session;
    for (let next = held[0]; next !== undefined; next = held[0]) {
      const { el, sequence } = next;
      try {
        const parties = await this.#read(session, el);
        const notYet = this.#route(session, el, sequence, parties);
        if (notYet?.kind === 'undecided') {
          this.#route(session, el, sequence, { ...parties, admitted: await this.#admit(session, notYet) });
        }
      } catch (error) {
        if (!(error instanceof StoreError)) {
          this.#deps.defect(error);
          session.end('internal-server-error');
          return;
        }
        this.storageRefused(session, el, 'storage-failed');
        session.resolve(sequence);
      }
      held.shift();
    }
    session.readOrWait();
  }

  /** The sender, and for a message its recipient: by the same reads whether there is such a person, or one within reach. */
  async #read(session: DeviceSession, el: Element): Promise<Parties> {
    const { accounts, mayReach } = this.#deps;
    const from = await accounts.find(session.interopId);
    const isThere = from?.devices.some(device => device.row === session.device.row) === true;
    if (!isThere) return { from: undefined, to: undefined };
    const local = el.name === 'message' ? parseJid(attribute(el, 'to') ?? '')?.local : undefined;
    if (local === undefined) return { from, to: undefined };
    if (local === from.interopId) return { from, to: from };
    const known = accounts.peek(local);
    if (known === undefined) return { from, to: await accounts.find(local, from.row) };
    return { from, to: mayReach(from, known) ? known : await accounts.findAfresh(local, from) };
  }

  #admit(
    session: DeviceSession,
    { from, to, what, message }: Extract<NotYet, { readonly kind: 'undecided' }>,
  ): Promise<FirstAnswer> {
    const largestBytes = message.ciphertexts.reduce((most, { payload }) => Math.max(most, bytesOf(payload)), 0);
    const facts = { isLoud: isLoudMessage(message), largestBytes };
    return this.#deps.contacts.admit(from, to, what, facts, { device: session.device.row, network: session.network });
  }

  /** What has to be done first: then nothing was done. Nothing, when all of it is given. */
  #route(session: DeviceSession, el: Element, sequence: number, parties: Parties | undefined): NotYet | undefined {
    switch (el.name) {
      case 'message':
        return this.#message(session, el, sequence, parties);
      case 'iq':
        return this.#iqs.route(session, el, sequence, parties) ? undefined : accountsUnread;
      case 'presence':
        if (!this.#presence(session, el, parties)) return accountsUnread;
        session.resolve(sequence);
        return undefined;
      default:
        answerError(session, el, stanzaErrorElement('bad-request', { type: 'modify' }), this.#deps.domain);
        session.resolve(sequence);
        return undefined;
    }
  }

  nobodyLeft(session: DeviceSession, stanza: Element): void {
    this.#refuse(session, stanza, unavailable);
  }

  wake(account: Account): void {
    this.#deps.wakeUp(account);
  }

  storageRefused(session: DeviceSession, stanza: Element, because: RefusedBecause): void {
    this.#deps.counters.storageRefused++;
    answerError(session, stanza, refusals[because], this.#deps.domain);
  }

  #message(session: DeviceSession, el: Element, sequence: number, parties: Parties | undefined): NotYet | undefined {
    const message = parseEnvelopeMessage(el);
    if (message.kind === 'refused') {
      const error = envelopeRefusalElement(message.code);
      if (error === undefined) this.#deps.counters.dropped++;
      else this.#refuse(session, el, error);
      session.resolve(sequence);
      return undefined;
    }
    const error = this.#deliver(session, message, sequence, parties);
    if (error === undefined || 'kind' in error) return error;
    this.#refuse(session, el, error);
    session.resolve(sequence);
    return undefined;
  }

  /** Puts a message into the mailboxes of all its devices, or of none: then gives the error for its sender. */
  #deliver(
    session: DeviceSession,
    message: EnvelopeMessage,
    sequence: number,
    parties: Parties | undefined,
  ): Element | NotYet | undefined {
    const deps = this.#deps;
    if (message.fromDevice !== session.device.id) return wrongFromDevice;
    const from = parties === undefined ? deps.accounts.peek(session.interopId) : parties.from;
    if (from === undefined && parties === undefined) return accountsUnread;
    if (from === undefined || from.status !== 'active') return unavailable;
    if (!deps.suiteAdmitted(from.provider, message.suite)) return notAdmitted;
    if (message.to.domain !== deps.domain) return unavailable;
    const to = parties === undefined ? deps.accounts.peek(message.to.local) : parties.to;
    const own = message.to.local === from.interopId;
    if (to === undefined || to.status !== 'active' || (!own && !deps.mayReach(from, to))) {
      // One out of reach costs the same read as one who doesn't exist.
      return parties === undefined ? accountsUnread : unavailable;
    }
    if (!deps.suiteAdmitted(to.provider, message.suite)) return notAdmitted;

    const wrong = wrongDevices(message, to.devices, own ? session.device.id : 0);
    if (wrong !== undefined) return wrong;
    const ciphertexts = message.ciphertexts;
    const targets: Device[] = [];
    let sizeBytes = 0;
    for (const ciphertext of ciphertexts) {
      const device = deviceById(to.devices, ciphertext.deviceId)!;
      const full = message.noStore ? undefined : deps.delivery.refusal(device.row, from.interopId, sizeOf(ciphertext));
      if (full !== undefined) return refusals[full];
      targets.push(device);
      sizeBytes += sizeOf(ciphertext);
    }
    // Told to the sending device in its own mailbox: its person's devices all have the same order.
    const isPlaced = own && message.toDevice === undefined && !message.noStore;
    const noPlace = isPlaced ? deps.delivery.refusal(session.device.row, from.interopId, placedBytes) : undefined;
    if (noPlace !== undefined) return refusals[noPlace];
    const verdict = own ? 'open' : this.#judged(from, to, message, parties);
    if (typeof verdict !== 'string') return verdict;
    if (verdict === 'mute') {
      deps.counters.routed++;
      session.resolve(sequence);
      return undefined;
    }
    const receipts = targets.length + (isPlaced ? 1 : 0);
    const isLoud = isLoudMessage(message) && verdict === 'open';
    const receipt = new MessageReceipt(this, session, message, sequence, receipts, sizeBytes, isLoud ? to : undefined);
    let asleep = false;
    for (let i = 0; i < targets.length; i++) {
      const device = targets[i]!;
      const copy = deviceMessage(message, ciphertexts[i]!, session);
      if (!deps.isReachable(device) && !deps.mayBeElsewhere(device)) asleep = true;
      const sizeOfCopy = sizeOf(ciphertexts[i]!);
      if (verdict === 'open') deps.delivery.deliver(device.row, copy, sizeOfCopy, !message.noStore, receipt);
      else deps.delivery.drop(device.row, copy, sizeOfCopy, !message.noStore, receipt);
    }
    if (isPlaced) {
      const notice = placedNotice(deps.domain, session.fullJid, message.id);
      deps.delivery.deliver(session.device.row, notice, placedBytes, true, receipt);
    }
    deps.counters.routed++;
    if (asleep && isLoud) deps.wakeUp(to);
    return undefined;
  }

  /** By what the two have decided about each other. An element: the error for the sender. */
  #judged(
    from: Account,
    to: Account,
    message: EnvelopeMessage,
    parties: Parties | undefined,
  ): 'open' | 'shut' | 'mute' | Element | NotYet {
    const judged = parties?.admitted ?? this.#deps.contacts.judge(from, to, isLoudMessage(message));
    if (typeof judged === 'number') return comeAgain(judged);
    if (typeof judged === 'object') {
      if (judged.kind === 'undecided') {
        return parties === undefined ? accountsUnread : { kind: 'undecided', from, to, what: judged, message };
      }
      return judged.kind === 'blocked-by-sender' ? blockedBySender : judged.kind;
    }
    if (judged === 'too-many') return firstContactFull;
    return judged === 'too-large' ? firstContactLarge : judged;
  }

  /** Presence goes to the person's own devices, without children, and to nobody else. */
  #presence(session: DeviceSession, el: Element, parties: Parties | undefined): boolean {
    session.startDelivery();
    const presence = parsePresence(el);
    if (presence.kind === 'refused') {
      answerError(session, el, stanzaRefusalElement(presence.code), this.#deps.domain);
      return true;
    }
    if (presence.to !== undefined) {
      this.#presenceToOther(session, el);
      return true;
    }
    if (presence.type !== 'available' && presence.type !== 'unavailable') {
      this.#deps.counters.dropped++;
      return true;
    }
    const account = parties === undefined ? this.#deps.accounts.peek(session.interopId) : parties.from;
    if (account === undefined) return parties !== undefined;
    const type = presence.type === 'unavailable' ? { type: 'unavailable' } : {};
    for (const other of this.#deps.sessionsOf(account)) {
      // A device that reads slowly does without: presence is of the moment, and nothing may pile up for it.
      if (!other.hasRoom()) continue;
      other.send(element('presence', NS_CLIENT, { from: session.fullJid, to: other.fullJid, ...type }));
    }
    return true;
  }

  /** Nobody's presence is told to others: who asks for it is not subscribed, anything else is not carried. */
  #presenceToOther(session: DeviceSession, el: Element): void {
    const type = attribute(el, 'type');
    if (type === undefined) answerError(session, el, unavailable, this.#deps.domain);
    // Grants, refusals and farewells need no answer (RFC 6121 sections 3.2, 3.3, 4.6).
    if (type !== 'subscribe' && type !== 'probe' && type !== 'unsubscribe') return;
    const to = attribute(el, 'to')!.split('/', 1)[0]!;
    const id = attribute(el, 'id');
    const attrs = { from: to, to: session.fullJid, type: 'unsubscribed', ...(id === undefined ? {} : { id }) };
    session.send(element('presence', NS_CLIENT, attrs));
  }

  #refuse(session: DeviceSession, el: Element, error: Element): void {
    const { counters } = this.#deps;
    counters.refused++;
    const condition = conditionOf(error);
    counters.refusedBy.set(condition, (counters.refusedBy.get(condition) ?? 0) + 1);
    answerError(session, el, error, this.#deps.domain);
  }
}

function isLoudMessage({ silent, noStore }: EnvelopeMessage): boolean {
  return !silent && !noStore;
}

function bytesOf(payload: Ciphertext['payload']): number {
  return typeof payload === 'string' ? Buffer.byteLength(payload, 'base64') : payload.length;
}

/** About what one device's copy of a message takes, in bytes: its ciphertext, and addresses, names and the like. */
function sizeOf({ payload }: Ciphertext): number {
  return payload.length + 300;
}
