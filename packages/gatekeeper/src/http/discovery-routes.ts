// What anybody may ask: what this gatekeeper offers, its keys, where the WebSocket is, and the OpenAPI document.
// Knows nothing of people.
// Source: docs/protocol/03, docs/protocol/08; XEP-0156.
import { maxProofLifetimeSeconds } from '@drawbridge/identity/ownership-proof';
import { compactCiphers } from '@drawbridge/stream/compact-login';
import { maxCiphertextBytes, maxEnvelopeBytes } from '@drawbridge/wire/limits';
import type { FastifyReply } from 'fastify';
import { type Static, Type } from 'typebox';
import { type App, maxBodyBytes, problemResponses } from './app.ts';
import { HostMetaLinks, KeySet, Offer } from './discovery-schemas.ts';
import { encodeHostMeta, hostMetaLinks } from './host-meta.ts';
import type { PublicHttpDeps } from './public-deps.ts';

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
    async (_request, reply) => reply.header('cache-control', 'public, max-age=300').send(referenceOffer(deps)),
  );

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

function compactKeysOffered({ compactKeys }: PublicHttpDeps): Pick<Static<typeof Offer>, 'compactKeys'> {
  if (compactKeys === undefined) return {};
  const { signingJwk, succession } = compactKeys();
  const statements = succession.map(each => ({ ...each, signatures: [...each.signatures] }));
  return { compactKeys: { signingKey: signingJwk, succession: statements, ciphers: [...compactCiphers] } };
}

/** Asked at each request: configuration and listeners may change while it runs. */
function referenceOffer(deps: PublicHttpDeps): Static<typeof Offer> {
  const { config } = deps;
  const { registry } = deps.control;
  return {
    version: 1,
    issuer: config.issuer,
    domain: config.domain,
    // Clients of gatekeepers that know nothing of it must leave it out.
    possession: 1,
    identityRenewal: 1,
    endpoints: deps.endpoints(),
    ...compactKeysOffered(deps),
    suites: [...new Set(registry.list().flatMap(provider => [...provider.suites]))],
    limits: {
      httpBodyBytes: maxBodyBytes,
      ciphertextBytes: maxCiphertextBytes,
      envelopeBytes: maxEnvelopeBytes,
      devicesPerAccount: config.limits.devicesPerAccount,
      oneTimeKeysPerEnlistment: config.limits.oneTimeKeysPerEnlistment,
      oneTimeKeysPerCall: config.limits.oneTimeKeysPerCall,
      oneTimeKeysKept: config.limits.oneTimeKeysKept,
      mailboxEntries: config.limits.mailboxEntries,
      mailboxBytes: config.limits.mailboxBytes,
      mailboxDays: config.limits.mailboxDays,
      mediaFileBytes: config.limits.mediaFileBytes,
      mediaGrantSeconds: config.limits.mediaGrantSeconds,
      proofLifetimeSeconds: maxProofLifetimeSeconds,
    },
    jwksUri: `${config.issuer}/.well-known/jwks.json`,
    providers: registry
      .list()
      .filter(provider => provider.number !== 0 && provider.status === 'live')
      .map(({ number, name }) => ({ number, name })),
    ...(config.terms === undefined ? {} : { terms: config.terms }),
  };
}
