// What anybody may ask: what this gatekeeper offers, its keys, where the WebSocket is, and the OpenAPI document.
// Knows nothing of people.
// Source: docs/protocol/03, docs/protocol/08; XEP-0156.
import type { FastifyReply } from 'fastify';
import { Type } from 'typebox';
import { type App, problem, problemResponses } from './app.ts';
import { HostMetaLinks, KeySet, Offer } from './discovery-schemas.ts';
import { encodeHostMeta, hostMetaLinks } from './host-meta.ts';
import type { PublicHttpDeps } from './public-deps.ts';
import { createOfferDocuments, offerSchema } from './offer-documents.ts';
import { pageCsp } from './offer-page.ts';
import { referenceOffer } from './reference-offer.ts';

export function addDiscoveryRoutes(app: App, deps: PublicHttpDeps): void {
  const { control } = deps;
  app.get(
    '/.well-known/interop-gatekeeper',
    {
      schema: {
        summary: 'What this gatekeeper offers',
        tags: ['discovery'],
        response: { 200: Offer, ...problemResponses },
      },
    },
    async (_request, reply) => reply.header('cache-control', 'public, max-age=300').send(await referenceOffer(deps)),
  );

  const documents = createOfferDocuments(deps);
  // For people, machines that check the form, and whoever wants to keep it: made from the same offer.
  app.get('/reference-offer', { schema: { hide: true } }, async (_request, reply) =>
    reply
      .header('cache-control', 'public, max-age=300')
      .header('content-security-policy', pageCsp)
      .type('text/html; charset=utf-8')
      .send(await documents.page()),
  );
  app.get('/schema/interop-gatekeeper.json', { schema: { hide: true } }, async (_request, reply) =>
    forAllPages(reply).type('application/schema+json; charset=utf-8').send(JSON.stringify(offerSchema)),
  );
  app.get('/.well-known/interop-gatekeeper.jws', { schema: { hide: true } }, async (_request, reply) => {
    const signed = await documents.signed();
    if (signed === undefined) return problem(reply, 'not-found');
    return forAllPages(reply).type('application/jose').send(signed);
  });
  app.get(
    '/.well-known/jwks.json',
    {
      schema: {
        summary: 'Keys of security event tokens',
        tags: ['discovery'],
        response: { 200: KeySet, ...problemResponses },
      },
    },
    async (_request, reply) =>
      reply.header('cache-control', 'public, max-age=300').send({ keys: [...control.signingKeys.published] }),
  );

  const summary = 'Where XMPP clients find the WebSocket';
  const xrd = { description: 'XRD', content: { 'application/xrd+xml': { schema: Type.String() } } };
  app.get(
    '/.well-known/host-meta',
    { schema: { summary, tags: ['discovery'], response: { 200: xrd, ...problemResponses } } },
    async (_request, reply) =>
      forAllPages(reply).type('application/xrd+xml; charset=utf-8').send(encodeHostMeta(deps.endpoints().websocket)),
  );
  app.get(
    '/.well-known/host-meta.json',
    { schema: { summary, tags: ['discovery'], response: { 200: HostMetaLinks, ...problemResponses } } },
    async (_request, reply) => forAllPages(reply).send(hostMetaLinks(deps.endpoints().websocket)),
  );

  // Made once: strangers may ask for it as often as they like.
  let openapi: string | undefined;
  app.get('/openapi.json', { schema: { hide: true } }, (_request, reply) => {
    openapi ??= JSON.stringify(app.swagger());
    return reply.header('cache-control', 'public, max-age=300').type('application/json; charset=utf-8').send(openapi);
  });
}

/** Pages of any origin may look (XEP-0156 section 3). */
function forAllPages<R extends FastifyReply>(reply: R): R {
  void reply.header('cache-control', 'public, max-age=300').header('access-control-allow-origin', '*');
  return reply;
}
