// The well-known documents as TypeBox schemas: what OpenAPI says of them.
// Knows nothing of where their values come from.
// Source: docs/protocol/03, docs/protocol/08; RFC 7517, RFC 6415.
import { Type } from 'typebox';
import { closed } from './enlistment-schemas.ts';

const Count = Type.Integer({ minimum: 1 });
const HostAndPort = Type.Optional(Type.Object({ host: Type.String(), port: Type.Integer() }, closed));
const Key = Type.String({ description: 'base64url of 32 bytes' });

export const Offer = Type.Object(
  {
    version: Type.Literal(1),
    issuer: Type.String(),
    domain: Type.String(),
    possession: Type.Literal(1, { description: 'enlistments carry a statement of possession' }),
    identityRenewal: Type.Literal(1, { description: 'an enlistment may take a fresh identity key' }),
    stampEpochs: Type.Array(
      Type.Object(
        { epoch: Type.Integer({ minimum: 0 }), commitment: Type.String({ minLength: 43, maxLength: 43 }) },
        closed,
      ),
      { description: 'what binds the gatekeeper to the keys of its stamps, by weeks since 1970' },
    ),
    endpoints: Type.Object(
      {
        http: Type.String(),
        xmpp: HostAndPort,
        xmpps: HostAndPort,
        websocket: Type.Optional(Type.String()),
        compact: HostAndPort,
        compactWebsocket: Type.Optional(Type.String()),
      },
      { ...closed, description: 'absent ones do not listen' },
    ),
    compactKeys: Type.Optional(
      Type.Object(
        {
          signingKey: Type.Object({ kty: Type.Literal('OKP'), crv: Type.Literal('Ed25519'), x: Type.String() }, closed),
          succession: Type.Array(
            Type.Object(
              { since: Count, signingKey: Key, backupKey: Key, signatures: Type.Array(Type.String()) },
              closed,
            ),
            { description: 'statements by which a pinned key is followed (docs/protocol/08)' },
          ),
          ciphers: Type.Array(Type.Union([Type.Literal('ChaChaPoly'), Type.Literal('AESGCM')])),
        },
        closed,
      ),
    ),
    suites: Type.Array(Type.String()),
    limits: Type.Object(
      {
        httpBodyBytes: Count,
        ciphertextBytes: Count,
        envelopeBytes: Count,
        devicesPerAccount: Count,
        oneTimeKeysPerEnlistment: Count,
        oneTimeKeysPerCall: Count,
        oneTimeKeysKept: Count,
        mailboxEntries: Count,
        mailboxBytes: Count,
        mailboxDays: Count,
        mediaFileBytes: Count,
        mediaGrantSeconds: Count,
        proofLifetimeSeconds: Type.Object({ xmpp: Count, compact: Count, http: Count }, closed),
      },
      closed,
    ),
    functions: Type.Array(Type.String(), {
      description: 'what this gatekeeper does (docs/protocol/03); what is not listed is not spoken',
    }),
    transports: Type.Array(Type.String(), { description: 'in the order in which a client does well to try them' }),
    security: Type.Object(
      {
        tlsMinimum: Type.Literal('1.2'),
        endToEndEncryption: Type.Literal('required', { description: 'plaintext is refused on every path' }),
        proofAlgorithms: Type.Array(Type.String()),
        clientAddresses: Type.Literal('not-kept', { description: 'used for limits while a connection lasts' }),
        regionCheck: Type.Literal('declared-by-provider'),
      },
      closed,
    ),
    rates: Type.Record(Type.String(), Type.Object({ burst: Type.Number(), refillSeconds: Type.Number() }, closed), {
      description: 'budgets by name (docs/operations/configuration.md): how many at once, and seconds until one more',
    }),
    kept: Type.Array(Type.Object({ what: Type.String(), howLong: Type.String() }, closed), {
      description: 'what is kept and for how long; docs/data.md has every datum',
    }),
    applications: Type.Object(
      {
        open: Type.Boolean(),
        statements: Type.String({ description: 'where providers apply (docs/protocol/10, section 10.6)' }),
        sandboxEnlistments: Count,
        liveEnlistments: Count,
        regions: Type.Array(Type.String(), { description: 'any when empty' }),
      },
      closed,
    ),
    agreement: Type.Object({ version: Count, digest: Type.String(), url: Type.String() }, closed),
    contact: Type.Optional(Type.Object({ name: Type.String(), email: Type.String() }, closed)),
    documents: Type.Object(
      { page: Type.String(), schema: Type.String(), signed: Type.Optional(Type.String()), openapi: Type.String() },
      closed,
    ),
    relays: Type.Object(
      {
        accepted: Type.Literal(true, {
          description: "connections through an address-hiding relay are served like everybody's (docs/protocol/12)",
        }),
        named: Type.Array(Type.String(), { description: '`host:port` of relays that have shares for many people' }),
      },
      closed,
    ),
    jwksUri: Type.String(),
    providers: Type.Array(Type.Object({ number: Count, name: Type.String() }, closed)),
    terms: Type.Optional(Type.String()),
  },
  closed,
);

export const KeySet = Type.Object(
  {
    keys: Type.Array(
      Type.Object(
        {
          kty: Type.Union([Type.Literal('EC'), Type.Literal('OKP')]),
          crv: Type.Union([Type.Literal('P-256'), Type.Literal('Ed25519')]),
          x: Type.String(),
          y: Type.Optional(Type.String()),
          kid: Type.String(),
          alg: Type.String(),
          use: Type.Literal('sig'),
        },
        closed,
      ),
    ),
  },
  closed,
);

export const HostMetaLinks = Type.Object(
  { links: Type.Array(Type.Object({ rel: Type.String(), href: Type.String() }, closed)) },
  closed,
);
