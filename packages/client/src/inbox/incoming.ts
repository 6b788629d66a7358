// A ciphertext on its way through the inbox, under which names it is remembered, and what follows once it is kept.
// Knows nothing of how it is read.
import { createHash } from 'node:crypto';
import { MESSAGE_ID_BYTES } from '@drawbridge/e2ee/content';
import type { DeviceAddress, IncomingCiphertext } from '@drawbridge/e2ee/suite';
import type { DeviceMessage } from '@drawbridge/wire/envelope';
import type { StanzaId } from '@drawbridge/wire/jid';
import type { ClientEvent } from '../events.ts';
import type { HeldRow } from '../store/inbox-records.ts';
import { type ChatId, chatWith, messageIdOf, type MessageName } from '../history/message-names.ts';
import type { InboxContext } from './inbox-context.ts';

export type Incoming = {
  readonly ciphertext: IncomingCiphertext;
  readonly stanzaId: StanzaId;
  readonly frank: Frank;
  /** Came in a session that brings what others commit to: one without a commitment has none. */
  readonly isStamped: boolean;
  readonly heldKey?: string;
  readonly place?: number;
  /** It came while its author was refused: nothing answers it, however late it is read. */
  readonly isRefused?: boolean;
};

/** What came beside a ciphertext; base64. */
export type Frank = Pick<HeldRow['held'], 'commitment' | 'stamp'>;

/** What follows a committed transaction. */
export type Followup = {
  readonly events: ClientEvent[];
  readonly wake: Set<string>;
  unlisted?: DeviceAddress;
  everybodyMet?: true;
};

export function newFollowup(): Followup {
  return { events: [], wake: new Set() };
}

/** To be called once the transaction is committed. */
export function follow({ emit, lists, outbox }: InboxContext, followup: Followup): void {
  for (const event of followup.events) emit(event);
  if (followup.unlisted !== undefined) lists.skipped(followup.unlisted);
  for (const to of followup.wake) outbox.wake(to);
}

export function incomingOf(message: DeviceMessage, isStamped: boolean): Incoming {
  const { kind, payload } = message.ciphertext;
  const bytes = typeof payload === 'string' ? Buffer.from(payload, 'base64') : payload;
  const from = { interopId: message.from.local, deviceId: message.fromDevice };
  return { ciphertext: { from, kind, bytes }, stanzaId: message.id, frank: frankOf(message), isStamped };
}

function frankOf({ commitment, stamp }: DeviceMessage): Frank {
  const text = (digest: string | Uint8Array): string =>
    typeof digest === 'string' ? digest : Buffer.from(digest).toString('base64');
  return {
    ...(commitment === undefined ? {} : { commitment: text(commitment) }),
    ...(stamp === undefined ? {} : { stamp: { atMs: stamp.atMs, mac: text(stamp.mac) } }),
  };
}

export function fullAddress(incoming: Incoming): string {
  const { interopId, deviceId } = incoming.ciphertext.from;
  return `${interopId}/${deviceId}`;
}

/** The line that says of one stanza that it could not be read. */
export function lostName(from: string, stanzaId: StanzaId): MessageName & { readonly chat: ChatId } {
  const author = from.split('/')[0]!;
  const digest = createHash('sha256').update(`${from}\n${stanzaId}`).digest();
  return { author, id: messageIdOf(digest.subarray(0, MESSAGE_ID_BYTES)), chat: chatWith(author) };
}
