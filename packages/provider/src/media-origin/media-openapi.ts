// The calls of the media origin as OpenAPI paths: it speaks tus over bare node:http, so they are written down here, with the
// errors from its own table; a test compares them with the server. Knows nothing of people or storage.
// Source: docs/protocol/11-media.md section 11.5.

import { type MediaProblemCode, mediaProblems } from './media-problems.ts';

const header = (name: string, description: string): object => ({
  ...{ name, in: 'header', description, schema: { type: 'string' } },
});
const tus = { ...header('Tus-Resumable', '1.0.0'), required: true };
const id = { name: 'id', in: 'path', required: true, schema: { type: 'string', pattern: '^[A-Za-z0-9_-]{43}$' } };
const bytes = { schema: { type: 'string', format: 'binary' } };
const security = [{ session: [] }];
const uploadBody = { content: { 'application/offset+octet-stream': bytes } };

function answers(good: Record<number, string>, ...codes: readonly MediaProblemCode[]): object {
  const byStatus = Map.groupBy(codes, code => mediaProblems[code].status);
  const all = [
    ...Object.entries(good),
    ...[...byStatus].map(([status, of]) => [String(status), of.join(', ')] as const),
  ];
  return Object.fromEntries(all.map(([status, description]) => [status, { description }]));
}

/** What may meet any request that sends bytes. */
const sending = [
  ...(['request-refused', 'checksum-refused', 'not-authorized', 'version-refused', 'too-large'] as const),
  ...(['too-many-transfers', 'checksum-differs', 'busy', 'storage-full'] as const),
];

/** Paths below the issuer, or with a server of their own when files lie elsewhere. */
export function mediaPaths(mediaUrl: string, issuer: string): Record<string, object> {
  const below = mediaUrl.startsWith(`${issuer}/`);
  const at = below ? mediaUrl.slice(issuer.length) : new URL(mediaUrl).pathname;
  const elsewhere = below ? {} : { servers: [{ url: new URL(mediaUrl).origin }] };
  const tags = ['media'];
  const read = {
    tags,
    summary: 'Read a whole file or a range; whoever has the URL may',
    parameters: [header('Range', 'RFC 9110')],
  };
  const readAnswers = answers({ 200: 'The file', 206: 'The range' }, 'not-found', 'range-refused', 'busy');
  return {
    [at]: {
      ...elsewhere,
      options: { tags, summary: 'What of tus is spoken', responses: answers({ 204: 'See the headers' }) },
      post: {
        ...{ tags, summary: 'Create an upload, perhaps with its first bytes', security, requestBody: uploadBody },
        parameters: [tus, { ...header('Upload-Length', 'bytes of the encrypted file'), required: true }],
        responses: answers({ 201: '`Location` is the URL of the file' }, ...sending, 'quota-used-up'),
      },
    },
    [`${at}/{id}`]: {
      ...elsewhere,
      parameters: [id],
      get: { ...read, responses: readAnswers },
      head: {
        ...{ ...read, summary: 'The size; with Tus-Resumable, as the owner, how far an upload came' },
        responses: answers({ 200: 'See the headers' }, 'not-found', 'not-authorized', 'busy'),
      },
      patch: {
        ...{ tags, summary: 'Go on with an upload', security, requestBody: uploadBody },
        parameters: [tus, { ...header('Upload-Offset', 'where these bytes begin'), required: true }],
        responses: answers(
          { 204: '`Upload-Offset` is how far it came' },
          ...sending,
          'not-found',
          'offset-differs',
          'media-type-refused',
        ),
      },
      delete: {
        ...{ tags, summary: 'Remove a file or an upload', security, parameters: [tus] },
        responses: answers({ 204: 'Removed' }, 'not-authorized', 'not-found', 'version-refused', 'busy'),
      },
    },
  };
}
