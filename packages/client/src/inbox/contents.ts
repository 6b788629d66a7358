// What a decrypted content does: it is checked against what it came as, becomes part of the history, is answered by a
// receipt, kept to be reported, or is for the outbox or a transfer of history. Knows nothing of ciphertexts and sessions.
// Source: docs/protocol/09-content.md.
import { type ContentBody, type DecodedContent, decodeContent } from '@drawbridge/e2ee/content';
import { verifyBinding } from '@drawbridge/e2ee/binding';
import { verifyCommitment } from '@drawbridge/e2ee/commitment';
import { heardStamp } from '@drawbridge/e2ee/hybrid-clock';
import type { Overruled } from '@drawbridge/e2ee/content-kinds';
import type { DecryptOutcome, DeviceAddress, Misbound } from '@drawbridge/e2ee/suite';
import type { InteropId } from '@drawbridge/wire/jid';
import { OwnProfile } from '../account/own-profile.ts';
import { hearOfPeople, type Telling } from '../devices/people-to-come.ts';
import { defaultsKey, isOn } from '../history/chat-state.ts';
import { Authoring } from '../history/authoring.ts';
import { addSaid, isSaidAgain, stampOf } from '../history/conversation.ts';
import { hearNumber } from '../history/hearing.ts';
import { isShown, isThirdParty, saidAgain } from '../history/history.ts';
import { type MessageRecord, isShownBody } from '../history/message-log.ts';
import { keepOverruled } from '../history/kept-overruled.ts';
import { overruledBy, sayAgain, type SayingAgain, stricterDecisions } from '../history/overruled.ts';
import { readChat, readEntry, writeChat } from '../store/message-records.ts';
import { readCapabilities, writeCapabilities } from '../store/person-records.ts';
import { readStamp, writeStamp } from '../store/account-records.ts';
import { addNotice } from '../notices/notice-records.ts';
import { keepEvidence } from '../reports/evidence.ts';
import type { Transaction } from '../store/store.ts';
import { type ChatId, chatWith, type MessageId, messageIdOf } from '../history/message-names.ts';
import { chatInForce } from '../history/provider-block.ts';
import { IdleBudget } from './idle-budget.ts';
import { type InboxContext, inboxLimits } from './inbox-context.ts';
import { type Followup, type Incoming, fullAddress } from './incoming.ts';
import { sendAgain } from './send-again.ts';
import type { Unread } from './unread.ts';

export class Contents {
  readonly #context: InboxContext;
  readonly #unread: Unread;
  /** By the bytes themselves, as long as somebody holds them. */
  readonly #decoded = new WeakMap<Uint8Array, ReturnType<typeof decodeContent>>();
  readonly #idle: IdleBudget;
  readonly #telling: Telling = {};
  readonly #again: SayingAgain;

  constructor(context: InboxContext, unread: Unread) {
    this.#context = context;
    this.#unread = unread;
    this.#idle = new IdleBudget(context.clock);
    const { store, suite, clock, outbox, emit } = context;
    const authoring = new Authoring({ store, own: suite.local.interopId, clock, outbox, emit });
    this.#again = { authoring, profile: new OwnProfile(authoring, outbox) };
  }

  /** Whether a content is what it came as; one that can't be read is judged later. `commits`: its device did before. */
  misbound({ ciphertext, frank, isStamped }: Incoming, commits: boolean, bytes: Uint8Array): Misbound | undefined {
    const { suite, domain } = this.#context;
    const author = ciphertext.from;
    const own = suite.local.interopId;
    const content = this.#decode(bytes);
    if (!content.ok) return undefined;
    const misbound = verifyBinding(content.value, { author, recipient: own, domain });
    if (misbound !== undefined) return misbound;
    const { body, binding } = content.value;
    if (author.interopId !== own) {
      // What can't be reported by whoever reads it, though it could be, is not read.
      if (frank.commitment === undefined) return commits && isStamped ? 'uncommitted' : undefined;
      return verifyCommitment(binding!, bytes, Buffer.from(frank.commitment, 'base64')) ? undefined : 'commitment';
    }
    if (body.kind !== 'sent-transcript') return undefined;
    // A transcript holds what was sent, as it was: bound to the one it was sent to.
    const sent = this.#decode(body.content);
    return sent.ok ? verifyBinding(sent.value, { author, recipient: body.to, domain }) : undefined;
  }

  /** Gives where a message of it stands, when that is not at the end. `first`: where it came first, when that was earlier. */
  keep(
    tx: Transaction,
    incoming: Incoming,
    outcome: Extract<DecryptOutcome, { kind: 'content' }>,
    followup: Followup,
    first: number | undefined,
  ): number | undefined {
    const { suite, clock, outbox, transfer } = this.#context;
    const { interopId: author, deviceId } = incoming.ciphertext.from;
    const own = suite.local.interopId;
    outbox.noteDevice(author, deviceId);
    const decoded = this.#decode(outcome.content);
    if (!decoded.ok) {
      this.#unread.lose(tx, fullAddress(incoming), chatWith(author), incoming.stanzaId, followup);
      return undefined;
    }
    const content = decoded.value;
    this.#noteCapabilities(tx, incoming, content.capabilities ?? 0);
    const receivedAtMs = clock.nowMs();
    writeStamp(tx, heardStamp(receivedAtMs, readStamp(tx), content.stampMs ?? content.sentAtMs));
    if (content.body.kind === 'retry-request') {
      if (incoming.isRefused === true) return undefined;
      sendAgain(this.#context, tx, incoming, { ...content.body, identity: outcome.identity }, followup);
      return undefined;
    }
    const from = { address: incoming.ciphertext.from, identity: outcome.identity };
    if (author !== own) {
      const at = this.#hear(tx, chatWith(author), from, content, followup);
      this.#said(tx, incoming, content, followup);
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
        const said = { author, chat, content: transcribed.value, receivedAtMs, device: deviceId };
        const isAgain = isSaidAgain(tx, own, deviceId, transcribed.value);
        this.#tellOwnOverruled(tx, chat, transcribed.value, followup);
        followup.events.push(...addSaid(tx, own, said, receivedAtMs));
        const id = messageIdOf(transcribed.value.messageId);
        if (isAgain) saidAgain(tx, { author, id, chat }, receivedAtMs, first ?? at);
        return at;
      }
      case 'history-piece':
      case 'history-request': {
        const { events, wake } = transfer.receive(tx, deviceId, content.body);
        followup.events.push(...events);
        if (wake) followup.wake.add(own);
        return undefined;
      }
      case 'overruled':
        this.#sayAgain(tx, own, content.body, followup);
        return undefined;
      case 'device-sync':
        this.#tellOwnOverruled(tx, chatWith(own), content, followup);
        this.#hearOfPeople(tx, deviceId, content.body, followup);
        followup.events.push(
          ...addSaid(tx, own, { author, chat: chatWith(own), content, receivedAtMs, device: deviceId }, receivedAtMs),
        );
        if (content.body.decisionsAsked !== true) return undefined;
        this.#context.decisions.answer(tx, deviceId);
        followup.wake.add(own);
        return undefined;
      default:
        this.#tellOwnOverruled(tx, chatWith(own), content, followup);
        followup.events.push(...addSaid(tx, own, { author, chat: chatWith(own), content, receivedAtMs }, receivedAtMs));
        return undefined;
    }
  }

  /** One's own devices are told at once. */
  #tellOwnOverruled(tx: Transaction, chat: ChatId, content: DecodedContent, followup: Followup): void {
    const own = this.#context.suite.local.interopId;
    const stamp = stampOf(content);
    const overruled = overruledBy(tx, own, own, chat, content, stamp);
    for (const each of overruled) this.#again.authoring.overruled(tx, own, each);
    const decisions = stricterDecisions(tx, chat, content, stamp);
    if (decisions.length > 0 && this.#context.outbox.hasRoom(tx)) this.#again.authoring.sync(tx, { decisions });
    if (overruled.length + decisions.length > 0) followup.wake.add(own);
  }

  #sayAgain(tx: Transaction, from: InteropId, overruled: Overruled, followup: Followup): void {
    if (from !== this.#again.authoring.own && !this.#idle.take(from)) return;
    // What may not be said now, or has no room, is said when the person says it.
    const said = tx.attempt(() => sayAgain(tx, this.#again, from, overruled));
    if (!said.ok) return;
    followup.events.push(...said.value);
    for (const to of [from, overruled.chat ?? from, this.#again.authoring.own]) followup.wake.add(to);
  }

  #hearOfPeople(tx: Transaction, deviceId: number, sync: ContentBody<'device-sync'>, followup: Followup): void {
    const { suite, domain, outbox, clock } = this.#context;
    const own = suite.local.interopId;
    const context = { own, domain, outbox, nowMs: clock.nowMs(), telling: this.#telling };
    const heard = hearOfPeople(tx, context, deviceId, sync);
    if (heard === 'said') followup.wake.add(own);
    if (heard === 'told-all') followup.everybodyMet = true;
  }

  #said(tx: Transaction, incoming: Incoming, content: DecodedContent, followup: Followup): void {
    const { suite, clock, outbox, deliveryReceipts } = this.#context;
    const author = incoming.ciphertext.from.interopId;
    const { body } = content;
    if (body.kind === 'typing') {
      // What waited to be read says nothing of now.
      if (incoming.heldKey === undefined) followup.events.push({ kind: 'typing', from: author, state: body.state });
      return;
    }
    const own = suite.local.interopId;
    const receivedAtMs = clock.nowMs();
    const chat = chatWith(author);
    if (body.kind === 'overruled') return this.#sayAgain(tx, author, body, followup);
    if (isIdle(tx, author, content) && !this.#idle.take(author)) return;
    keepOverruled(tx, chat, overruledBy(tx, own, author, chat, content, stampOf(content)));
    const events = addSaid(tx, own, { author, chat, content, receivedAtMs }, receivedAtMs);
    followup.events.push(...events);
    // Once for each message that this person is shown. Whatever else comes, also under the id of one that was shown, is
    // answered by nothing: it would tell its sender, unseen, when this device is there.
    const id = messageIdOf(content.messageId);
    const message = events.flatMap(each => (each.kind === 'message' && each.change === 'new' ? [each.message] : []))[0];
    if (message?.id !== id || message.chat !== chat || !isSeen(message) || incoming.isRefused === true) return;
    if (this.#isOwed(tx, chat, message.id) || !outbox.hasRoom(tx)) return;
    if (!isOn('sendDelivered', chatInForce(tx, chat), readChat(tx, defaultsKey), deliveryReceipts)) return;
    const payload = { kind: 'receipt', receipt: 'delivered', messageIds: [message.id] } as const;
    outbox.add(tx, { to: author, payload, silent: true });
    this.#again.authoring.tellOverruled(tx, chat);
    followup.wake.add(author);
  }

  /** Whoever waits for a decision, or may, learns nothing before it: what came until then is acknowledged with it. */
  #isOwed(tx: Transaction, chat: ChatId, id: MessageId): boolean {
    const { suite, decisions } = this.#context;
    const record = readChat(tx, chat);
    const { owed = [] } = record;
    const { contact } = chatInForce(tx, chat);
    const mayWait = contact === undefined && isThirdParty(chat, suite.local.interopId) && !decisions.isListed;
    if (contact !== 'request' && !mayWait) return false;
    writeChat(tx, { ...record, owed: [...owed, id].slice(-inboxLimits.owedReceipts) });
    return true;
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

  /** A content is looked at before its session counts and after, and decoded once. */
  #decode(bytes: Uint8Array): ReturnType<typeof decodeContent> {
    const known = this.#decoded.get(bytes);
    if (known !== undefined) return known;
    const decoded = decodeContent(bytes);
    this.#decoded.set(bytes, decoded);
    return decoded;
  }
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
