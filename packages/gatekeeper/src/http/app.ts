// What both HTTP interfaces share: strict bodies, problem details, safe headers. Knows nothing of routes.
import { problemDetails } from '@drawbridge/identity/problem-details';
import { parseStrictJson } from '@drawbridge/identity/strict-json';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import { fastify, type FastifyError, type FastifyReply } from 'fastify';
import { Type } from 'typebox';
import { StoreError } from '../storage/store-error.ts';
import { type ProblemCode, problems } from './problems.ts';

/** The largest body of any request (docs/protocol/03). */
export const maxBodyBytes = 512 * 1024;
export const storageRetrySeconds = 5;

export const ProblemSchema = Type.Object(
  {
    type: Type.String({ format: 'uri' }),
    code: Type.String(),
    status: Type.Integer(),
    title: Type.String(),
    detail: Type.String(),
    retryAfterSeconds: Type.Optional(Type.Integer({ minimum: 1 })),
  },
  { description: 'RFC 9457 problem details; `code` is from a closed list' },
);

/** For route schemas: all errors look alike. */
export const problemResponses = {
  '4xx': { description: 'Refused', content: { 'application/problem+json': { schema: ProblemSchema } } },
  '5xx': { description: 'Failed', content: { 'application/problem+json': { schema: ProblemSchema } } },
};

class BodyRefused extends Error {
  readonly statusCode = 400;
}

/** Sends problem details; gives back the reply, so that a route can end with it. */
export function problem(
  reply: FastifyReply,
  code: ProblemCode,
  more: { readonly retryAfterSeconds?: number; readonly detail?: string } = {},
): FastifyReply {
  const later = code === 'storage-unavailable' || code === 'proof-not-judged';
  const retry = later ? { retryAfterSeconds: storageRetrySeconds } : {};
  const details = problemDetails(problems, code, { ...retry, ...more });
  if (details.retryAfterSeconds !== undefined) void reply.header('retry-after', String(details.retryAfterSeconds));
  if (details.status === 401) void reply.header('www-authenticate', 'Bearer');
  return reply.code(details.status).type('application/problem+json').send(JSON.stringify(details));
}

/** The Fastify application with our schemas' types. */
export type App = ReturnType<typeof createApp>;

/** `onError` hears what is our own fault, by code alone. */
export function createApp(onError: (code: string) => void) {
  const app = fastify({
    bodyLimit: maxBodyBytes,
    routerOptions: { maxParamLength: 4_096 },
    // By default a number would pass for a string, and unknown members would vanish silently.
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false, useDefaults: false, allErrors: false } },
    forceCloseConnections: false,
    exposeHeadRoutes: false,
  }).withTypeProvider<TypeBoxTypeProvider>();

  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body, done) => {
    const parsed = parseStrictJson(body as Buffer);
    if (parsed.kind === 'parsed') done(null, parsed.value);
    else done(new BodyRefused('the body is not one JSON object, in UTF-8, without a member named twice'));
  });
  app.addHook('onRequest', async (_request, reply) => {
    void reply.header('cache-control', 'no-store').header('x-content-type-options', 'nosniff');
    void reply.header('content-security-policy', "default-src 'none'; frame-ancestors 'none'");
  });
  app.setNotFoundHandler((_request, reply) => problem(reply, 'not-found'));
  app.setErrorHandler((error: FastifyError, _request, reply) => {
    if (error instanceof StoreError) {
      onError(error.code);
      return problem(reply, 'storage-unavailable');
    }
    if (error instanceof BodyRefused) return problem(reply, 'request-refused', { detail: error.message });
    if (error.code === 'FST_ERR_CTP_BODY_TOO_LARGE') return problem(reply, 'body-too-large');
    if (error.code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') return problem(reply, 'media-type-refused');
    const [fault] = error.validation ?? [];
    if (fault !== undefined) {
      // Where and what, never the value itself.
      const detail = `${error.validationContext ?? 'body'}${fault.instancePath}: ${fault.message ?? 'refused'}`;
      return problem(reply, 'request-refused', { detail });
    }
    const status = error.statusCode ?? 500;
    if (status >= 400 && status < 500) return problem(reply, 'request-refused');
    onError(error.code ?? error.name);
    return problem(reply, 'internal-error');
  });
  return app;
}
