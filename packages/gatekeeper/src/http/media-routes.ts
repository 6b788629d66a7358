// Fetching files through the media proxy, with a grant from the stream.
// Knows nothing of who may have a grant, nor of providers.
// Source: docs/protocol/11-media.md section 11.6.
import { pump } from '@drawbridge/identity/body-buffers';
import { rangeAsked } from '@drawbridge/provider/media-origin-range';
import { Type } from 'typebox';
import { type App, problem, problemResponses, storageRetrySeconds } from './app.ts';
import { closed } from './enlistment-schemas.ts';
import type { PublicHttpDeps } from './public-deps.ts';

const encryptedFile = Type.String({ format: 'binary' });

export function addMediaRoutes(app: App, { config, control }: PublicHttpDeps): void {
  app.route({
    method: ['GET', 'HEAD'],
    url: '/media/:grant',
    schema: {
      summary: 'Fetch a file through the media proxy',
      description:
        'With a grant from the stream (docs/protocol/11). The encrypted file, or the one range that is asked for.',
      tags: ['media'],
      params: Type.Object({ grant: Type.String({ pattern: '^[A-Za-z0-9_-]{1,4096}$' }) }, closed),
      response: {
        200: { description: 'The file', content: { 'application/octet-stream': { schema: encryptedFile } } },
        206: { description: 'The range', content: { 'application/octet-stream': { schema: encryptedFile } } },
        ...problemResponses,
      },
    },
    handler: async (request, reply) => {
      const method = request.method === 'HEAD' ? 'HEAD' : 'GET';
      const { grant } = request.params;
      const answer = await control.media.fetch(grant, method, rangeAsked(request.headers));
      if (answer.headers !== undefined) void reply.headers(answer.headers);
      if (answer.kind === 'problem') {
        return problem(reply, answer.code, answer.code === 'busy' ? { retryAfterSeconds: storageRetrySeconds } : {});
      }
      const { status, body } = answer;
      if (body === undefined) return reply.code(status).send();
      const { raw } = reply;
      // A reader that stops is let go, and the fetch with it.
      raw.setTimeout(config.limits.mediaIdleSeconds * 1000, () => raw.destroy());
      reply.hijack();
      raw.writeHead(
        status,
        Object.entries(reply.getHeaders()).flatMap(([name, value]) => (value === undefined ? [] : [name, value])),
      );
      // Either end that breaks ends the other; what is missing tells the reader.
      await pump(body, raw).catch(() => {});
      return reply;
    },
  });
}
