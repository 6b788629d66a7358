// Where each stanza of a device goes: through the gate into mailboxes, to an IQ handler, or back with an error.
// Knows nothing of encodings, sockets or storage. Source: docs/protocol/06-stanzas.md; RFC 6120 section 10, RFC 6121 section 8.
import { attribute, type Element, element, OversizedElement, ownElement } from '@drawbridge/wire/element';
import {
  type Ciphertext,
  deviceListError,
  deviceMessage,
  EnvelopeElement,
  type EnvelopeMessage,
  envelopeRefusalElement,
  parseEnvelopeMessage,
  placedNotice,
} from '@drawbridge/wire/envelope';
import { parseJid } from '@drawbridge/wire/jid';
import { xmlLimitsOfSession } from '@drawbridge/wire/limits';
import {
  NS_CLIENT,
  NS_DISCO_INFO,
  NS_DISCO_ITEMS,
  NS_ERRORS,
  NS_PING,
  NS_ROSTER,
  NS_SESSION,
} from '@drawbridge/wire/namespaces';
import { iqResult, parseIq, parsePresence, stanzaRefusalElement } from '@drawbridge/wire/stanza';
import { errorReply, isStanzaErrorCondition, stanzaErrorElement } from '@drawbridge/wire/stanza-error';
import type { Admitted } from '../consent/contact-store.ts';
import type { People, Undecided } from '../consent/contacts.ts';
import { firstContactLimits } from '../consent/first-contact.ts';
import type { Account, Accounts, Device } from '../enlistment/account.ts';
import type { Delivery } from '../mailbox/delivery.ts';
import type { Receipt, RefusedBecause } from '../mailbox/device-mailbox.ts';
import { StoreError } from '../storage/store-error.ts';
import type { DeviceSession } from './device-session.ts';
import { sizeOfElement } from './held-memory.ts';
import { type IqAnswer, type IqHandlers, iqKey } from './iq.ts';

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
  readonly admitted?: Admitted['kind'];
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

const unavailable = stanzaErrorElement('service-unavailable', { type: 'cancel' });
/** What a sender is told: `wait`, and whose share is used up when it is not the device's own mailbox that is full. */
const refusals: Readonly<Record<RefusedBecause, Element>> = {
  full: stanzaErrorElement('resource-constraint', { type: 'wait' }),
  'storage-failed': stanzaErrorElement('resource-constraint', { type: 'wait' }),
  damaged: stanzaErrorElement('resource-constraint', { type: 'wait' }),
  'share-full': shareError('sender-share'),
  'person-full': shareError('person-share'),
  'provider-full': shareError('provider-share'),
};
/** What a notice of a place counts for: a little more than it is. */
const placedBytes = 512;
const tooManyRequests = stanzaErrorElement('resource-constraint', { type: 'wait' });
const notAdmitted = stanzaErrorElement('policy-violation', {
  type: 'modify',
  application: element('suite-not-admitted', NS_ERRORS),
});
const tooLarge = stanzaErrorElement('policy-violation', {
  type: 'modify',
  application: element('too-large', NS_ERRORS, { max: String(xmlLimitsOfSession.elementBytes) }),
});
/** One doesn't write to whom one has blocked. */
const blockedBySender = stanzaErrorElement('not-acceptable', {
  type: 'cancel',
  application: element('blocked', NS_ERRORS),
});
/** Not yet: when the recipient has accepted, it goes through. */
const firstContactFull = stanzaErrorElement('resource-constraint', {
  type: 'wait',
  application: element('first-contact', NS_ERRORS, { messages: String(firstContactLimits.messages) }),
});
const firstContactLarge = stanzaErrorElement('policy-violation', {
  type: 'modify',
  application: element('first-contact', NS_ERRORS, { bytes: String(firstContactLimits.ciphertextBytes) }),
});
const wrongFromDevice = stanzaErrorElement('policy-violation', { type: 'modify' });

/** The sender's side of one message: answered when every device has it. Holds no tree: many wait at once. */
class MessageReceipt implements Receipt {
  remaining: number;
  failed = false;
  readonly #router: Router;
  readonly #session: DeviceSession;
  readonly #message: EnvelopeMessage;
  readonly #sequence: number;
  readonly #sizeBytes: number;
  /** Who is to be woken when no node has a stream; undefined: nobody. */
  readonly #wakes: Account | undefined;
  /** Devices that have it, or may have it yet. */
  #devices: number;

  constructor(
    router: Router,
    session: DeviceSession,
    message: EnvelopeMessage,
    sequence: number,
    devices: number,
    sizeBytes: number,
    wakes: Account | undefined,
  ) {
    this.remaining = devices;
    this.#devices = devices;
    this.#router = router;
    this.#session = session;
    this.#message = message;
    this.#sequence = sequence;
    this.#sizeBytes = sizeBytes;
    this.#wakes = wakes;
    session.changeUnsettled(sizeBytes);
  }

  settled(): void {
    // They were there when it came and went before they had it: as if it had come a moment later.
    if (this.#devices === 0) this.#router.nobodyLeft(this.#session, new EnvelopeElement(this.#message));
    this.#session.changeUnsettled(-this.#sizeBytes);
    this.#session.resolve(this.#sequence);
  }

  lost(): void {
    this.#devices--;
  }

  unclaimed(): void {
    if (this.#wakes !== undefined) this.#router.wake(this.#wakes);
  }

  refused(because: RefusedBecause): void {
    this.#router.storageRefused(this.#session, new EnvelopeElement(this.#message), because);
  }
}

/** The condition inside an error element; a closed word of ours. */
function conditionOf(error: Element): string {
  const [first] = error.children;
  return first === undefined || first instanceof Uint8Array || typeof first === 'string' ? 'none' : first.name;
}

export class Router {
  readonly #deps: RouterDeps;

  constructor(deps: RouterDeps) {
    this.#deps = deps;
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
      this.#answer(session, el, tooManyRequests);
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
          this.#route(session, el, sequence, { ...parties, admitted: await this.#admit(notYet) });
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
    session.heldOver();
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
    return { from, to: mayReach(from, known) ? known : await accounts.findAfresh(local, from.row) };
  }

  #admit({ from, to, what, message }: Extract<NotYet, { readonly kind: 'undecided' }>): Promise<Admitted['kind']> {
    const largestBytes = message.ciphertexts.reduce((most, { payload }) => Math.max(most, bytesOf(payload)), 0);
    return this.#deps.contacts.admit(from, to, what, { isLoud: isLoudMessage(message), largestBytes });
  }

  /** What has to be done first: then nothing was done. Nothing, when all of it is given. */
  #route(session: DeviceSession, el: Element, sequence: number, parties: Parties | undefined): NotYet | undefined {
    switch (el.name) {
      case 'message':
        return this.#message(session, el, sequence, parties);
      case 'iq':
        return this.#iq(session, el, sequence, parties) ? undefined : accountsUnread;
      case 'presence':
        if (!this.#presence(session, el, parties)) return accountsUnread;
        session.resolve(sequence);
        return undefined;
      default:
        this.#answer(session, el, stanzaErrorElement('bad-request', { type: 'modify' }));
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
    this.#answer(session, stanza, refusals[because]);
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

    const wrong = this.#wrongDevices(message, to.devices, own ? session.device.id : 0);
    if (wrong !== undefined) return wrong;
    const ciphertexts = message.ciphertexts;
    const targets: Device[] = [];
    let sizeBytes = 0;
    for (const ciphertext of ciphertexts) {
      const device = to.devices.find(candidate => candidate.id === ciphertext.deviceId)!;
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
    if (typeof judged === 'object') {
      if (judged.kind === 'undecided') {
        return parties === undefined ? accountsUnread : { kind: 'undecided', from, to, what: judged, message };
      }
      return judged.kind === 'blocked-by-sender' ? blockedBySender : judged.kind;
    }
    if (judged === 'too-many') return firstContactFull;
    return judged === 'too-large' ? firstContactLarge : judged;
  }

  /** The error that names missing, extra and stale devices, or undefined when the set is right. */
  #wrongDevices(message: EnvelopeMessage, devices: readonly Device[], except: number): Element | undefined {
    const ciphertexts: readonly Ciphertext[] = message.ciphertexts;
    /** A device that its person's manifest does not name may be left out, or not. */
    const isWanted = (device: Device): boolean => device.id !== except && device.listed;
    let matched = 0;
    let right = true;
    for (const ciphertext of ciphertexts) {
      const device = devices.find(candidate => candidate.id === ciphertext.deviceId);
      if (device === undefined || device.id === except) right = false;
      else if (ciphertext.registrationId !== undefined && ciphertext.registrationId !== device.registrationId)
        right = false;
      else if (message.toDevice !== undefined && message.toDevice !== device.id) right = false;
      else if (device.listed || message.toDevice !== undefined) matched++;
    }
    const wanted = message.toDevice === undefined ? devices.filter(isWanted).length : 1;
    if (right && matched === wanted) return undefined;

    const missing: number[] = [];
    const extra: number[] = [];
    const stale: number[] = [];
    for (const device of devices) {
      const addressed = message.toDevice === undefined ? isWanted(device) : message.toDevice === device.id;
      if (addressed && device.id !== except && !ciphertexts.some(c => c.deviceId === device.id))
        missing.push(device.id);
    }
    for (const { deviceId, registrationId } of ciphertexts) {
      const device = devices.find(candidate => candidate.id === deviceId);
      const addressed = message.toDevice === undefined || message.toDevice === deviceId;
      if (device === undefined || deviceId === except || !addressed) extra.push(deviceId);
      else if (registrationId !== undefined && registrationId !== device.registrationId) stale.push(deviceId);
    }
    return deviceListError({ missing, extra, stale });
  }

  #iq(session: DeviceSession, el: Element, sequence: number, parties: Parties | undefined): boolean {
    const iq = parseIq(el);
    if (iq.kind === 'refused') {
      this.#answer(session, el, stanzaRefusalElement(iq.code));
      session.resolve(sequence);
      return true;
    }
    if (iq.kind !== 'request') {
      this.#deps.counters.dropped++;
      session.resolve(sequence);
      return true;
    }
    const to = iq.to;
    const local = to?.local ?? '';
    const ownResource = to === undefined || to.resource === '' || to.resource === String(session.device.id);
    const forUs =
      to === undefined ||
      (to.domain === this.#deps.domain && (local === '' || (local === session.interopId && ownResource)));
    if (!forUs) {
      this.#answer(session, el, unavailable);
      session.resolve(sequence);
      return true;
    }
    if (session.owesTooMuch) {
      this.#answer(session, el, tooManyRequests);
      session.resolve(sequence);
      return true;
    }
    // It may wait long for its answer, and must not keep alive what it came with.
    const answer = this.#answerIq(session, iq.type, ownElement(iq.payload), parties);
    if (answer === 'accounts-unread') return false;
    if (!(answer instanceof Promise)) {
      this.#sendIqAnswer(session, el, answer);
      session.resolve(sequence);
      return true;
    }
    const sizeBytes = sizeOfElement(el);
    session.requestWaits(sizeBytes);
    const question = ownElement({ ...el, children: [] });
    void answer
      .catch((error: unknown) => this.#failedIq(error))
      .then(done => {
        session.requestAnswered(sizeBytes);
        this.#sendIqAnswer(session, question, done);
        session.resolve(sequence);
      })
      .catch((error: unknown) => {
        this.#deps.defect(error);
        session.end('internal-server-error');
      });
    return true;
  }

  #answerIq(
    session: DeviceSession,
    type: 'get' | 'set',
    payload: Element,
    parties: Parties | undefined,
  ): IqAnswer | Promise<IqAnswer> | 'accounts-unread' {
    const handler = this.#deps.iqHandlers.get(iqKey(type, payload.ns, payload.name));
    if (handler !== undefined) {
      const account = parties === undefined ? this.#deps.accounts.peek(session.interopId) : parties.from;
      if (account === undefined && parties === undefined) return 'accounts-unread';
      if (account === undefined) return { kind: 'error', condition: 'forbidden' };
      try {
        return handler({ type, payload, account, device: session.device, nowMs: this.#deps.nowMs() });
      } catch (error) {
        return this.#failedIq(error);
      }
    }
    switch (payload.ns) {
      case NS_PING:
        return payload.name === 'ping' && type === 'get'
          ? { kind: 'result' }
          : { kind: 'error', condition: 'bad-request' };
      case NS_SESSION:
        return { kind: 'result' };
      case NS_ROSTER:
        return type === 'get' && payload.name === 'query'
          ? { kind: 'result', payload: element('query', NS_ROSTER) }
          : { kind: 'error', condition: 'not-allowed', type: 'cancel' };
      case NS_DISCO_INFO:
        if (type !== 'get' || payload.name !== 'query') break;
        if (attribute(payload, 'node') !== undefined) return { kind: 'error', condition: 'item-not-found' };
        return { kind: 'result', payload: discoInfo };
      case NS_DISCO_ITEMS:
        if (type !== 'get' || payload.name !== 'query') break;
        return { kind: 'result', payload: element('query', NS_DISCO_ITEMS) };
    }
    return { kind: 'error', condition: 'service-unavailable', type: 'cancel' };
  }

  /** Storage that fails says so by itself; anything else is a defect of ours. The client may ask again either way. */
  #failedIq(error: unknown): IqAnswer {
    if (!(error instanceof StoreError)) this.#deps.defect(error);
    return { kind: 'error', condition: 'internal-server-error', type: 'wait' };
  }

  #sendIqAnswer(session: DeviceSession, request: Element, answer: IqAnswer): void {
    if (answer.kind === 'result') {
      // An answer to an IQ without `to` comes from the account itself (RFC 6120 section 8.1.2.1).
      const from = attribute(request, 'to') ?? session.bareJid;
      const { attrs, children } = iqResult(request, answer.payload);
      session.send({ name: 'iq', ns: NS_CLIENT, attrs: addressed(attrs, from, session.fullJid), children });
      return;
    }
    const condition = isStanzaErrorCondition(answer.condition) ? answer.condition : 'undefined-condition';
    this.#answer(
      session,
      request,
      stanzaErrorElement(condition, {
        ...(answer.type === undefined ? {} : { type: answer.type }),
        ...(answer.text === undefined ? {} : { text: answer.text }),
        ...(answer.application === undefined ? {} : { application: answer.application }),
      }),
    );
  }

  /** Presence goes to the person's own devices, without children, and to nobody else. */
  #presence(session: DeviceSession, el: Element, parties: Parties | undefined): boolean {
    session.startDelivery();
    const presence = parsePresence(el);
    if (presence.kind === 'refused') {
      this.#answer(session, el, stanzaRefusalElement(presence.code));
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
    if (type === undefined) this.#answer(session, el, unavailable);
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
    this.#answer(session, el, error);
  }

  /** Answers with an error; never an error for an error. */
  #answer(session: DeviceSession, el: Element, error: Element): void {
    const to = attribute(el, 'to');
    // An address that can't be read is not repeated: the answer comes from the gatekeeper. A stanza without `to` is for
    // the account itself (RFC 6120 section 8.1.2.1), as answers other than errors say too.
    const named = to === undefined || parseJid(to) !== undefined ? to : this.#deps.domain;
    const from = named ?? session.bareJid;
    const reply = errorReply(el, from, error);
    if (reply === undefined) return;
    session.send({ ...reply, attrs: addressed(reply.attrs, from, session.fullJid) });
  }
}

function shareError(name: string): Element {
  return stanzaErrorElement('resource-constraint', { type: 'wait', application: element(name, NS_ERRORS) });
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

const discoInfo = element('query', NS_DISCO_INFO, {}, [
  element('identity', NS_DISCO_INFO, { category: 'server', type: 'im', name: 'Drawbridge' }),
  ...[NS_DISCO_INFO, NS_DISCO_ITEMS, NS_PING, 'urn:drawbridge:e2ee:1', 'urn:drawbridge:keys:1'].map(feature =>
    element('feature', NS_DISCO_INFO, { var: feature }),
  ),
]);

/** The attributes with these addresses in place of any others. */
function addressed(attrs: readonly string[], from: string, to: string): string[] {
  const result = ['from', from, 'to', to];
  for (let i = 0; i < attrs.length; i += 2) {
    if (attrs[i] !== 'from' && attrs[i] !== 'to') result.push(attrs[i]!, attrs[i + 1]!);
  }
  return result;
}
