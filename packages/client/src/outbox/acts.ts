// What a person says that shows no message of its own: a change of one that is there, or of the chat. Named, so that it can be
// told when it did not come.
// Knows nothing of rows, and not how a content is applied.
// Source: docs/protocol/09-content.md sections 9.3 and 9.7.
import type { ContentBody, UnappliedKind } from '@drawbridge/e2ee/content-kinds';
import type { InteropId } from '@drawbridge/wire/jid';
import { type MessageName, messageIdOf } from '../history/message-names.ts';

export type Act = {
  readonly what: UnappliedKind;
  /** The message that it is about. */
  readonly message?: MessageName;
};

/** Undefined: it shows a message of its own, or nothing. */
export function actOf(own: InteropId, body: ContentBody): Act | undefined {
  switch (body.kind) {
    case 'edit':
    case 'delete':
      return { what: body.kind, message: { author: own, id: messageIdOf(body.targetMessageId) } };
    case 'poll-close':
      return { what: body.kind, message: { author: own, id: messageIdOf(body.pollMessageId) } };
    case 'reaction':
      return { what: body.kind, message: { author: body.target.author, id: messageIdOf(body.target.messageId) } };
    case 'poll-vote':
      return { what: body.kind, message: { author: body.poll.author, id: messageIdOf(body.poll.messageId) } };
    case 'expiry-timer':
    case 'profile':
      return { what: body.kind };
    default:
      return undefined;
  }
}
