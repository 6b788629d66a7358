// The provider's HTTP surface: parses requests once, asks the rooms behind it, answers. Holds no state of its own.
// Knows nothing of sockets and TLS; it can be mounted in another server.
// Source: docs/protocol/03 (Provider HTTP), RFC 9457 (problem details), RFC 6750 (bearer), RFC 8935 (event delivery).

import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { PublicSigningJwk } from '@drawbridge/identity/jwk';
import { isUserIdentifier } from '@drawbridge/identity/ownership-proof';
import { fastify, type FastifyError, type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import type { AttemptBudget } from './attempt-budget.ts';
import type { LoginAttempts } from './login-attempts.ts';
import { isPassword, passwordLimits } from '../directory/password-hash.ts';
import { type ProblemCode, problemDetails, problems } from './problems.ts';
import type { ProofIssue, WantedProof } from '../issuer/proofs.ts';
import type { Sessions } from '../storage/provider-database.ts';
import type { UserDirectory } from '../directory/user-directory.ts';
import type { WakeUpReceipt } from '../wake-ups/receiver.ts';
import type { WakeUpStreams } from '../wake-ups/streams.ts';

export const httpLimits = { maxBodyBytes: 16_384, maxEventBytes: 8_192, jwksMaxAgeSeconds: 300, retrySeconds: 5 };

export type RouteContext = {
  readonly issuer: string;
  readonly pathPrefix: string;
  readonly directory: UserDirectory;
  readonly registrationOpen: boolean;
  /** Where people create uploads; undefined: nowhere. */
  readonly mediaUrl: string | undefined;
  readonly sessions: Sessions;
  readonly streams: WakeUpStreams;
  readonly budgets: { readonly addresses: AttemptBudget; readonly proofs: AttemptBudget };
  readonly attempts: LoginAttempts;
  readonly clientAddress: (request: FastifyRequest['raw']) => string;
  readonly keySet: () => { readonly keys: readonly PublicSigningJwk[] };
  readonly issueProof: (identifier: string, wanted: WantedProof) => Promise<ProofIssue>;
  readonly receiveWakeUp: (token: string) => Promise<WakeUpReceipt>;
  readonly log: (event: string, code: string) => void;
};

const closed = { additionalProperties: false };
const Credentials = Type.Object(
  {
    identifier: Type.String({ minLength: 1, maxLength: 128 }),
    password: Type.String({ minLength: 1, maxLength: passwordLimits.maxBytes }),
  },
  closed,
);
const ProofRequest = Type.Object(
  {
    audience: Type.String({ minLength: 1, maxLength: 2048 }),
    jkt: Type.String({ pattern: '^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$' }),
    transport: Type.Union([Type.Literal('xmpp'), Type.Literal('compact'), Type.Literal('http')]),
  },
  closed,
);

/** Builds the application; `routing(request, response)` serves one request of node:http. */
export async function createRoutes(context: RouteContext): Promise<FastifyInstance> {
  const { sessions, directory, budgets } = context;
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
    const code = codeOf(error);
    if (code === 'internal-error') context.log('request-failed', error.code ?? error.name);
    if (request.routeOptions.url?.endsWith('/v1/wake-ups') === true && code !== 'internal-error') {
      return reply.code(400).send({ err: 'invalid_request', description: problems[code].title });
    }
    return problem(reply, code);
  });

  function sessionOf(request: FastifyRequest): { token: string; identifier: string } | undefined {
    const token = /^Bearer ([A-Za-z0-9_-]{43})$/i.exec(request.headers.authorization ?? '')?.[1];
    const identifier = token === undefined ? undefined : sessions.find(token);
    return token === undefined || identifier === undefined ? undefined : { token, identifier };
  }

  await app.register(
    async scope => {
      const routes = scope.withTypeProvider<TypeBoxTypeProvider>();

      routes.get('/.well-known/openid-configuration', (_request, reply) =>
        published(reply).send({
          issuer: context.issuer,
          jwks_uri: `${context.issuer}/jwks.json`,
          response_types_supported: ['none'],
          subject_types_supported: ['public'],
          id_token_signing_alg_values_supported: ['ES256', 'EdDSA'],
        }),
      );

      routes.get('/jwks.json', (_request, reply) => published(reply).send(context.keySet()));

      routes.post('/v1/users', { schema: { body: Credentials } }, async (request, reply) => {
        if (!context.registrationOpen || directory.register === undefined) return problem(reply, 'registration-closed');
        const { identifier, password } = request.body;
        if (!isUserIdentifier(identifier)) return problem(reply, 'identifier-refused');
        if (!isPassword(password)) return problem(reply, 'password-refused');
        const waitSeconds = budgets.addresses.take(context.clientAddress(request.raw));
        if (waitSeconds > 0) return problem(reply, 'too-many-attempts', waitSeconds);
        const registration = await directory.register(identifier, password);
        if (registration.kind === 'busy') return problem(reply, 'busy', httpLimits.retrySeconds);
        if (registration.kind === 'refused') return problem(reply, registration.code);
        return reply.code(201).send({ identifier });
      });

      routes.post('/v1/sessions', { schema: { body: Credentials } }, async (request, reply) => {
        const { identifier, password } = request.body;
        const address = context.clientAddress(request.raw);
        const admission = await context.attempts.admit(address, identifier);
        if (admission.kind === 'refused') return problem(reply, 'too-many-attempts', admission.waitSeconds);
        if (admission.kind === 'busy') return problem(reply, 'busy', httpLimits.retrySeconds);
        const authentication = await directory.authenticate(identifier, password);
        if (authentication.kind === 'busy') return problem(reply, 'busy', httpLimits.retrySeconds);
        if (authentication.kind === 'refused') {
          context.log('session-refused', 'credentials-refused');
          return problem(reply, 'credentials-refused');
        }
        context.attempts.succeeded(address, identifier);
        return reply.code(201).send({
          session: sessions.begin(identifier),
          ...(context.mediaUrl === undefined ? {} : { media: context.mediaUrl }),
        });
      });

      routes.delete('/v1/sessions', async (request, reply) => {
        const session = sessionOf(request);
        if (session === undefined) return problem(reply, 'not-authorized');
        sessions.end(session.token);
        return reply.code(204).send();
      });

      routes.post('/v1/ownership-proofs', { schema: { body: ProofRequest } }, async (request, reply) => {
        const session = sessionOf(request);
        if (session === undefined) return problem(reply, 'not-authorized');
        const waitSeconds = budgets.proofs.take(session.identifier);
        if (waitSeconds > 0) return problem(reply, 'too-many-attempts', waitSeconds);
        const issue = await context.issueProof(session.identifier, request.body);
        if (issue.kind === 'issued') {
          return { proof: issue.proof, expiresAt: new Date(issue.expiresAtMs).toISOString() };
        }
        context.log('proof-not-issued', issue.code);
        // A person who was removed while a session was open: the session is worth nothing.
        if (issue.code === 'identifier-unknown') return problem(reply, 'not-authorized');
        return problem(reply, issue.code === 'key-binding-refused' ? 'request-refused' : issue.code);
      });

      routes.post('/v1/wake-ups', async (request, reply) => {
        if (typeof request.body !== 'string') {
          return reply.code(400).send({ err: 'invalid_request', description: 'Send application/secevent+jwt.' });
        }
        const receipt = await context.receiveWakeUp(request.body);
        if (receipt.kind === 'accepted') return reply.code(202).send();
        if (receipt.retry) {
          return reply.code(503).header('retry-after', String(httpLimits.retrySeconds)).send();
        }
        return reply.code(400).send({ err: receipt.err, description: receipt.description });
      });

      routes.get('/v1/wake-ups/stream', async (request, reply) => {
        const session = sessionOf(request);
        if (session === undefined || !(await directory.exists(session.identifier))) {
          return problem(reply, 'not-authorized');
        }
        reply.hijack();
        if (context.streams.open(session.identifier, reply.raw)) return reply;
        const { status } = problems['too-many-streams'];
        reply.raw.writeHead(status, { 'content-type': 'application/problem+json' });
        reply.raw.end(JSON.stringify(problemDetails('too-many-streams')));
        return reply;
      });
    },
    { prefix: context.pathPrefix },
  );
  await app.ready();
  return app;
}

function problem(reply: FastifyReply, code: ProblemCode, retryAfterSeconds?: number): FastifyReply {
  if (retryAfterSeconds !== undefined) void reply.header('retry-after', String(retryAfterSeconds));
  if (code === 'not-authorized') void reply.header('www-authenticate', 'Bearer');
  return reply
    .code(problems[code].status)
    .type('application/problem+json')
    .send(JSON.stringify(problemDetails(code, retryAfterSeconds)));
}

function published(reply: FastifyReply): FastifyReply {
  return reply.header('cache-control', `public, max-age=${httpLimits.jwksMaxAgeSeconds}`);
}

/** What Fastify found wrong, as one of ours; everything unknown is our own fault. */
function codeOf(error: FastifyError): ProblemCode {
  if (error.code === 'FST_ERR_CTP_BODY_TOO_LARGE') return 'body-too-large';
  if (error.code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') return 'media-type-refused';
  const status = error.statusCode ?? 500;
  return status >= 400 && status < 500 ? 'request-refused' : 'internal-error';
}
