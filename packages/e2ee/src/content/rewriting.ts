// Changes of a serialised content that leave all else as it was said, also what this code does not know: in a typed content, which
// `encodeContent` writes, that would be lost.
// Knows nothing of why something is changed.
// Source: docs/protocol/09-content.md sections 9.3 and 9.10.
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { type Content, ContentSchema } from '../gen/content_pb.ts';
import { MAX_DEPTH } from './content.ts';

/** The very same bytes, here and below, when they are no content. */
export function withExpiry(content: Uint8Array, expiresAfterSeconds: number): Uint8Array {
  const message = read(content);
  if (message === undefined) return content;
  message.expiresAfterSeconds = expiresAfterSeconds;
  return toBinary(ContentSchema, message);
}

/** Of a transcript: of the content that it holds. The very same bytes when there is no excerpt. */
export function withoutExcerpt(content: Uint8Array): Uint8Array {
  const message = read(content);
  if (message === undefined) return content;
  const { replyTo, body } = message;
  if (body.case === 'sentTranscript') {
    const inner = withoutExcerpt(body.value.content);
    if (inner === body.value.content) return content;
    body.value.content = inner;
    return toBinary(ContentSchema, message);
  }
  if (replyTo === undefined || replyTo.excerpt === '') return content;
  replyTo.excerpt = '';
  return toBinary(ContentSchema, message);
}

function read(content: Uint8Array): Content | undefined {
  try {
    return fromBinary(ContentSchema, content, { recursionLimit: MAX_DEPTH });
  } catch {
    // It came to nobody's screen either.
    return undefined;
  }
}
