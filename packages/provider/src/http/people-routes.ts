// What the provider's own apps ask for: registration, sessions, ownership proofs. Holds no state.
// Knows nothing of sockets or gatekeepers. Source: docs/protocol/03 (Provider HTTP).

import { isUserIdentifier } from '@drawbridge/identity/ownership-proof';
import { Type } from 'typebox';
import { beginSessionOf } from '../directory/begin-session.ts';
import { isPassword, passwordLimits } from '../directory/password-hash.ts';
import { type App, bodyProblems, httpLimits, problem, problemResponses } from './app.ts';
import { type RouteContext, sessionOf } from './route-context.ts';

const closed = { additionalProperties: false };
const Credentials = Type.Object(
  {
    identifier: Type.String({ minLength: 1, maxLength: 128 }),
    password: Type.String({ minLength: 1, maxLength: passwordLimits.maxBytes }),
  },
  closed,
);
const Registered = Type.Object({ identifier: Type.String() }, closed);
const SessionBegun = Type.Object(
  {
    session: Type.String({ description: 'bearer token' }),
    media: Type.Optional(Type.String({ description: 'where uploads are created' })),
  },
  closed,
);
const ProofRequest = Type.Object(
  {
    audience: Type.String({ minLength: 1, maxLength: 2048, description: "the gatekeeper's issuer" }),
    jkt: Type.String({ pattern: '^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$', description: "the device key's thumbprint" }),
    transport: Type.Union([Type.Literal('xmpp'), Type.Literal('compact'), Type.Literal('http')]),
  },
  closed,
);
const IssuedProof = Type.Object(
  { proof: Type.String({ description: 'JWT' }), expiresAt: Type.String({ format: 'date-time' }) },
  closed,
);
const Nothing = { description: 'Done', type: 'null' };
const security = [{ session: [] }];

export function addPeopleRoutes(app: App, context: RouteContext): void {
  addRegistration(app, context);
  addSessions(app, context);
  addProofs(app, context);
}

function addRegistration(app: App, context: RouteContext): void {
  const { directory, budgets } = context;
  const schema = {
    ...{ tags: ['people'], summary: 'Register, where anybody may', body: Credentials },
    response: {
      201: Registered,
      ...problemResponses(
        ...bodyProblems,
        ...(['identifier-refused', 'password-refused', 'identifier-taken', 'registration-closed'] as const),
        'too-many-attempts',
      ),
    },
  };
  app.post(`${context.pathPrefix}/v1/users`, { schema }, async (request, reply) => {
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
}

function addSessions(app: App, context: RouteContext): void {
  const { directory, sessions } = context;
  const begin = {
    ...{ tags: ['people'], summary: 'Begin a session', body: Credentials },
    response: { 201: SessionBegun, ...problemResponses(...bodyProblems, 'credentials-refused', 'too-many-attempts') },
  };
  app.post(`${context.pathPrefix}/v1/sessions`, { schema: begin }, async (request, reply) => {
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
    const session = await beginSessionOf(sessions, directory, identifier);
    if (session === undefined) return problem(reply, 'credentials-refused');
    return reply.code(201).send({
      session,
      ...(context.mediaUrl === undefined ? {} : { media: context.mediaUrl }),
    });
  });
  const end = {
    ...{ tags: ['people'], summary: 'End the session', security },
    response: { 204: Nothing, ...problemResponses('not-authorized', 'busy') },
  };
  app.delete(`${context.pathPrefix}/v1/sessions`, { schema: end }, async (request, reply) => {
    const session = sessionOf(context, request);
    if (session === undefined) return problem(reply, 'not-authorized');
    await sessions.end(session.token);
    return reply.code(204).send();
  });
}

function addProofs(app: App, context: RouteContext): void {
  const schema = {
    ...{ tags: ['people'], summary: 'Get an ownership proof for a device', security, body: ProofRequest },
    response: {
      200: IssuedProof,
      ...problemResponses(
        ...bodyProblems,
        'identifier-refused',
        'audience-refused',
        'not-authorized',
        'too-many-attempts',
      ),
    },
  };
  app.post(`${context.pathPrefix}/v1/ownership-proofs`, { schema }, async (request, reply) => {
    const session = sessionOf(context, request);
    if (session === undefined) return problem(reply, 'not-authorized');
    const waitSeconds = context.budgets.proofs.take(session.identifier);
    if (waitSeconds > 0) return problem(reply, 'too-many-attempts', waitSeconds);
    const issue = await context.issueProof(session.identifier, request.body);
    if (issue.kind === 'issued') {
      return await reply.send({ proof: issue.proof, expiresAt: new Date(issue.expiresAtMs).toISOString() });
    }
    context.log('proof-not-issued', issue.code);
    // A person who was removed while a session was open: the session is worth nothing.
    if (issue.code === 'identifier-unknown') return problem(reply, 'not-authorized');
    return problem(reply, issue.code === 'key-binding-refused' ? 'request-refused' : issue.code);
  });
}
