// What providers push: one security event token for each request, answered as RFC 8935 says. Knows nothing of what it does.
// Source: docs/protocol/10 section 10.5; RFC 8935 sections 2.2 to 2.4.
import {
  maxSecurityEventBytes,
  type SecurityEventErrorCode,
  securityEventErrors,
} from '@drawbridge/identity/security-event';
import type { FastifyReply } from 'fastify';
import { Type } from 'typebox';
import type { EventReceipt } from '../events/inbound-events.ts';
import { type App, problem, problemResponses, storageRetrySeconds } from './app.ts';
import type { PublicHttpDeps } from './public-deps.ts';

const mediaType = 'application/secevent+jwt';
const whatToSend = `Send ${mediaType}, of at most 8,192 bytes.`;
/** One answer to them all: who is registered here, and with which keys, is nothing for strangers. The log says which it was. */
const unproven: ReadonlySet<string> = new Set<SecurityEventErrorCode>([
  'issuer-unknown',
  'key-unknown',
  'algorithm-key-mismatch',
  'signature-refused',
]);
const whoSigned = 'iss is not a provider that is registered here, or no key of its key set has signed this.';
/** A key set may be back by then. */
const keysRetrySeconds = 30;

const EventRefused = Type.Object(
  { err: Type.String(), description: Type.String() },
  { additionalProperties: false, description: 'RFC 8935 section 2.3' },
);

function refuse(reply: FastifyReply, err: string, description: string): FastifyReply {
  return reply.code(400).header('content-language', 'en').type('application/json').send({ err, description });
}

export function addEventRoutes(app: App, { control, log }: PublicHttpDeps): void {
  app.addContentTypeParser(mediaType, { parseAs: 'string', bodyLimit: maxSecurityEventBytes }, (_request, body, done) =>
    done(null, body),
  );
  app.post(
    '/v1/events',
    {
      schema: {
        summary: 'Tell of an event, as a provider: an account, an identifier, credentials or keys',
        description: `The body is a security event token (RFC 8417), \`${mediaType}\`, signed with a key of the provider.`,
        tags: ['providers'],
        response: {
          202: { description: 'In force, or known before, or overtaken', type: 'null' },
          400: EventRefused,
          ...problemResponses,
        },
      },
      errorHandler: (error, _request, reply) => {
        const { statusCode = 500 } = error;
        if (statusCode < 400 || statusCode >= 500) throw error;
        refuse(reply, 'invalid_request', whatToSend);
      },
    },
    async (request, reply) => {
      if (typeof request.body !== 'string') return refuse(reply, 'invalid_request', whatToSend);
      const receipt = await control.inboundEvents.receive(request.body);
      note(log, receipt);
      return answer(reply, receipt);
    },
  );
}

function note(log: PublicHttpDeps['log'], receipt: EventReceipt): void {
  if (receipt.kind === 'accepted') {
    const { provider, event, outcome } = receipt;
    log('info', 'event-taken', { provider, code: `${event} ${outcome}` });
  } else log('info', 'event-refused', { code: receipt.kind === 'refused' ? receipt.code : receipt.kind });
}

function answer(reply: FastifyReply, receipt: EventReceipt): FastifyReply {
  switch (receipt.kind) {
    case 'accepted':
      return reply.code(202).send();
    case 'budget-spent':
      return problem(reply, 'budget-spent', { retryAfterSeconds: receipt.retryAfterSeconds });
    case 'not-fetched':
      return problem(reply, 'statement-not-judged', { retryAfterSeconds: keysRetrySeconds });
    case 'refused':
      break;
  }
  if (receipt.code === 'provider-suspended') {
    return refuse(reply, 'access_denied', 'This provider is suspended: send it again when it is not.');
  }
  if (receipt.code === 'identifier-taken') {
    return refuse(reply, 'invalid_request', 'Another person of this provider is enlisted under the new identifier.');
  }
  if (unproven.has(receipt.code)) return refuse(reply, 'authentication_failed', whoSigned);
  const { err, retry, text } = securityEventErrors[receipt.code];
  if (retry) return problem(reply, 'statement-not-judged', { retryAfterSeconds: storageRetrySeconds });
  return refuse(reply, err, text);
}
