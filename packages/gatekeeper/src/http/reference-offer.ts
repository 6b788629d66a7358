// What this gatekeeper offers, from the configuration in force and what is listening: asked at each request, so that it can't
// say otherwise than what the server does. Knows nothing of forms: JSON, page and signature are made from this.
// Source: docs/protocol/03; Regulation (EU) 2022/1925, Article 7(4).
import { maxProofLifetimeSeconds } from '@drawbridge/identity/ownership-proof';
import { compactCiphers } from '@drawbridge/stream/compact-login';
import { maxCiphertextBytes, maxEnvelopeBytes } from '@drawbridge/wire/limits';
import type { Static } from 'typebox';
import type { Config } from '../config-schema.ts';
import { maxBodyBytes } from './app.ts';
import type { Offer } from './discovery-schemas.ts';
import type { Endpoints, PublicHttpDeps } from './public-deps.ts';

export type ReferenceOffer = Static<typeof Offer>;

/** What a client may ask for here. A function that is not in the offer is not spoken: gatekeepers of 0.1.0 list none. */
const functions: readonly string[] = [
  'text',
  'images',
  'voice-messages',
  'videos',
  'files',
  'several-devices',
  'device-manifests',
  'identity-renewal',
  'possession',
  'media-proxy',
  'reports',
  'provider-applications',
];

export async function referenceOffer(deps: PublicHttpDeps): Promise<ReferenceOffer> {
  const { config, control } = deps;
  const { registry, lifecycle } = control;
  const { issuer, applications, contact } = config;
  const endpoints = deps.endpoints();
  const { version, digest } = await lifecycle.agreement();
  return {
    version: 1,
    issuer,
    domain: config.domain,
    // Clients of gatekeepers that know nothing of it must leave it out.
    possession: 1,
    identityRenewal: 1,
    stampEpochs: control.stamps.epochCommitments(deps.nowMs()),
    endpoints,
    ...compactKeysOffered(deps),
    suites: [...new Set(registry.list().flatMap(provider => [...provider.suites]))],
    limits: limitsOffered(config),
    functions: [...functions],
    transports: transportsOf(endpoints),
    security: {
      tlsMinimum: '1.2',
      endToEndEncryption: 'required',
      proofAlgorithms: ['ES256', 'EdDSA'],
      clientAddresses: 'not-kept',
      regionCheck: 'declared-by-provider',
    },
    rates: ratesOffered(config),
    kept: keptOffered(config),
    applications: {
      open: applications.open,
      statements: `${issuer}/v1/provider-statements`,
      sandboxEnlistments: applications.sandboxEnlistments,
      liveEnlistments: applications.liveEnlistments,
      regions: applications.regions,
    },
    agreement: { version, digest, url: `${issuer}/v1/agreement` },
    ...(contact === undefined ? {} : { contact }),
    documents: {
      page: `${issuer}/reference-offer`,
      schema: `${issuer}/schema/interop-gatekeeper.json`,
      ...(deps.compactKeys === undefined ? {} : { signed: `${issuer}/.well-known/interop-gatekeeper.jws` }),
      openapi: `${issuer}/openapi.json`,
    },
    relays: {
      accepted: true,
      named: config.relays.flatMap(({ endpoint }) => (endpoint === undefined ? [] : [endpoint])),
    },
    jwksUri: `${issuer}/.well-known/jwks.json`,
    providers: registry
      .list()
      .filter(provider => provider.number !== 0 && provider.status === 'live')
      .map(({ number, name }) => ({ number, name })),
    ...(config.terms === undefined ? {} : { terms: config.terms }),
  };
}

function limitsOffered({ limits }: Config): ReferenceOffer['limits'] {
  return {
    httpBodyBytes: maxBodyBytes,
    ciphertextBytes: maxCiphertextBytes,
    envelopeBytes: maxEnvelopeBytes,
    devicesPerAccount: limits.devicesPerAccount,
    oneTimeKeysPerEnlistment: limits.oneTimeKeysPerEnlistment,
    oneTimeKeysPerCall: limits.oneTimeKeysPerCall,
    oneTimeKeysKept: limits.oneTimeKeysKept,
    mailboxEntries: limits.mailboxEntries,
    mailboxBytes: limits.mailboxBytes,
    mailboxDays: limits.mailboxDays,
    mediaFileBytes: limits.mediaFileBytes,
    mediaGrantSeconds: limits.mediaGrantSeconds,
    proofLifetimeSeconds: maxProofLifetimeSeconds,
  };
}

function compactKeysOffered({ compactKeys }: PublicHttpDeps): Pick<ReferenceOffer, 'compactKeys'> {
  if (compactKeys === undefined) return {};
  const { signingJwk, succession } = compactKeys();
  const statements = succession.map(each => ({ ...each, signatures: [...each.signatures] }));
  return { compactKeys: { signingKey: signingJwk, succession: statements, ciphers: [...compactCiphers] } };
}

function transportsOf(endpoints: Endpoints): string[] {
  const names = { compact: 'compact', compactWebsocket: 'compact-websocket', websocket: 'websocket' } as const;
  const tcp = { xmpps: 'direct-tls', xmpp: 'starttls' } as const;
  return Object.entries({ ...names, ...tcp }).flatMap(([key, name]) =>
    endpoints[key as keyof Endpoints] === undefined ? [] : [name],
  );
}

/** None where budgets are off, which development alone allows. */
function ratesOffered({ budgets }: Config): ReferenceOffer['rates'] {
  const rates = Object.entries(budgets).flatMap(([name, rate]) =>
    typeof rate === 'object' ? [[name, rate] as const] : [],
  );
  return budgets.unlimited ? {} : Object.fromEntries(rates);
}

function keptOffered({ limits, applications }: Config): ReferenceOffer['kept'] {
  return [
    {
      what: 'messages that wait, in ciphertext, with sender and time',
      howLong: `until taken, ${limits.mailboxDays} days at most`,
    },
    {
      what: 'a person: identifier at the provider, devices, public keys, who may reach them',
      howLong: 'until withdrawn',
    },
    {
      what: 'ids of used ownership proofs, as hashes',
      howLong: 'until the proof has expired, and a quarter of an hour',
    },
    {
      what: 'applications of providers',
      howLong: `refused after ${applications.waitingDays} days without a decision; then kept`,
    },
    {
      what: "messages that a person reported to the operator, readable by that person's wish",
      howLong: `${limits.reportDays} days, or until that person withdraws`,
    },
    { what: 'what operators did and why', howLong: 'for ever' },
    { what: 'network addresses', howLong: 'never; in memory while limits need them' },
    { what: 'who wrote to whom, once it was delivered', howLong: 'never' },
  ];
}
