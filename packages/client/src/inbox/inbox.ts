// The inbox: what arrives is decrypted, kept with the new session state in one transaction, and only then acknowledged.
// What can't be read goes to unread.ts, what a content does is in contents.ts.
// Knows nothing of streams: a message comes with a way to say that it is kept.
// Source: docs/protocol/06-stanzas.md, docs/protocol/09-content.md.
import type { DecryptOutcome } from '@drawbridge/e2ee/suite';
import { type Element, attribute } from '@drawbridge/wire/element';
import { parseDeviceMessage, parsePlaced, parseUndelivered } from '@drawbridge/wire/envelope';
import { type InteropId, type StanzaId, parseJid } from '@drawbridge/wire/jid';
import { parseStanzaError } from '@drawbridge/wire/stanza-error';
import { messageType } from '@drawbridge/wire/stanza';
import { NS_KEYS } from '@drawbridge/wire/namespaces';
import { isUnmet } from '../devices/people-to-come.ts';
import { readKeyCounts } from '../directory/directory.ts';
import { ClientError } from '../errors.ts';
import { isRefused } from '../history/chat-state.ts';
import { hearPlaced } from '../history/hearing.ts';
import { committed } from '../store/transact.ts';
import { readReceived, writeReceived } from '../store/inbox-records.ts';
import { takeTranscript } from '../store/outbox-records.ts';
import { placeEntry } from '../store/message-records.ts';
import { readCapabilities } from '../store/person-records.ts';
import { addIdentityNotices } from '../notices/notice-records.ts';
import type { Transaction } from '../store/store.ts';
import { chatWith } from '../history/message-names.ts';
import { chatInForce } from '../history/provider-block.ts';
import { isOfOneRow, storeFaultIn } from '../store/store-errors.ts';
import { dropDamaged } from './damaged-rows.ts';
import { Contents } from './contents.ts';
import { heldOf, sendersHeld } from './held.ts';
import { type InboxContext, inboxLimits } from './inbox-context.ts';
import { type Followup, type Incoming, follow, fullAddress, incomingOf, newFollowup } from './incoming.ts';
import { Unread } from './unread.ts';

/** `later`: something outside can't say now. */
type Reading =
  | { readonly kind: 'kept' }
  | { readonly kind: 'later' }
  | { readonly kind: 'failed'; readonly error: unknown };

export class Inbox {
  readonly #context: InboxContext;
  /**
   * What comes is worked on one after the other, whoever it is from: in the order in which the gatekeeper placed it, which is
   * the same on all devices of this person. Bounded by what the connection lets in.
   */
  #queue = Promise.resolve();
  #closed = false;
  #endPause: (() => void) | undefined;
  readonly #unread: Unread;
  readonly #contents: Contents;

  constructor(context: InboxContext) {
    this.#context = context;
    this.#unread = new Unread(context);
    this.#contents = new Contents(context, this.#unread);
  }

  /**
   * Takes a message stanza; `resolve` is called when nothing of it can be lost any more. `isStamped`: whether it came in a session
   * that brings what others commit to.
   */
  receive(el: Element, resolve: () => void, isStamped: boolean): void {
    const { domain, suite, outbox, keysLow, ownManifestChanged } = this.#context;
    if (messageType(el) === 'error') {
      const error = parseStanzaError(el);
      const id = attribute(el, 'id') ?? '';
      const cause = error?.application === undefined ? undefined : parseUndelivered(error.application);
      const from = parseJid(attribute(el, 'from') ?? '');
      if (cause !== undefined && from !== undefined) outbox.undelivered(id, from.local, cause);
      else if (error !== undefined) outbox.refused(id, error);
      return resolve();
    }
    if (attribute(el, 'from') === domain) {
      const placed = parsePlaced(el);
      if (placed !== undefined) return this.#enqueue(() => this.#placed(placed), resolve);
      const notice = el.children.find(child => typeof child === 'object' && 'name' in child);
      const low = readKeyCounts(notice, 'low');
      if (low !== undefined) keysLow(low);
      if (notice?.name === 'manifest-changed' && notice.ns === NS_KEYS) ownManifestChanged();
      return resolve();
    }
    const message = parseDeviceMessage(el);
    if (message.kind === 'refused') return this.#unparsed(el, `a message was malformed: ${message.code}`, resolve);
    const { local } = suite;
    const isOurs = message.to.local === local.interopId && message.ciphertext.deviceId === local.deviceId;
    if (!isOurs || message.to.domain !== domain || message.from.domain !== domain) {
      return this.#unparsed(undefined, 'a message was for somebody else', resolve);
    }
    if (message.suite !== suite.name) return this.#unparsed(el, 'a message was of an unknown suite', resolve);
    this.#enqueue(() => this.#process(incomingOf(message, isStamped)), resolve);
  }

  /** Reads what waited for a person's identity to be accepted, or for a refusal to end, in the order in which it came. */
  readHeld(person: InteropId): void {
    this.#enqueue(
      async () => {
        for (const incoming of heldOf(this.#context, person)) {
          if (this.#closed) break;
          await this.#process(incoming);
        }
        return true;
      },
      () => undefined,
    );
  }

  /**
   * Reads what still waits although nothing has to be decided any more: the process ended after a person had accepted, or
   * whom this person knows was not known yet.
   */
  async readForgotten(): Promise<void> {
    for (const person of sendersHeld(this.#context)) {
      const identity = await this.#context.suite.readIdentity(person);
      const isDecided = identity.ok ? identity.value.pending === undefined : identity.error.code === 'unknown-identity';
      if (isDecided && !this.#closed) this.readHeld(person);
    }
  }

  /** This device knows everybody whom this person knows: what waited for that is sent and read. */
  everybodyMet(): void {
    this.#context.outbox.wakeAll();
    void this.readForgotten();
  }

  /** Turns what nobody sent again into placeholders, and forgets what is kept to be sent again. */
  sweep(): void {
    this.#unread.sweep();
  }

  /** A stream is up: what is not sent again soon is shown as what could not be read. */
  watch(): void {
    this.#unread.watch();
  }

  /** Waits until what is under way is kept. Nothing is handed out afterwards. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#unread.close();
    this.#endPause?.();
    await this.#queue;
  }

  #enqueue(work: () => Promise<boolean>, resolve: () => void): void {
    this.#queue = this.#queue.then(async () => {
      for (let attempt = 0; !this.#closed; attempt++) {
        try {
          if (await work()) return resolve();
        } catch (cause) {
          // Broken code must take neither the stream nor what is behind it with it.
          this.#problem(new ClientError('protocol-error', { cause }));
          if (attempt + 1 >= inboxLimits.maxTries) return resolve();
        }
        await this.#pause(attempt);
      }
    });
  }

  /** True when the message is kept, or needs nothing; also when what can't be kept of it was recorded as unreadable. */
  async #process(incoming: Incoming): Promise<boolean> {
    for (let attempt = 0; !this.#closed; attempt++) {
      const outcome = await this.#read(incoming, attempt);
      if (outcome.kind === 'kept') return true;
      if (outcome.kind === 'failed') {
        this.#problem(new ClientError('store-failed', { cause: outcome.error }));
        if (isOfThisMessage(outcome.error, attempt) && (await this.#unread.giveUp(incoming, outcome.error)))
          return true;
      }
      await this.#pause(attempt);
    }
    return false;
  }

  #pause(attempt: number): Promise<void> {
    const { storePauseMs, maxStorePauseMs } = inboxLimits;
    const ms = Math.min(storePauseMs * 2 ** Math.min(attempt, 10), maxStorePauseMs);
    return new Promise(resume => {
      const cancel = this.#context.clock.after(ms, resume);
      this.#endPause = () => {
        cancel();
        resume();
      };
    });
  }

  async #read(incoming: Incoming, attempt: number): Promise<Reading> {
    const { store, suite } = this.#context;
    const from = fullAddress(incoming);
    const { interopId, deviceId } = incoming.ciphertext.from;
    const known = store.transaction(tx => ({
      seen: readReceived(tx, from, incoming.stanzaId),
      commits: readCapabilities(tx, interopId, deviceId)?.commits === true,
      isUnmet: isUnmet(tx, suite.local.interopId, interopId),
      isRefused: interopId !== suite.local.interopId && isRefused(chatInForce(tx, chatWith(interopId))),
    }));
    if (!known.ok) return { kind: 'failed', error: known.error };
    const { seen, commits } = known.value;
    if (seen === 'done' && incoming.heldKey === undefined) return { kind: 'kept' };
    // The gatekeeper, which drops what they say, has let it through, or has not heard of the decision.
    if (known.value.isRefused) return this.#hold({ ...incoming, isRefused: true });
    // Its sender may be somebody whom this person has verified elsewhere, under another key: nothing of it counts before.
    if (known.value.isUnmet) return this.#hold(incoming);
    let followup = newFollowup();
    try {
      if (!(await this.#isDeviceKnown(incoming, attempt))) return { kind: 'later' };
      const decrypted = await suite.decrypt(
        incoming.ciphertext,
        outcome => {
          followup = newFollowup();
          committed(store.transaction(tx => this.#keep(tx, incoming, outcome, followup)));
        },
        bytes => this.#contents.misbound(incoming, commits, bytes),
      );
      if (!decrypted.ok)
        return decrypted.error.code === 'too-many-waiting' ? { kind: 'later' } : failedBy(decrypted.error.cause);
    } catch (error) {
      return failedBy(error);
    }
    follow(this.#context, followup);
    if (followup.everybodyMet === true) this.everybodyMet();
    return { kind: 'kept' };
  }

  /** It is kept as it came, and read when its sender is known, or is not refused any more. */
  #hold(incoming: Incoming): Reading {
    if (incoming.heldKey !== undefined) return { kind: 'kept' };
    const followup = newFollowup();
    const held = this.#context.store.transaction(tx => {
      this.#unread.hold(tx, incoming, followup);
      writeReceived(tx, fullAddress(incoming), incoming.stanzaId, 'done');
    });
    if (!held.ok) return failedBy(held.error);
    follow(this.#context, followup);
    return { kind: 'kept' };
  }

  #unparsed(el: Element | undefined, detail: string, resolve: () => void): void {
    this.#problem(new ClientError('protocol-error', { detail }));
    this.#enqueue(() => Promise.resolve(this.#unread.unparsed(el)), resolve);
  }

  /**
   * Whether it is known by now if the sending device is one that its person names; what does not name it was asked for again.
   * When the directory can't say for some time the message is judged by what was known.
   */
  async #isDeviceKnown({ ciphertext }: Incoming, attempt: number): Promise<boolean> {
    try {
      await this.#context.lists.mayBeRead(ciphertext.from);
      return true;
    } catch (error) {
      if (!(error instanceof ClientError)) throw error;
      return attempt >= inboxLimits.directoryAttempts;
    }
  }

  /** Everything that one ciphertext changes, in the transaction of its session state. */
  #keep(tx: Transaction, incoming: Incoming, outcome: DecryptOutcome, followup: Followup): void {
    const from = fullAddress(incoming);
    const { stanzaId, heldKey } = incoming;
    tx.apply(outcome.changes);
    if (heldKey !== undefined) tx.delete('held', heldKey);
    if (outcome.kind !== 'retry-request') {
      const lines = addIdentityNotices(tx, outcome.events, this.#context.clock.nowMs());
      for (const message of lines) followup.events.push({ kind: 'message', change: 'new', message });
      for (const identity of outcome.events) followup.events.push({ kind: 'identity', identity });
    }
    let part = newFollowup();
    // The session has moved on, whatever its content does here.
    let done = tx.attempt(() => this.#outcome(tx, incoming, outcome, part));
    // Another row's damage costs that row.
    if (!done.ok && dropDamaged(tx, done.error, this.#context.clock.nowMs())) {
      part = newFollowup();
      done = tx.attempt(() => this.#outcome(tx, incoming, outcome, part));
    }
    if (done.ok) {
      followup.events.push(...part.events);
      for (const to of part.wake) followup.wake.add(to);
      if (part.unlisted !== undefined) followup.unlisted = part.unlisted;
      if (part.everybodyMet !== undefined) followup.everybodyMet = part.everybodyMet;
      return writeReceived(tx, from, stanzaId, done.value);
    }
    followup.events.push({ kind: 'problem', error: new ClientError('protocol-error', { cause: done.error }) });
    this.#unread.unkept(tx, incoming, followup);
  }

  #outcome(tx: Transaction, incoming: Incoming, outcome: DecryptOutcome, followup: Followup): 'done' | 'unread' {
    const from = fullAddress(incoming);
    const { stanzaId } = incoming;
    switch (outcome.kind) {
      case 'content':
        if (!this.#context.lists.isNamed(tx, outcome.from, outcome.identity)) {
          // A holder of the identity key can still not speak for the person from a device that they don't name.
          this.#unread.lose(tx, from, chatWith(outcome.from.interopId), stanzaId, followup);
          followup.unlisted = outcome.from;
          break;
        }
        this.#inPlace(tx, incoming, followup, first => this.#contents.keep(tx, incoming, outcome, followup, first));
        break;
      case 'retry-request':
        // Outside a session and hence not authenticated: this client's own kind asks inside one, so nothing is due.
        break;
      case 'refused':
        return this.#unread.refused(tx, incoming, outcome.error, followup);
    }
    return 'done';
  }

  /** What comes late, since it waited or had to be sent again, stands where it came first. */
  #inPlace(
    tx: Transaction,
    incoming: Incoming,
    followup: Followup,
    keep: (first: number | undefined) => number | undefined,
  ): void {
    const first = this.#unread.came(tx, incoming, followup) ?? incoming.place;
    const before = followup.events.length;
    const kept = keep(first);
    const at = first ?? kept;
    if (at === undefined) return;
    for (const event of followup.events.slice(before)) {
      if (event.kind === 'message' && event.change === 'new')
        placeEntry(tx, event.message.author, event.message.id, at);
    }
  }

  /** The gatekeeper has placed the copy of an own message for this person's other devices: it stands there here too. */
  async #placed(stanzaId: StanzaId): Promise<boolean> {
    const { store, suite } = this.#context;
    const placed = store.transaction(tx => {
      const { chat, number = 0, messageId } = takeTranscript(tx, stanzaId) ?? {};
      const place = chat === undefined || number === 0 ? undefined : hearPlaced(tx, chat, number);
      if (messageId !== undefined) placeEntry(tx, suite.local.interopId, messageId, place);
    });
    if (!placed.ok) this.#problem(new ClientError('store-failed', { cause: placed.error }));
    return placed.ok || isOfOneRow(placed.error);
  }

  #problem(error: ClientError): void {
    this.#context.emit({ kind: 'problem', error });
  }
}

function failedBy(error: unknown): Reading {
  return { kind: 'failed', error };
}

/** Whether trying again gives the same: a row that can't be written or read; or broken code, when it was tried often enough. */
function isOfThisMessage(error: unknown, attempt: number): boolean {
  const fault = storeFaultIn(error);
  if (fault !== undefined) return isOfOneRow(fault);
  return !(error instanceof ClientError && error.code === 'closed') && attempt + 1 >= inboxLimits.maxTries;
}
