// Where gatekeepers push security event tokens: wake-ups, and everything that they tell. Holds no state; knows nothing of tokens.
// Source: docs/protocol/03 (Wake-up), 10 section 10.5; RFC 8935 sections 2.1 to 2.4.

import type { FastifyReply, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import type { EventReceipt } from '../events/event-receiver.ts';
import { type App, httpLimits, problem, problemResponses } from './app.ts';
import type { RouteContext } from './route-context.ts';

/** RFC 8935 section 2.3. */
const EventRefused = Type.Object({ err: Type.String(), description: Type.String() }, { additionalProperties: false });

const description = 'The body is a security event token, `application/secevent+jwt`.';
const responses = {
  202: { description: 'Kept, or kept before', type: 'null' },
  400: EventRefused,
  503: { description: "The gatekeeper's keys or room are not at hand: come again", type: 'null' },
};

export function addEventRoutes(app: App, { pathPrefix, receiveWakeUp, receiveEvent }: RouteContext): void {
  const wakeUp = {
    tags: ['wake-ups'],
    summary: 'A gatekeeper asks to wake a person',
    description,
    response: responses,
  };
  app.post(`${pathPrefix}/v1/wake-ups`, { schema: wakeUp }, async (request, reply) => {
    return await receive(request, reply, receiveWakeUp);
  });

  const event = {
    tags: ['events'],
    summary: 'A gatekeeper tells what happened to the provider, or to one of its people',
    description: `${description} Wake-ups are taken here too.`,
    response: {
      ...responses,
      202: { description: 'Handled, or handled before', type: 'null' },
      // The provider could not handle it: come again.
      ...problemResponses('internal-error'),
    },
  };
  app.post(`${pathPrefix}/v1/events`, { schema: event }, async (request, reply) => {
    return await receive(request, reply, receiveEvent);
  });
}

async function receive(
  { body }: FastifyRequest,
  reply: FastifyReply,
  take: (token: string) => Promise<EventReceipt>,
): Promise<FastifyReply> {
  if (typeof body !== 'string') {
    return await reply.code(400).send({ err: 'invalid_request', description: 'Send application/secevent+jwt.' });
  }
  const receipt = await take(body);
  if (receipt.kind === 'accepted') return await reply.code(202).send();
  if (receipt.kind === 'failed') return problem(reply, 'internal-error');
  const { err, description: text, retry } = receipt;
  if (retry) return await reply.code(503).header('retry-after', String(httpLimits.retrySeconds)).send();
  return await reply.code(400).send({ err, description: text });
}
