// What happens to a message that can't be read: it waits for a person to accept a key, is asked for again, or is lost, and
// is then a line where it would stand or a count in a notice; never nothing. Knows nothing of contents and streams.
//
// | it could not be read because | what happens | where |
// | --- | --- | --- |
// | it is not a message of this protocol | a line in the chat it names, otherwise a count | `unparsed` |
// | its key is new, and a person decides | it waits in `held.ts` | `refused` |
// | its author was denied or blocked | it waits in `held.ts`; nothing else of this is shown | `hold`, `lose` |
// | the session doesn't fit | it is asked for again, as often as `retry-quota.ts` allows; then a line | `refused` |
// | it is wrong | a line | `refused` |
// | its content can't be kept | a line, or a count | `unkept` |
// | the store fails for this one for good | as above; with a damaged session, in a new one | `giveUp` |
// | it was not sent again soon, or at all | a line until it comes, or for ever | `watch`, `sweep` |
//
// How many lines a person sees is in `unreadable.ts`.
// Source: docs/protocol/09-content.md section 9.7; docs/decisions/0048-a-fault-costs-the-smallest-thing-it-met.md.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { MESSAGE_ID_BYTES, encodeContent } from '@drawbridge/e2ee/content';
import { type DecryptErrorAction, decryptErrorAction, decryptErrorTable } from '@drawbridge/e2ee/errors';
import { makeDecryptionError } from '@drawbridge/e2ee/retry';
import type { DecryptError } from '@drawbridge/e2ee/suite';
import { type Element, attribute } from '@drawbridge/wire/element';
import { type StanzaId, parseJid } from '@drawbridge/wire/jid';
import { ClientError } from '../errors.ts';
import type { ClientEvent } from '../events.ts';
import { addFact } from '../history/conversation.ts';
import { committed } from '../store/transact.ts';
import { contentPayload } from '../outbox/rows.ts';
import {
  deleteUnread,
  listUnread,
  readReceived,
  readUnread,
  type UnreadRecord,
  writeReceived,
  writeUnread,
} from '../store/inbox-records.ts';
import { forgetSent } from '../store/outbox-records.ts';
import { readChat } from '../store/message-records.ts';
import { forgetAsked } from '../outbox/asked-again.ts';
import { forgetOldEvidence } from '../reports/evidence.ts';
import type { Transaction } from '../store/store.ts';
import { isHeldBack, isRefused } from '../history/chat-state.ts';
import { type ChatId, chatWith } from '../history/message-names.ts';
import { chatInForce } from '../history/provider-block.ts';
import { isOfOneRow, storeFaultIn } from '../store/store-errors.ts';
import { soundly } from './damaged-rows.ts';
import { forgetRetries, isSessionDue, keepUnread, takeRetry } from './retry-quota.ts';
import { Unreadable } from './unreadable.ts';
import { hold } from './held.ts';
import { type InboxContext, inboxLimits } from './inbox-context.ts';
import { type Followup, type Incoming, follow, fullAddress, lostName, newFollowup } from './incoming.ts';

export class Unread {
  readonly #context: InboxContext;
  readonly #unreadable: Unreadable;
  #cancelWatch: (() => void) | undefined;
  #closed = false;

  constructor(context: InboxContext) {
    this.#context = context;
    this.#unreadable = new Unreadable(context.suite.local.interopId, context.clock);
  }

  /** What could not be decrypted: it waits for a person's decision, is asked for again, is a line, or was nothing to read. */
  refused(tx: Transaction, incoming: Incoming, error: DecryptError, followup: Followup): 'done' | 'unread' {
    const from = fullAddress(incoming);
    const { stanzaId } = incoming;
    switch (actionOf(error)) {
      case 'hold':
        this.hold(tx, incoming, followup);
        break;
      case 'retry':
        return this.#askAgain(tx, incoming, followup, error) ? 'unread' : 'done';
      case 'lose':
        // Holds nothing that a person was to read.
        if (incoming.ciphertext.kind === 'plaintext-retry') break;
        this.lose(tx, from, chatWith(incoming.ciphertext.from.interopId), stanzaId, followup);
        followup.events.push(problemOf(error));
        break;
      case 'drop':
        break;
    }
    return 'done';
  }

  /** It is read later; what gives way for it is a line. */
  hold(tx: Transaction, incoming: Incoming, followup: Followup): void {
    for (const key of hold(tx, incoming)) this.#loseHeld(tx, key, followup);
  }

  /** Trying again gives the same: it is recorded as unreadable, and what is behind it goes on. False: not even that now. */
  async giveUp(incoming: Incoming, error: unknown): Promise<boolean> {
    const { store, suite } = this.#context;
    const { interopId, deviceId } = incoming.ciphertext.from;
    const from = fullAddress(incoming);
    const isSessionGone = storeFaultIn(error)?.table === 'session';
    if (isSessionGone) {
      // It can't be opened by anybody any more. What was said in it is asked for in another one.
      await suite.endSessions(interopId, [deviceId], ({ changes }) =>
        committed(store.transaction(tx => tx.apply(changes))),
      );
    }
    const followup = newFollowup();
    const recorded = store.transaction(tx => {
      if (incoming.heldKey !== undefined) tx.delete('held', incoming.heldKey);
      const asked = isSessionGone && tx.attempt(() => this.#askAgain(tx, incoming, followup));
      // One that was asked for too often is lost by then.
      if (asked !== false && asked.ok)
        return writeReceived(tx, from, incoming.stanzaId, asked.value ? 'unread' : 'done');
      this.unkept(tx, incoming, followup);
    });
    if (recorded.ok) follow(this.#context, followup);
    return recorded.ok;
  }

  /** Its session has moved on and what it says could not be kept: it is a line, or is counted. */
  unkept(tx: Transaction, incoming: Incoming, followup: Followup): void {
    const from = fullAddress(incoming);
    const { interopId } = incoming.ciphertext.from;
    const { stanzaId } = incoming;
    if (!tx.attempt(() => this.lose(tx, from, chatWith(interopId), stanzaId, followup)).ok)
      followup.events.push(...this.#unreadable.count(tx));
    writeReceived(tx, from, stanzaId, 'done');
  }

  /**
   * Records what is not a message of this protocol: in the chat with whom it names, when there is one, otherwise in a notice.
   * False: not even that now.
   */
  unparsed(el: Element | undefined): boolean {
    const { store, domain } = this.#context;
    const jid = parseJid((el && attribute(el, 'from')) ?? '');
    const stanzaId = (el && attribute(el, 'id')) ?? '';
    const followup = newFollowup();
    const recorded = store.transaction(tx => {
      const isKnown = jid?.domain === domain && readChat(tx, jid.local).lastAtMs > 0;
      if (!isKnown || stanzaId === '') return void followup.events.push(...this.#unreadable.count(tx));
      const from = `${jid.local}/unparsed`;
      if (readReceived(tx, from, stanzaId) === 'done') return;
      this.lose(tx, from, chatWith(jid.local), stanzaId, followup);
      writeReceived(tx, from, stanzaId, 'done');
    });
    if (recorded.ok) follow(this.#context, followup);
    return recorded.ok || isOfOneRow(recorded.error);
  }

  /**
   * Asks the sending device, inside a session that was begun since, to send a stanza again. False when that was done often
   * enough: then the message is lost here, and one last request lets its author know.
   */
  #askAgain(tx: Transaction, incoming: Incoming, followup: Followup, error?: DecryptError): boolean {
    const { clock, outbox } = this.#context;
    const { ciphertext, stanzaId } = incoming;
    const { interopId, deviceId } = ciphertext.from;
    const from = fullAddress(incoming);
    const nowMs = clock.nowMs();
    const unread = readUnread(tx, from, stanzaId);
    const asked = (unread?.asked ?? 0) + 1;
    const decision = takeRetry(tx, 'request', ciphertext.from, asked, nowMs);
    const { kind, bytes } = ciphertext;
    const failed =
      kind === 'plaintext-retry' ? undefined : makeDecryptionError({ from: ciphertext.from, kind, bytes, stanzaId });
    // Whoever is held back learns not even that something of theirs could not be read.
    const isMute = isHeldBack(chatInForce(tx, chatWith(interopId))) || incoming.isRefused === true;
    if (isMute || !(decision.allowed || decision.isBeyond) || failed?.ok !== true || !outbox.hasRoom(tx)) {
      this.lose(tx, from, chatWith(interopId), stanzaId, followup);
      return false;
    }
    const freshSession = !decision.isBeyond && isSessionDue(tx, from, asked, nowMs);
    const content = encodeContent({
      messageId: randomBytes(MESSAGE_ID_BYTES),
      sentAtMs: nowMs,
      body: { kind: 'retry-request', stanzaId, decryptionError: failed.value, attempt: asked },
    });
    assert(content.ok, 'a retry request of our own is sound');
    const payload = contentPayload(content.value);
    const request = outbox.add(tx, { to: interopId, toDevice: deviceId, freshSession, payload, silent: true });
    if (decision.isBeyond) this.lose(tx, from, chatWith(interopId), stanzaId, followup);
    else {
      const begun = freshSession ? { sessionAtMs: nowMs } : {};
      const last = { asked, request, requestContent: payload.content, requestRepeats: 0, ...begun };
      this.#wait(tx, { sinceMs: nowMs, place: tx.newPlace(), ...unread, from, stanzaId, ...last }, followup);
    }
    followup.wake.add(interopId);
    this.watch();
    // Once for all that broke with one session.
    if (freshSession && error !== undefined) followup.events.push(problemOf(error));
    return decision.allowed;
  }

  /** What gives way for it is lost. */
  #wait(tx: Transaction, unread: UnreadRecord, followup: Followup): void {
    for (const gone of keepUnread(tx, unread)) {
      this.lose(tx, gone.from, chatWith(gone.from.split('/')[0]!), gone.stanzaId, followup);
      writeReceived(tx, gone.from, gone.stanzaId, 'done');
    }
  }

  /** A place in the history that says: something was here. */
  lose(tx: Transaction, from: string, chat: ChatId, stanzaId: StanzaId, followup: Followup): void {
    const unread = readUnread(tx, from, stanzaId);
    deleteUnread(tx, from, stanzaId);
    // Of whoever is refused a person sees nothing, not even that something was there.
    if (unread?.isShown === true || isRefused(chatInForce(tx, chat))) return;
    followup.events.push(...this.#unreadable.show(tx, { ...lostName(from, stanzaId), chat }, unread?.place).events);
  }

  /** It waited, and others of the same person pushed it out. */
  #loseHeld(tx: Transaction, key: string, followup: Followup): void {
    const [from, stanzaId] = key.split('\n');
    if (from === undefined || stanzaId === undefined) return;
    this.lose(tx, from, chatWith(from.split('/')[0]!), stanzaId, followup);
  }

  /** It came after all: its line goes, or its count. Gives where it came first, when it was asked for. */
  came(tx: Transaction, incoming: Incoming, followup: Followup): number | undefined {
    const from = fullAddress(incoming);
    const unread = readUnread(tx, from, incoming.stanzaId);
    deleteUnread(tx, from, incoming.stanzaId);
    if (unread?.isCounted === true) followup.events.push(...this.#unreadable.uncount(tx));
    else if (unread?.isShown === true) {
      const line = lostName(from, incoming.stanzaId);
      followup.events.push(...addFact(tx, this.#context.suite.local.interopId, line, { kind: 'gone', why: 'hidden' }));
    }
    return unread?.place;
  }

  /** Turns what nobody sent again into placeholders, and forgets what is kept to be sent again. */
  sweep(): void {
    const { store, clock } = this.#context;
    const followup = newFollowup();
    const result = store.transaction(tx => {
      forgetSent(tx, clock.nowMs(), inboxLimits.sweepRows);
      soundly(tx, clock.nowMs(), () => forgetAsked(tx, clock.nowMs()));
      soundly(tx, clock.nowMs(), () => forgetOldEvidence(tx, clock.nowMs()));
      soundly(tx, clock.nowMs(), () => forgetRetries(tx, clock.nowMs()));
      const waiting = soundly(tx, clock.nowMs(), () => listUnread(tx, inboxLimits.sweepRows));
      for (const unread of waiting) {
        const { from, stanzaId, sinceMs } = unread;
        // A clock that was set back: it has its time from now.
        if (sinceMs > clock.nowMs()) writeUnread(tx, { ...unread, sinceMs: clock.nowMs() });
        if (clock.nowMs() - sinceMs < inboxLimits.retryWaitMs) continue;
        this.lose(tx, from, chatWith(from.split('/')[0]!), stanzaId, followup);
      }
    });
    if (result.ok) follow(this.#context, followup);
  }

  /** A stream is up: what is not sent again soon is shown as what could not be read. */
  watch(): void {
    if (this.#closed) return;
    const { clock } = this.#context;
    this.#cancelWatch ??= clock.after(inboxLimits.showUnreadMs, () => {
      this.#cancelWatch = undefined;
      this.#showUnread();
    });
  }

  #showUnread(): void {
    const { store, clock } = this.#context;
    const followup = newFollowup();
    const result = store.transaction(tx => {
      const waiting = soundly(tx, clock.nowMs(), () => listUnread(tx, inboxLimits.sweepRows));
      const unseen = waiting.filter(({ isShown: isSaid }) => isSaid !== true);
      // A beginning that is ahead is one of a clock that was set back since.
      const due = unseen.filter(
        ({ sinceMs }) => sinceMs > clock.nowMs() || clock.nowMs() - sinceMs >= inboxLimits.showUnreadMs,
      );
      for (const unread of due) {
        const { from, stanzaId, place } = unread;
        const { isCounted, events } = this.#unreadable.show(tx, lostName(from, stanzaId), place);
        followup.events.push(...events);
        writeUnread(tx, { ...unread, isShown: true, ...(isCounted ? { isCounted } : {}) });
      }
      return unseen.length > due.length;
    });
    if (!result.ok || result.value) this.watch();
    if (result.ok) follow(this.#context, followup);
  }

  /** Shows nothing any more. */
  close(): void {
    this.#closed = true;
    this.#cancelWatch?.();
  }
}

/** For whoever looks into why: what is asked for again is mostly there a moment later, and leaves no line. */
function problemOf({ code }: DecryptError): ClientEvent {
  return { kind: 'problem', error: new ClientError('protocol-error', { detail: decryptErrorTable[code].text }) };
}

/**
 * A stanza that was seen does not come so far. What is a repeat all the same was encrypted by a store that was set back, under a
 * key that it had used already: nobody can read it before it is sent again.
 */
function actionOf(error: DecryptError): DecryptErrorAction {
  return error.code === 'duplicate' ? 'retry' : decryptErrorAction(error);
}
