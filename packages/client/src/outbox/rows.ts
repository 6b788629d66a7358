// How rows of the outbox are named, and how a content stands in one. Knows nothing of what rows are for.
import { randomBytes } from 'node:crypto';
import type { StanzaId } from '@drawbridge/wire/jid';
import type { OutboxRecord } from '../store/outbox-records.ts';

export type ContentPayload = Extract<OutboxRecord['payload'], { readonly kind: 'content' }>;

export function contentPayload(content: Uint8Array): ContentPayload {
  return { kind: 'content', content: base64(content) };
}

export function contentBytes({ content }: ContentPayload): Buffer {
  return Buffer.from(content, 'base64');
}

/** A row's key is its stanza's id, with `~device` when it repeats the stanza for one device that could not read it. */
export function repeatId(stanzaId: StanzaId, deviceId: number): string {
  return `${stanzaId}~${deviceId}`;
}

export function stanzaIdOf(id: string): StanzaId {
  return id.split('~')[0]!;
}

/** 16 random bytes as a stanza's id. */
export function newStanzaId(): StanzaId {
  return randomBytes(16).toString('base64url');
}

export function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}
