// What messages and chats are called on a device, and how these names come to be. Knows nothing of storage or of what is said.
// Source: docs/protocol/09-content.md section 9.3; docs/decisions/0047-names-have-types-that-cannot-be-swapped.md.
import { type InteropId, isInteropId } from '@drawbridge/wire/jid';
import type { Named, Parsed } from '@drawbridge/wire/names';

/** 16 bytes of the author's choice as lower-case hex; a message is named by it together with its author. */
export type MessageId = Named<'MessageId'>;

/** One that this client has shown, or that `parseMessageId` has read: the only kind that an application can give. */
export type ShownMessageId = Parsed<'MessageId'>;

/** A person whom this client has named, or whose InteropId `parsePerson` has read: the only kind that an application can give. */
export type KnownPerson = Parsed<'InteropId'>;

/** Where something is said: for a chat of two, the InteropId of the other person. */
export type ChatId = Named<'ChatId'>;

export type MessageName = { readonly author: InteropId; readonly id: MessageId };

/** As an application gives it. */
export type ShownMessageName = { readonly author: KnownPerson; readonly id: ShownMessageId };

export function messageIdOf(bytes: Uint8Array): ShownMessageId {
  return shownId(Buffer.from(bytes).toString('hex'));
}

/** An id that an application has kept as text; undefined: it is not one. */
export function parseMessageId(text: string): ShownMessageId | undefined {
  return /^[0-9a-f]{32}$/.test(text) ? shownId(text) : undefined;
}

/** An InteropId that an application has kept as text; undefined: it is not one. */
export function parsePerson(text: string): KnownPerson | undefined {
  return isInteropId(text) ? knownPerson(text) : undefined;
}

/** It was read where it came from. */
export function knownPerson(interopId: InteropId): KnownPerson {
  return interopId as KnownPerson;
}

/** Of a message that is here: its id was read when it came. */
export function shownId(id: MessageId): ShownMessageId {
  return id as ShownMessageId;
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
