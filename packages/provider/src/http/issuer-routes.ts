// What a gatekeeper and a developer look for first: discovery, the key set, the OpenAPI document. Knows nothing of people.
// Source: docs/protocol/02 (Keys); OpenID Connect Discovery 1.0.

import type { FastifyReply } from 'fastify';
import { Type } from 'typebox';
import { type App, httpLimits } from './app.ts';
import type { RouteContext } from './route-context.ts';

const Discovery = Type.Object(
  {
    issuer: Type.String(),
    jwks_uri: Type.String(),
    response_types_supported: Type.Array(Type.String()),
    subject_types_supported: Type.Array(Type.String()),
    id_token_signing_alg_values_supported: Type.Array(Type.String()),
  },
  { additionalProperties: false },
);
/** RFC 7517; `y` is in keys of the curve P-256 alone. */
const PublicKey = Type.Object(
  {
    kty: Type.String(),
    crv: Type.String(),
    x: Type.String(),
    y: Type.Optional(Type.String()),
    kid: Type.String(),
    alg: Type.String(),
    use: Type.Optional(Type.String()),
  },
  { additionalProperties: false },
);
const KeySet = Type.Object({ keys: Type.Array(PublicKey) }, { additionalProperties: false });

export function addIssuerRoutes(app: App, { issuer, keySet, pathPrefix }: RouteContext): void {
  const tags = ['issuer'];
  const discovery = { tags, summary: 'Where the key set is', response: { 200: Discovery } };
  app.get(`${pathPrefix}/.well-known/openid-configuration`, { schema: discovery }, async (_request, reply) => {
    publish(reply);
    return {
      issuer,
      jwks_uri: `${issuer}/jwks.json`,
      response_types_supported: ['none'],
      subject_types_supported: ['public'],
      id_token_signing_alg_values_supported: ['ES256', 'EdDSA'],
    };
  });
  const keys = { tags, summary: 'Keys of ownership proofs', response: { 200: KeySet } };
  app.get(`${pathPrefix}/jwks.json`, { schema: keys }, async (_request, reply) => {
    publish(reply);
    return { keys: [...keySet().keys] };
  });
  app.get(`${pathPrefix}/openapi.json`, { schema: { hide: true } }, async (_request, reply) => {
    publish(reply);
    return app.swagger();
  });
}

function publish(reply: FastifyReply): void {
  void reply.header('cache-control', `public, max-age=${httpLimits.jwksMaxAgeSeconds}`);
}
