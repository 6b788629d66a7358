// What messages and chats are called on a device, and how these names come to be. Knows nothing of storage or of what is said.
// Source: docs/protocol/09-content.md section 9.3.
import type { InteropId } from '@drawbridge/wire/jid';
import type { Named } from '@drawbridge/wire/names';

/** 16 bytes of the author's choice as lower-case hex; a message is named by it together with its author. */
export type MessageId = Named<'MessageId'>;

/** Where something is said: for a chat of two, the InteropId of the other person. */
export type ChatId = Named<'ChatId'>;

export type MessageName = { readonly author: InteropId; readonly id: MessageId };

export function messageIdOf(bytes: Uint8Array): MessageId {
  return Buffer.from(bytes).toString('hex');
}

/** The chat of this person with another; with oneself it is the one between one's own devices. */
export function chatWith(person: InteropId): ChatId {
  const text: string = person;
  return text;
}

/** The other person of a chat of two. */
export function personOf(chat: ChatId): InteropId {
  const text: string = chat;
  return text;
}
