// The inbox: what arrives is decrypted, kept with the new session state in one transaction, and only then acknowledged.
// What can't be read is asked for again, within bounds, and is never lost silently.
// Knows nothing of streams: a message comes with a way to say that it is kept.
// Source: docs/protocol/06-stanzas.md, docs/protocol/09-content.md.
import { createHash, randomBytes } from 'node:crypto';
import { type DecodedContent, decodeContent, encodeContent, MESSAGE_ID_BYTES } from '@drawbridge/e2ee/content';
import { verifyBinding } from '@drawbridge/e2ee/binding';
import { verifyCommitment } from '@drawbridge/e2ee/commitment';
import { type DecryptErrorAction, decryptErrorAction, decryptErrorTable } from '@drawbridge/e2ee/errors';
import { heardStamp } from '@drawbridge/e2ee/hybrid-clock';
import { makeDecryptionError, readDecryptionError, stanzaTag } from '@drawbridge/e2ee/retry';
import type {
  DecryptError,
  DecryptOutcome,
  DeviceAddress,
  E2eeSuite,
  IncomingCiphertext,
  Misbound,
} from '@drawbridge/e2ee/suite';
import { attribute, type Element } from '@drawbridge/wire/element';
import { type DeviceMessage, parseDeviceMessage, parsePlaced, parseUndelivered } from '@drawbridge/wire/envelope';
import { parseJid } from '@drawbridge/wire/jid';
import { parseStanzaError } from '@drawbridge/wire/stanza-error';
import { messageType } from '@drawbridge/wire/stanza';
import type { InteropId, StanzaId } from '@drawbridge/wire/jid';
import { NS_KEYS } from '@drawbridge/wire/namespaces';
import type { Clock } from '../clock.ts';
import type { DeviceLists } from '../directory/device-lists.ts';
import { type KeyCounts, readKeyCounts } from '../directory/directory.ts';
import { ClientError } from '../errors.ts';
import type { ClientEvent } from '../events.ts';
import { defaultsKey, isOn } from '../history/chat-state.ts';
import { addFact, addSaid } from '../history/conversation.ts';
import { hearNumber, hearPlaced } from '../history/hearing.ts';
import { isShown } from '../history/history.ts';
import { isShownBody, type MessageRecord } from '../history/message-log.ts';
import type { HistoryTransfer } from '../history/history-transfer.ts';
import type { Outbox } from '../outbox/outbox.ts';
import { committed } from '../store/transact.ts';
import { contentPayload, repeatId } from '../outbox/rows.ts';
import {
  deleteUnread,
  type HeldRow,
  listHeld,
  listUnread,
  readReceived,
  readUnread,
  writeHeld,
  writeReceived,
  writeUnread,
} from '../store/inbox-records.ts';
import { forgetSent, readSent, takeTranscript, writeSent } from '../store/outbox-records.ts';
import { placeEntry, readChat, readEntry } from '../store/message-records.ts';
import { readCapabilities, writeCapabilities } from '../store/person-records.ts';
import { readStamp, writeStamp } from '../store/account-records.ts';
import { addIdentityNotices, addNotice } from '../notices/notice-records.ts';
import { forgetAsked, keepAsked } from '../outbox/asked-again.ts';
import { forgetOldEvidence, keepEvidence } from '../reports/evidence.ts';
import type { EncryptedStore, Transaction } from '../store/store.ts';
import { type ChatId, chatWith, messageIdOf, type MessageName } from '../history/message-names.ts';
import { isOfOneRow, storeFaultIn } from '../store/store-errors.ts';
import { keepFairShares } from '../store/fair-share.ts';
import { IdleBudget } from './idle-budget.ts';
import { dropDamaged, soundly } from './damaged-rows.ts';
import { forgetRetries, keepUnread, takeRetry } from './retry-quota.ts';
import { Unreadable } from './unreadable.ts';

export const inboxLimits = {
  /** A stanza that was not sent again within this time is lost. */
  retryWaitMs: 86_400_000,
  /** A store that fails as a whole (a full disk) is tried again after growing pauses, as long as it takes. */
  storePauseMs: 1_000,
  maxStorePauseMs: 30_000,
  /** A directory that can't say whose a device is is asked again this often. */
  directoryAttempts: 5,
  /** Broken code, for one message: after this many tries it counts as a fault of that message. */
  maxTries: 3,
  /** A stanza that was not sent again within this time, on a stream that is up, is a line until it is. */
  showUnreadMs: 15_000,
  /** Rows looked at in one sweep. */
  sweepRows: 1_000,
  /** Messages that wait for a person to accept a key; the oldest of whoever has the most give way, and are lines. */
  held: { perPerson: 500, inAll: 2_000 },
  /** Held messages read from the store at once. */
  heldPage: 32,
  /** How exactly it is remembered when a device was heard of last. */
  capabilitiesAgeMs: 86_400_000,
} as const;

export type InboxContext = {
  readonly store: EncryptedStore;
  readonly suite: Pick<E2eeSuite, 'name' | 'local' | 'decrypt' | 'endSessions' | 'readIdentity'>;
  readonly domain: string;
  readonly clock: Clock;
  readonly outbox: Outbox;
  readonly transfer: HistoryTransfer;
  readonly lists: Pick<DeviceLists, 'mayBeRead' | 'isNamed' | 'skipped'>;
  readonly deliveryReceipts: boolean;
  /** Whether the session in force stamps commitments. */
  readonly isStamped: () => boolean;
  readonly emit: (event: ClientEvent) => void;
  readonly keysLow: (counts: KeyCounts) => void;
  readonly ownManifestChanged: () => void;
};

type Incoming = {
  readonly ciphertext: IncomingCiphertext;
  readonly stanzaId: StanzaId;
  readonly frank: Frank;
  readonly heldKey?: string;
  readonly place?: number;
};

/** What came beside a ciphertext; base64. */
type Frank = Pick<HeldRow['held'], 'commitment' | 'stamp'>;

/** `later`: something outside can't say now. */
type Reading =
  | { readonly kind: 'kept' }
  | { readonly kind: 'later' }
  | { readonly kind: 'failed'; readonly error: unknown };

/** What follows a committed transaction. */
type Followup = { readonly events: ClientEvent[]; readonly wake: Set<string>; unlisted?: DeviceAddress };

export class Inbox {
  readonly #context: InboxContext;
  /** By the bytes themselves, as long as somebody holds them. */
  readonly #decoded = new WeakMap<Uint8Array, ReturnType<typeof decodeContent>>();
  /**
   * What comes is worked on one after the other, whoever it is from: in the order in which the gatekeeper placed it, which is
   * the same on all devices of this person. Bounded by what the connection lets in.
   */
  #queue = Promise.resolve();
  #closed = false;
  #endPause: (() => void) | undefined;
  #cancelWatch: (() => void) | undefined;
  readonly #unreadable: Unreadable;
  readonly #idle: IdleBudget;

  constructor(context: InboxContext) {
    this.#context = context;
    this.#unreadable = new Unreadable(context.suite.local.interopId, context.clock);
    this.#idle = new IdleBudget(context.clock);
  }

  /** Takes a message stanza; `resolve` is called when nothing of it can be lost any more. */
  receive(el: Element, resolve: () => void): void {
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
    this.#enqueue(() => this.#process(incomingOf(message)), resolve);
  }

  /** Reads what waited for a person's identity to be accepted, in the order in which it came. */
  readHeld(person: InteropId): void {
    this.#enqueue(
      async () => {
        const newest = this.#heldRows(tx => listHeld(tx, person, { newest: true, limit: 1 })).at(0)?.sequence ?? 0;
        // What must wait again comes behind the newest.
        for (let after = 0; after < newest && !this.#closed; ) {
          const rows = this.#heldRows(tx => listHeld(tx, person, { after, limit: inboxLimits.heldPage }));
          if (rows.length === 0) break;
          for (const { key, held, sequence: place } of rows.filter(({ sequence }) => sequence <= newest)) {
            const from = { interopId: person, deviceId: Number(held.from.split('/')[1]) };
            const ciphertext = { from, kind: held.kind, bytes: Buffer.from(held.bytes, 'base64') };
            await this.#process({ ciphertext, stanzaId: held.stanzaId, frank: held, heldKey: key, place });
          }
          after = rows.at(-1)!.sequence;
        }
        return true;
      },
      () => undefined,
    );
  }

  /** Reads what still waits although nothing has to be decided any more: the process ended after a person had accepted. */
  async readForgotten(): Promise<void> {
    const { suite } = this.#context;
    const people = new Set<string>();
    for (let after = 0; ; ) {
      const rows = this.#heldRows(tx => listHeld(tx, undefined, { after }));
      if (rows.length === 0) break;
      for (const { held } of rows) people.add(senderOf(held));
      after = rows.at(-1)!.sequence;
    }
    for (const person of people) {
      const identity = await suite.readIdentity(person);
      if (identity.ok && identity.value.pending === undefined && !this.#closed) this.readHeld(person);
    }
  }

  #heldRows(list: (tx: Transaction) => HeldRow[]): HeldRow[] {
    const { store, clock } = this.#context;
    const result = store.transaction(tx => soundly(tx, clock.nowMs(), () => list(tx)));
    if (result.ok) return result.value;
    this.#problem(new ClientError('store-failed', { cause: result.error }));
    return [];
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
        this.#lose(tx, from, chatWith(from.split('/')[0]!), stanzaId, followup);
      }
    });
    if (result.ok) this.#follow(followup);
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
        followup.events.push(...this.#unreadable.show(tx, lostName(from, stanzaId), place));
        writeUnread(tx, { ...unread, isShown: true });
      }
      return unseen.length > due.length;
    });
    if (!result.ok || result.value) this.watch();
    if (result.ok) this.#follow(followup);
  }

  /** Waits until what is under way is kept. Nothing is handed out afterwards. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelWatch?.();
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
        if (isOfThisMessage(outcome.error, attempt) && (await this.#giveUp(incoming, outcome.error))) return true;
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
    }));
    if (!known.ok) return { kind: 'failed', error: known.error };
    const { seen, commits } = known.value;
    if (seen === 'done' && incoming.heldKey === undefined) return { kind: 'kept' };
    let followup = newFollowup();
    try {
      if (!(await this.#isDeviceKnown(incoming, attempt))) return { kind: 'later' };
      const decrypted = await suite.decrypt(
        incoming.ciphertext,
        outcome => {
          followup = newFollowup();
          committed(store.transaction(tx => this.#keep(tx, incoming, outcome, followup)));
        },
        bytes => this.#misbound(incoming, commits, bytes),
      );
      if (!decrypted.ok)
        return decrypted.error.code === 'too-many-waiting' ? { kind: 'later' } : failedBy(decrypted.error.cause);
    } catch (error) {
      return failedBy(error);
    }
    this.#follow(followup);
    return { kind: 'kept' };
  }

  /** Trying again gives the same: it is recorded as unreadable, and what is behind it goes on. False: not even that now. */
  async #giveUp(incoming: Incoming, error: unknown): Promise<boolean> {
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
      if (!tx.attempt(() => this.#lose(tx, from, chatWith(interopId), incoming.stanzaId, followup)).ok)
        this.#unreadable.count(tx);
      writeReceived(tx, from, incoming.stanzaId, 'done');
    });
    if (recorded.ok) this.#follow(followup);
    return recorded.ok;
  }

  /** What is not a message of this protocol: in the chat with whom it names, when there is one, otherwise in a notice. */
  #unparsed(el: Element | undefined, detail: string, resolve: () => void): void {
    const { store, domain } = this.#context;
    this.#problem(new ClientError('protocol-error', { detail }));
    const jid = parseJid((el && attribute(el, 'from')) ?? '');
    const stanzaId = (el && attribute(el, 'id')) ?? '';
    this.#enqueue(async () => {
      const followup = newFollowup();
      const recorded = store.transaction(tx => {
        const isKnown = jid?.domain === domain && readChat(tx, jid.local).lastAtMs > 0;
        if (!isKnown || stanzaId === '') return this.#unreadable.count(tx);
        const from = `${jid.local}/unparsed`;
        if (readReceived(tx, from, stanzaId) === 'done') return;
        this.#lose(tx, from, chatWith(jid.local), stanzaId, followup);
        writeReceived(tx, from, stanzaId, 'done');
      });
      if (recorded.ok) this.#follow(followup);
      return recorded.ok || isOfOneRow(recorded.error);
    }, resolve);
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

  /** A content is looked at before its session counts and after, and decoded once. */
  #decode(bytes: Uint8Array): ReturnType<typeof decodeContent> {
    const known = this.#decoded.get(bytes);
    if (known !== undefined) return known;
    const decoded = decodeContent(bytes);
    this.#decoded.set(bytes, decoded);
    return decoded;
  }

  /** Whether a content is what it came as; one that can't be read is judged later. `commits`: its device did before. */
  #misbound({ ciphertext, frank }: Incoming, commits: boolean, bytes: Uint8Array): Misbound | undefined {
    const { suite, domain, isStamped } = this.#context;
    const author = ciphertext.from;
    const own = suite.local.interopId;
    const content = this.#decode(bytes);
    if (!content.ok) return undefined;
    const misbound = verifyBinding(content.value, { author, recipient: own, domain });
    if (misbound !== undefined) return misbound;
    const { body, binding } = content.value;
    if (author.interopId !== own) {
      // What can't be reported by whoever reads it, though it could be, is not read.
      if (frank.commitment === undefined) return commits && isStamped() ? 'uncommitted' : undefined;
      return verifyCommitment(binding!, bytes, Buffer.from(frank.commitment, 'base64')) ? undefined : 'commitment';
    }
    if (body.kind !== 'sent-transcript') return undefined;
    // A transcript holds what was sent, as it was: bound to the one it was sent to.
    const sent = this.#decode(body.content);
    return sent.ok ? verifyBinding(sent.value, { author, recipient: body.to, domain }) : undefined;
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
      return writeReceived(tx, from, stanzaId, done.value);
    }
    followup.events.push({ kind: 'problem', error: new ClientError('protocol-error', { cause: done.error }) });
    const { interopId } = incoming.ciphertext.from;
    if (!tx.attempt(() => this.#lose(tx, from, chatWith(interopId), stanzaId, followup)).ok) this.#unreadable.count(tx);
    writeReceived(tx, from, stanzaId, 'done');
  }

  #outcome(tx: Transaction, incoming: Incoming, outcome: DecryptOutcome, followup: Followup): 'done' | 'unread' {
    const from = fullAddress(incoming);
    const { stanzaId } = incoming;
    switch (outcome.kind) {
      case 'content':
        if (!this.#context.lists.isNamed(tx, outcome.from, outcome.identity)) {
          // A holder of the identity key can still not speak for the person from a device that they don't name.
          this.#lose(tx, from, chatWith(outcome.from.interopId), stanzaId, followup);
          followup.unlisted = outcome.from;
          break;
        }
        this.#inPlace(tx, incoming, followup, () => this.#content(tx, incoming, outcome, followup));
        break;
      case 'retry-request':
        // Outside a session and hence not authenticated: this client's own kind asks inside one, so nothing is due.
        break;
      case 'refused':
        switch (actionOf(outcome.error)) {
          case 'hold': {
            const { kind, bytes } = incoming.ciphertext;
            const person = incoming.ciphertext.from.interopId;
            const { commitment, stamp } = incoming.frank;
            const frank = { ...(commitment && { commitment }), ...(stamp && { stamp }) };
            writeHeld(tx, person, { from, stanzaId, kind, bytes: Buffer.from(bytes).toString('base64'), ...frank });
            for (const key of keepFairShares(tx, 'held', person, inboxLimits.held)) this.#loseHeld(tx, key, followup);
            break;
          }
          case 'retry':
            return this.#askAgain(tx, incoming, followup) ? 'unread' : 'done';
          case 'lose':
            // Holds nothing that a person was to read.
            if (incoming.ciphertext.kind === 'plaintext-retry') break;
            this.#lose(tx, from, chatWith(incoming.ciphertext.from.interopId), stanzaId, followup);
            followup.events.push({
              kind: 'problem',
              error: new ClientError('protocol-error', { detail: decryptErrorTable[outcome.error.code].text }),
            });
            break;
          case 'drop':
            break;
        }
    }
    return 'done';
  }

  /** What comes late, since it waited or had to be sent again, stands where it came first. */
  #inPlace(
    tx: Transaction,
    { ciphertext, stanzaId, place }: Incoming,
    followup: Followup,
    keep: () => number | undefined,
  ): void {
    const { interopId, deviceId } = ciphertext.from;
    const from = `${interopId}/${deviceId}`;
    const unread = readUnread(tx, from, stanzaId);
    const first = unread?.place ?? place;
    deleteUnread(tx, from, stanzaId);
    if (unread?.isShown === true) {
      const { suite } = this.#context;
      const line = lostName(from, stanzaId);
      followup.events.push(...addFact(tx, suite.local.interopId, line, { kind: 'gone', why: 'hidden' }));
    }
    const before = followup.events.length;
    const kept = keep();
    const at = first ?? kept;
    if (at === undefined) return;
    for (const event of followup.events.slice(before)) {
      if (event.kind === 'message' && event.change === 'new')
        placeEntry(tx, event.message.author, event.message.id, at);
    }
  }

  /** Notes the number of what a device says in a chat, and gives the place that was kept free for it. */
  #hear(
    tx: Transaction,
    chat: ChatId,
    from: { readonly address: DeviceAddress; readonly identity: string },
    content: DecodedContent,
    followup: Followup,
  ): number | undefined {
    const number = content.binding?.number ?? 0;
    if (number === 0) return undefined;
    const hearing = hearNumber(tx, chat, from, number);
    if (hearing?.missing !== undefined) followup.events.push({ kind: 'missing', chat, count: hearing.missing });
    return hearing?.place;
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

  /**
   * Asks the sending device, inside a fresh session, to send a stanza again. False when that was done often enough: then the
   * message is lost here, and one last request lets its author know.
   */
  #askAgain(tx: Transaction, incoming: Incoming, followup: Followup): boolean {
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
    const canAsk = (decision.allowed || decision.isBeyond) && failed?.ok === true && outbox.hasRoom(tx);
    if (!canAsk || decision.isBeyond) this.#lose(tx, from, chatWith(interopId), stanzaId, followup);
    else {
      const waits = { sinceMs: nowMs, place: tx.newPlace(), ...unread, from, stanzaId, asked };
      for (const gone of keepUnread(tx, waits)) {
        this.#lose(tx, gone.from, chatWith(gone.from.split('/')[0]!), gone.stanzaId, followup);
        writeReceived(tx, gone.from, gone.stanzaId, 'done');
      }
    }
    if (!canAsk) return false;
    const content = encodeContent({
      messageId: randomBytes(MESSAGE_ID_BYTES),
      sentAtMs: nowMs,
      body: { kind: 'retry-request', stanzaId, decryptionError: failed.value, attempt: asked },
    });
    if (!content.ok) throw new TypeError('a retry request of our own is sound');
    const payload = contentPayload(content.value);
    outbox.add(tx, { to: interopId, toDevice: deviceId, freshSession: true, payload, silent: true });
    followup.wake.add(interopId);
    this.watch();
    return decision.allowed;
  }

  /** A device could not read a stanza of ours: it is encrypted again for that device, if it was for that person. */
  #sendAgain(
    tx: Transaction,
    incoming: Incoming,
    request: { readonly stanzaId: StanzaId; readonly decryptionError: Uint8Array; readonly identity: string },
    followup: Followup,
  ): void {
    const { outbox, clock, suite } = this.#context;
    const { from } = incoming.ciphertext;
    const { interopId, deviceId } = from;
    const { stanzaId } = request;
    const failed = readDecryptionError(request.decryptionError);
    if (!failed.ok || failed.value.deviceId !== suite.local.deviceId || failed.value.tag !== stanzaTag(stanzaId))
      return;
    const sent = readSent(tx, stanzaId, clock.nowMs());
    if (sent?.addressed === undefined) return this.#cantSayAgain(tx, interopId, stanzaId, followup);
    if (sent.to !== interopId || !outbox.hasRoom(tx)) return;
    const { addressed } = sent;
    // A new key or a new device was not addressed: whether it gets what was said before is a person's to say.
    if (addressed.identity !== request.identity || !addressed.devices.includes(deviceId)) {
      const atMs = clock.nowMs();
      const isFirst = keepAsked(tx, { interopId, deviceId, stanzaId, fingerprint: request.identity, atMs });
      const lines = isFirst ? addNotice(tx, { kind: 'asked-again', interopId }, atMs) : [];
      for (const message of lines) followup.events.push({ kind: 'message', change: 'new', message });
      return;
    }
    const asked = (sent.askedBy?.[deviceId] ?? 0) + 1;
    const decision = takeRetry(tx, 'resend', from, asked, clock.nowMs());
    if (decision.hasQuota) writeSent(tx, stanzaId, { ...sent, askedBy: { ...sent.askedBy, [deviceId]: asked } });
    if (!decision.allowed) return this.#cantSayAgain(tx, interopId, stanzaId, followup);
    const payload = { kind: 'content', content: sent.content } as const;
    const repeat = { to: interopId, toDevice: deviceId, onlyIdentity: request.identity, payload, silent: false };
    outbox.add(tx, repeat, repeatId(stanzaId, deviceId));
    followup.wake.add(interopId);
  }

  /** Its author sees that it was not read: it does not stand there as sent. */
  #cantSayAgain(tx: Transaction, person: InteropId, stanzaId: StanzaId, followup: Followup): void {
    followup.events.push(...this.#context.outbox.unreadable(tx, stanzaId, person));
    followup.wake.add(this.#context.suite.local.interopId);
  }

  /** Gives where a message of it stands, when that is not at the end. */
  #content(
    tx: Transaction,
    incoming: Incoming,
    outcome: Extract<DecryptOutcome, { kind: 'content' }>,
    followup: Followup,
  ): number | undefined {
    const { suite, clock, outbox, transfer } = this.#context;
    const { interopId: author, deviceId } = incoming.ciphertext.from;
    const own = suite.local.interopId;
    outbox.noteDevice(author, deviceId);
    const decoded = this.#decode(outcome.content);
    if (!decoded.ok) {
      this.#lose(tx, fullAddress(incoming), chatWith(author), incoming.stanzaId, followup);
      return undefined;
    }
    const content = decoded.value;
    this.#noteCapabilities(tx, incoming, content.capabilities ?? 0);
    const receivedAtMs = clock.nowMs();
    writeStamp(tx, heardStamp(receivedAtMs, readStamp(tx), content.stampMs ?? content.sentAtMs));
    if (content.body.kind === 'retry-request') {
      this.#sendAgain(tx, incoming, { ...content.body, identity: outcome.identity }, followup);
      return undefined;
    }
    const from = { address: incoming.ciphertext.from, identity: outcome.identity };
    if (author !== own) {
      const at = this.#hear(tx, chatWith(author), from, content, followup);
      this.#said(tx, author, content, followup);
      this.#keepEvidence(tx, incoming, content, outcome.content);
      return at;
    }
    // From one's own other devices: copies of what they sent, what was done there, and history.
    switch (content.body.kind) {
      case 'sent-transcript': {
        const { to, content: raw } = content.body;
        const transcribed = this.#decode(raw);
        if (!transcribed.ok || to === own) return undefined;
        const chat = chatWith(to);
        const at = this.#hear(tx, chat, from, transcribed.value, followup);
        const said = { author, chat, content: transcribed.value, receivedAtMs };
        followup.events.push(...addSaid(tx, own, said, receivedAtMs));
        return at;
      }
      case 'history-piece':
      case 'history-request': {
        const { events, wake } = transfer.receive(tx, deviceId, content.body);
        followup.events.push(...events);
        if (wake) followup.wake.add(own);
        return undefined;
      }
      default:
        followup.events.push(...addSaid(tx, own, { author, chat: chatWith(own), content, receivedAtMs }, receivedAtMs));
        return undefined;
    }
  }

  #said(tx: Transaction, author: InteropId, content: DecodedContent, followup: Followup): void {
    const { suite, clock, outbox, deliveryReceipts } = this.#context;
    const { body } = content;
    if (body.kind === 'typing') {
      followup.events.push({ kind: 'typing', from: author, state: body.state });
      return;
    }
    const own = suite.local.interopId;
    const receivedAtMs = clock.nowMs();
    const chat = chatWith(author);
    if (isIdle(tx, author, content) && !this.#idle.take(author)) return;
    const events = addSaid(tx, own, { author, chat, content, receivedAtMs }, receivedAtMs);
    followup.events.push(...events);
    // Once for each message that this person is shown. Whatever else comes, also under the id of one that was shown, is
    // answered by nothing: it would tell its sender, unseen, when this device is there.
    const id = messageIdOf(content.messageId);
    const message = events.flatMap(each => (each.kind === 'message' && each.change === 'new' ? [each.message] : []))[0];
    if (message?.id !== id || message.chat !== chat || !isSeen(message) || !outbox.hasRoom(tx)) return;
    if (!isOn('sendDelivered', readChat(tx, chat), readChat(tx, defaultsKey), deliveryReceipts)) return;
    const payload = { kind: 'receipt', receipt: 'delivered', messageIds: [message.id] } as const;
    outbox.add(tx, { to: author, payload, silent: true });
    followup.wake.add(author);
  }

  /** Of what is shown, and may stay: for the person to report. */
  #keepEvidence(
    tx: Transaction,
    { ciphertext, stanzaId, frank }: Incoming,
    content: DecodedContent,
    bytes: Uint8Array,
  ): void {
    const { body, binding, messageId, viewOnce } = content;
    const { commitment, stamp } = frank;
    if (commitment === undefined || stamp === undefined || binding === undefined || viewOnce === true) return;
    if (!isShownBody(body) && body.kind !== 'edit') return;
    const about = body.kind === 'edit' ? body.targetMessageId : messageId;
    const evidence = {
      stanzaId,
      acceptedAtMs: stamp.atMs,
      content: Buffer.from(bytes).toString('base64'),
      salt: Buffer.from(binding.salt).toString('base64'),
      commitment,
      stamp: stamp.mac,
    };
    keepEvidence(tx, ciphertext.from.interopId, messageIdOf(about), evidence, this.#context.clock.nowMs());
  }

  #noteCapabilities(tx: Transaction, { ciphertext, frank }: Incoming, capabilities: number): void {
    const { interopId: person, deviceId } = ciphertext.from;
    const nowMs = this.#context.clock.nowMs();
    const before = readCapabilities(tx, person, deviceId);
    const { local } = this.#context.suite;
    if (before === undefined && person === local.interopId) {
      addNotice(tx, { kind: 'own-device-appeared', deviceId }, nowMs);
    }
    const isFresh = before !== undefined && nowMs - before.seenAtMs < inboxLimits.capabilitiesAgeMs;
    const commits = before?.commits === true || frank.commitment !== undefined;
    if (isFresh && before.capabilities === capabilities && (before.commits ?? false) === commits) return;
    writeCapabilities(tx, person, deviceId, { capabilities, seenAtMs: nowMs, ...(commits ? { commits } : {}) });
  }

  /** A place in the history that says: something was here. */
  #lose(tx: Transaction, from: string, chat: ChatId, stanzaId: StanzaId, followup: Followup): void {
    const place = readUnread(tx, from, stanzaId)?.place;
    deleteUnread(tx, from, stanzaId);
    followup.events.push(...this.#unreadable.show(tx, { ...lostName(from, stanzaId), chat }, place));
  }

  /** It waited, and others of the same person pushed it out. */
  #loseHeld(tx: Transaction, key: string, followup: Followup): void {
    const [from, stanzaId] = key.split('\n');
    if (from === undefined || stanzaId === undefined) return;
    this.#lose(tx, from, chatWith(from.split('/')[0]!), stanzaId, followup);
  }

  #follow(followup: Followup): void {
    for (const event of followup.events) this.#context.emit(event);
    if (followup.unlisted !== undefined) this.#context.lists.skipped(followup.unlisted);
    for (const to of followup.wake) this.#context.outbox.wake(to);
  }

  #problem(error: ClientError): void {
    this.#context.emit({ kind: 'problem', error });
  }
}

/**
 * A stanza that was seen does not come so far. What is a repeat all the same was encrypted by a store that was set back, under a
 * key that it had used already: nobody can read it before it is sent again.
 */
function actionOf(error: DecryptError): DecryptErrorAction {
  return error.code === 'duplicate' ? 'retry' : decryptErrorAction(error);
}

/** Whether a content puts nothing before a person: it is empty, or comes under the id of something that is here. */
function isIdle(
  tx: Transaction,
  author: InteropId,
  { body, chatId, fallbackText = '', messageId }: DecodedContent,
): boolean {
  if (chatId !== undefined || (body.kind === 'unsupported' && fallbackText === '')) return true;
  return readEntry(tx, author, messageIdOf(messageId))?.posted !== undefined;
}

/** Whether a message puts anything before a person. */
function isSeen(message: MessageRecord): boolean {
  const isEmpty = message.kind === 'unsupported' && message.text === '';
  return !isEmpty && message.kind !== 'deleted' && message.kind !== 'opened' && isShown(message);
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

/** The line that says of one stanza that it could not be read. */
function lostName(from: string, stanzaId: StanzaId): MessageName & { readonly chat: ChatId } {
  const author = from.split('/')[0]!;
  const digest = createHash('sha256').update(`${from}\n${stanzaId}`).digest('hex');
  return { author, id: digest.slice(0, 2 * MESSAGE_ID_BYTES), chat: chatWith(author) };
}

function newFollowup(): Followup {
  return { events: [], wake: new Set() };
}

function incomingOf(message: DeviceMessage): Incoming {
  const { kind, payload } = message.ciphertext;
  const bytes = typeof payload === 'string' ? Buffer.from(payload, 'base64') : payload;
  const from = { interopId: message.from.local, deviceId: message.fromDevice };
  return { ciphertext: { from, kind, bytes }, stanzaId: message.id, frank: frankOf(message) };
}

function frankOf({ commitment, stamp }: DeviceMessage): Frank {
  const text = (digest: string | Uint8Array): string =>
    typeof digest === 'string' ? digest : Buffer.from(digest).toString('base64');
  return {
    ...(commitment === undefined ? {} : { commitment: text(commitment) }),
    ...(stamp === undefined ? {} : { stamp: { atMs: stamp.atMs, mac: text(stamp.mac) } }),
  };
}

function senderOf({ from }: HeldRow['held']): InteropId {
  return from.split('/')[0]!;
}

function fullAddress(incoming: Incoming): string {
  const { interopId, deviceId } = incoming.ciphertext.from;
  return `${interopId}/${deviceId}`;
}
