// What all routes of the provider share: strict bodies, problem details, safe headers, the OpenAPI document.
// Knows nothing of single routes. Source: RFC 9457 (problem details), RFC 6750 (bearer).

import { problemDetails } from '@drawbridge/identity/problem-details';
import swagger from '@fastify/swagger';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import { fastify, type FastifyError, type FastifyReply } from 'fastify';
import { Type } from 'typebox';
import { mediaPaths } from '../media-origin/media-openapi.ts';
import { DatabaseWriteError } from '../storage/database-writer.ts';
import { type ProblemCode, problems } from './problems.ts';
import type { RouteContext } from './route-context.ts';

export const httpLimits = { maxBodyBytes: 16_384, maxEventBytes: 8_192, jwksMaxAgeSeconds: 300, retrySeconds: 5 };

export const ProblemSchema = Type.Object(
  {
    type: Type.String(),
    code: Type.String(),
    status: Type.Integer(),
    title: Type.String(),
    detail: Type.String(),
    retryAfterSeconds: Type.Optional(Type.Integer({ minimum: 1 })),
  },
  { additionalProperties: false, description: 'RFC 9457 problem details; `code` is from a closed list' },
);

/** For route schemas: the errors of a route by status, named by their codes. */
export function problemResponses(...codes: readonly ProblemCode[]): Record<number, object> {
  const byStatus = Map.groupBy(codes, code => problems[code].status);
  return Object.fromEntries(
    [...byStatus].map(([status, of]) => [
      status,
      { description: of.join(', '), content: { 'application/problem+json': { schema: ProblemSchema } } },
    ]),
  );
}

/** Every route that reads a body may answer with these. */
export const bodyProblems: readonly ProblemCode[] = ['request-refused', 'body-too-large', 'media-type-refused', 'busy'];

export async function createApp(context: RouteContext) {
  const app = fastify({
    bodyLimit: httpLimits.maxBodyBytes,
    // By default a number would pass for a string and unknown members would vanish silently.
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false, useDefaults: false } },
    forceCloseConnections: false,
  }).withTypeProvider<TypeBoxTypeProvider>();

  app.removeContentTypeParser('text/plain');
  app.addContentTypeParser(
    'application/secevent+jwt',
    { parseAs: 'string', bodyLimit: httpLimits.maxEventBytes },
    (_request, body, done) => done(null, body),
  );
  app.addHook('onRequest', async (_request, reply) => {
    void reply.header('cache-control', 'no-store').header('x-content-type-options', 'nosniff');
  });
  app.setNotFoundHandler((_request, reply) => problem(reply, 'not-found'));
  app.setErrorHandler((error: FastifyError, request, reply) => {
    if (error instanceof DatabaseWriteError) {
      context.log('request-failed', error.code);
      return problem(reply, 'busy', httpLimits.retrySeconds);
    }
    const code = codeOf(error);
    if (code === 'internal-error') context.log('request-failed', error.code ?? error.name);
    if (/\/v1\/(?:wake-ups|events)$/.test(request.routeOptions.url ?? '') && code !== 'internal-error') {
      return reply.code(400).send({ err: 'invalid_request', description: problems[code].title });
    }
    return problem(reply, code);
  });
  await app.register(swagger, openApiOptions(context));
  return app;
}

export type App = Awaited<ReturnType<typeof createApp>>;

function openApiOptions({ issuer, pathPrefix, mediaUrl }: RouteContext): object {
  const paths = mediaUrl === undefined ? {} : mediaPaths(mediaUrl, issuer);
  return {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Drawbridge provider',
        version: '1',
        description: "The provider kit's HTTP. The specification is docs/protocol/03, of files docs/protocol/11.",
      },
      servers: [{ url: issuer }],
      components: { securitySchemes: { session: { type: 'http', scheme: 'bearer', description: 'session token' } } },
    },
    stripBasePath: false,
    // The document is about the issuer's URL, whatever path a proxy makes of it.
    transform: ({ schema, url }: { schema: object; url: string }) => ({ schema, url: url.slice(pathPrefix.length) }),
    transformObject: ({ openapiObject }: { openapiObject: { paths: object } }) => ({
      ...openapiObject,
      paths: { ...openapiObject.paths, ...paths },
    }),
  };
}

export function problem(reply: FastifyReply, code: ProblemCode, retryAfterSeconds?: number): FastifyReply {
  if (retryAfterSeconds !== undefined) void reply.header('retry-after', String(retryAfterSeconds));
  if (code === 'not-authorized') void reply.header('www-authenticate', 'Bearer');
  return reply
    .code(problems[code].status)
    .type('application/problem+json')
    .send(JSON.stringify(problemDetails(problems, code, { retryAfterSeconds })));
}

/** What Fastify found wrong, as one of ours; everything unknown is our own fault. */
function codeOf(error: FastifyError): ProblemCode {
  if (error.code === 'FST_ERR_CTP_BODY_TOO_LARGE') return 'body-too-large';
  if (error.code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') return 'media-type-refused';
  const status = error.statusCode ?? 500;
  return status >= 400 && status < 500 ? 'request-refused' : 'internal-error';
}
