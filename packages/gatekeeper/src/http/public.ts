// The gatekeeper's public HTTP interface: enlistment, well-known documents, OpenAPI; own users' issuer at `/users`.
// Knows nothing of sockets and TLS: it is a handler for any node:http(s) server.
// Source: docs/protocol/03.
import type { IncomingMessage, RequestListener } from 'node:http';
import { pump } from '@drawbridge/identity/body-buffers';
import { maxProofLifetimeSeconds, type OwnershipProof } from '@drawbridge/identity/ownership-proof';
import { rangeAsked } from '@drawbridge/provider/media-origin-range';
import { compactCiphers } from '@drawbridge/stream/compact-login';
import { maxCiphertextBytes, maxDeviceId, maxEnvelopeBytes, maxRegistrationId } from '@drawbridge/wire/limits';
import swagger from '@fastify/swagger';
import type { FastifyRequest } from 'fastify';
import { type Static, Type } from 'typebox';
import type { Charge } from '../budgets.ts';
import type { Config } from '../config-schema.ts';
import type { Control, ControlLog } from '../control.ts';
import type { Account, Device as EnlistedDevice } from '../enlistment/account.ts';
import { type DeviceJson, parseDevice } from '../keys/device-keys.ts';
import { isPossessed } from '../keys/possession.ts';
import type { AccountStore } from '../enlistment/account-store.ts';
import { createApp, maxBodyBytes, problem, problemResponses, storageRetrySeconds } from './app.ts';
import { clientAddress } from './client-address.ts';
import { encodeHostMeta, hostMetaLinks } from './host-meta.ts';
import type { ProblemCode } from './problems.ts';

/** Where clients reach what is listening; absent ones don't listen. */
export type Endpoints = {
  readonly xmpp?: { readonly host: string; readonly port: number };
  readonly xmpps?: { readonly host: string; readonly port: number };
  readonly websocket?: string;
  readonly compact?: { readonly host: string; readonly port: number };
  readonly compactWebsocket?: string;
  readonly http: string;
};

export type PublicHttpDeps = {
  readonly config: Config;
  readonly control: Control;
  readonly people: AccountStore;
  readonly log: ControlLog;
  readonly nowMs: () => number;
  /** Asked at each request, so that listeners with port 0 may be named after they listen. */
  readonly endpoints: () => Endpoints;
  /** The Ed25519 JWK that certifies Noise static keys; absent without a compact listener. */
  readonly compactSigningKey?: Readonly<Record<string, string>>;
};

export type PublicHttp = {
  readonly handler: RequestListener;
  /** An upload of an own user: it ends when nothing moves, not after a time. */
  readonly isUpload: (request: IncomingMessage) => boolean;
  readonly close: () => Promise<void>;
};

const closed = { additionalProperties: false };
const base64 = (bytes: number, description: string) =>
  Type.String({
    minLength: Math.ceil(bytes / 3) * 4,
    maxLength: Math.ceil(bytes / 3) * 4,
    pattern: '^[A-Za-z0-9+/]+={0,2}$',
    description,
  });
const KeyId = Type.Integer({ minimum: 1, maximum: 16_777_215 });
const curveKey = base64(33, 'libsignal public key: 0x05 and 32 bytes');
const kemKey = base64(1569, 'libsignal KEM public key: 0x08 and 1,568 bytes');
const signature = base64(64, "the identity key's signature over the public key");
const Prekey = Type.Object({ id: KeyId, publicKey: curveKey }, closed);
const SignedPrekey = Type.Object({ id: KeyId, publicKey: curveKey, signature }, closed);
const KemPrekey = Type.Object({ id: KeyId, publicKey: kemKey, signature }, closed);
const InteropId = Type.String({ pattern: '^(0|[1-9][0-9]{0,4})-[a-z2-7]{26}$' });
const DeviceId = Type.Integer({ minimum: 1, maximum: maxDeviceId });
const Possession = base64(64, "the identity key's signature that it is in the hand of this device");
const Proof = Type.String({ minLength: 1, maxLength: 8192, description: 'ownership proof for this device key' });

function deviceSchema(maxKeys: number) {
  return Type.Object(
    {
      deviceKey: Type.String({ pattern: '^[A-Za-z0-9_-]{43}$', description: 'X25519 public key, base64url' }),
      registrationId: Type.Integer({ minimum: 1, maximum: maxRegistrationId }),
      identityKey: curveKey,
      signedPrekey: SignedPrekey,
      lastResortKemPrekey: KemPrekey,
      prekeys: Type.Optional(Type.Array(Prekey, { maxItems: maxKeys })),
      kemPrekeys: Type.Optional(Type.Array(KemPrekey, { maxItems: maxKeys })),
      capabilities: Type.Optional(
        Type.Object({ suites: Type.Array(Type.Literal('signal-1'), { minItems: 1, maxItems: 1 }) }, closed),
      ),
    },
    closed,
  );
}

const Enlisted = Type.Object({
  interopId: InteropId,
  deviceId: DeviceId,
  jid: Type.String(),
  domain: Type.String(),
  provider: Type.String({ description: 'DNS name' }),
});
const EnlistmentStatus = Type.Object({
  interopId: InteropId,
  identifier: Type.String(),
  provider: Type.String(),
  status: Type.Union([Type.Literal('active'), Type.Literal('suspended')]),
  devices: Type.Array(Type.Object({ deviceId: DeviceId, enlistedAt: Type.String({ format: 'date-time' }) })),
});
const person = Type.Object({ interopId: InteropId }, closed);
const personAndDevice = Type.Object(
  { interopId: InteropId, deviceId: Type.String({ pattern: '^[1-9][0-9]{0,2}$' }) },
  closed,
);
const bearer = [{ proof: [] }];
const encryptedFile = Type.String({ format: 'binary' });

/** Builds the handler; it serves until `close`. */
export async function buildPublicHttp(deps: PublicHttpDeps): Promise<PublicHttp> {
  const { config, control, people, log, nowMs } = deps;
  const { registry, enlistment, accounts, budgets } = control;
  const addressOf = clientAddress(config.trustedProxies);
  const app = createApp(code => log('error', 'http-failed', { code }));

  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Drawbridge gatekeeper',
        version: '1',
        description: 'Enlistment with a gatekeeper. The specification is docs/protocol/03.',
      },
      servers: [{ url: config.issuer }],
      components: {
        securitySchemes: {
          proof: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT', description: 'ownership proof' },
        },
      },
    },
  });

  app.addHook('onRequest', async (request, reply) => {
    if (config.mode === 'production') void reply.header('strict-transport-security', 'max-age=31536000');
    const retryAfterSeconds = budgets.take([{ budget: 'requestsPerAddress', key: addressOf(request.raw) }]);
    if (retryAfterSeconds > 0) return problem(reply, 'budget-spent', { retryAfterSeconds });
    return undefined;
  });

  /** What a proof proves, used up. Why it is refused goes to the log, the peer learns one word. */
  async function proven(
    token: string,
  ): Promise<OwnershipProof | 'proof-refused' | 'proof-not-judged' | 'storage-unavailable'> {
    const verdict = await control.verifyProof(token, 'http', nowMs());
    if (verdict.kind === 'verified' && registry.isLive(verdict.proof.providerNumber)) return verdict.proof;
    const code = verdict.kind === 'refused' ? verdict.code : 'provider-suspended';
    log('info', 'proof-refused', { code });
    // Our own trouble: a fresh proof would not help.
    if (code === 'key-set-unavailable') return 'proof-not-judged';
    return code === 'replay-check-failed' ? 'storage-unavailable' : 'proof-refused';
  }

  type Authorised = { readonly account: Account; readonly device: EnlistedDevice; readonly proof: OwnershipProof };

  /** The enlistment that the bearer proof and the path both name. A device that isn't enlisted has no say. */
  async function authorised(request: FastifyRequest, interopId: string): Promise<Authorised | ProblemCode> {
    const token = /^Bearer ([A-Za-z0-9._-]{1,8192})$/i.exec(request.headers.authorization ?? '')?.[1];
    const proof = token === undefined ? 'proof-refused' : await proven(token);
    if (typeof proof === 'string') return proof;
    const account = await accounts.findByIdentifier(proof.providerNumber, proof.subject);
    if (account?.interopId !== interopId) return 'enlistment-unknown';
    const device = account.devices.find(known => known.thumbprint === proof.jkt);
    return device === undefined ? 'proof-refused' : { account, device, proof };
  }

  type EnlistAnswer =
    | { readonly kind: 'problem'; readonly code: ProblemCode; readonly retryAfterSeconds?: number }
    | { readonly kind: 'enlisted'; readonly status: 200 | 201; readonly body: Static<typeof Enlisted> };

  async function enlist(
    request: FastifyRequest,
    body: {
      readonly proof: string;
      readonly device: DeviceJson;
      readonly possession: string;
      readonly replace?: boolean;
    },
    joins?: string,
  ): Promise<EnlistAnswer> {
    const refused = (code: ProblemCode): EnlistAnswer => ({ kind: 'problem', code });
    const spent = (charge: Charge): EnlistAnswer | undefined => {
      const retryAfterSeconds = budgets.take([charge]);
      return retryAfterSeconds === 0 ? undefined : { kind: 'problem', code: 'budget-spent', retryAfterSeconds };
    };
    const byAddress = spent({ budget: 'enlistmentsPerAddress', key: addressOf(request.raw) });
    if (byAddress !== undefined) return byAddress;
    const proof = await proven(body.proof);
    if (typeof proof === 'string') return refused(proof);
    const provider = registry.find(proof.providerNumber)!;
    const cost = provider.trustClass === 'trial' ? 10 : 1;
    const byProvider = spent({ budget: 'enlistmentsPerProvider', key: String(provider.number), cost });
    if (byProvider !== undefined) return byProvider;
    // Signatures are checked only for people whom a provider vouches for: it is what costs most here.
    const device = parseDevice(body.device);
    if (device === undefined) return refused('device-keys-refused');
    if (device.thumbprint !== proof.jkt) {
      log('info', 'proof-refused', { code: 'device-key-mismatch' });
      return refused('proof-refused');
    }
    const { domain, issuer } = config;
    const possession = { issuer, deviceKeyThumbprint: device.thumbprint, proof: body.proof, joins };
    if (!isPossessed(device.identityKey, possession, body.possession)) return refused('possession-refused');
    const { number, name } = provider;
    const result = await enlistment.enlist(
      {
        provider: number,
        identifier: proof.subject,
        device,
        replace: body.replace === true,
        ...(joins === undefined ? {} : { joins }),
      },
      nowMs(),
    );
    if (result.kind === 'refused') return refused(result.code);
    const { interopId, deviceId, change } = result;
    const jid = `${interopId}@${domain}`;
    return {
      kind: 'enlisted',
      status: change === 'same' ? 200 : 201,
      body: { interopId, deviceId, jid, domain, provider: name },
    };
  }

  const Device = deviceSchema(config.limits.oneTimeKeysPerEnlistment);
  const enlisted = { 200: Enlisted, 201: Enlisted, ...problemResponses };

  app.get(
    '/.well-known/interop-gatekeeper',
    { schema: { summary: 'What this gatekeeper offers', tags: ['discovery'] } },
    (_request, reply) =>
      reply.header('cache-control', 'public, max-age=300').send({
        version: 1,
        issuer: config.issuer,
        domain: config.domain,
        // Clients of gatekeepers that know nothing of it must leave it out.
        possession: 1,
        endpoints: deps.endpoints(),
        ...(deps.compactSigningKey === undefined
          ? {}
          : { compactKeys: { signingKey: deps.compactSigningKey, ciphers: compactCiphers } }),
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
      }),
  );

  app.get(
    '/.well-known/jwks.json',
    { schema: { summary: 'Keys of security event tokens', tags: ['discovery'] } },
    (_request, reply) =>
      reply.header('cache-control', 'public, max-age=300').send({ keys: control.signingKeys.published }),
  );

  for (const [path, type, body] of [
    ['/.well-known/host-meta', 'application/xrd+xml; charset=utf-8', encodeHostMeta],
    ['/.well-known/host-meta.json', 'application/json; charset=utf-8', hostMetaLinks],
  ] as const) {
    app.get(
      path,
      { schema: { summary: 'Where XMPP clients find the WebSocket', tags: ['discovery'] } },
      (_request, reply) =>
        reply
          .header('cache-control', 'public, max-age=300')
          // Pages of any origin may look (XEP-0156 section 3).
          .header('access-control-allow-origin', '*')
          .type(type)
          .send(body(deps.endpoints().websocket)),
    );
  }

  app.get('/openapi.json', { schema: { hide: true } }, (_request, reply) =>
    reply.header('cache-control', 'public, max-age=300').send(app.swagger()),
  );

  app.post(
    '/v1/enlistments',
    {
      schema: {
        summary: 'Enlist',
        description: '200: this device key was enlisted already. With `replace`, other devices are removed.',
        tags: ['enlistment'],
        body: Type.Object(
          { proof: Proof, device: Device, possession: Possession, replace: Type.Optional(Type.Boolean()) },
          closed,
        ),
        response: enlisted,
      },
    },
    async (request, reply) => {
      const answer = await enlist(request, request.body);
      if (answer.kind === 'problem') return problem(reply, answer.code, answer);
      return reply.code(answer.status).send(answer.body);
    },
  );

  app.post(
    '/v1/enlistments/:interopId/devices',
    {
      schema: {
        summary: 'Add a device that another one has authorised',
        tags: ['enlistment'],
        params: person,
        body: Type.Object({ proof: Proof, device: Device, possession: Possession }, closed),
        response: enlisted,
      },
    },
    async (request, reply) => {
      const answer = await enlist(request, request.body, request.params.interopId);
      if (answer.kind === 'problem') return problem(reply, answer.code, answer);
      return reply.code(answer.status).send(answer.body);
    },
  );

  app.get(
    '/v1/enlistments/:interopId',
    {
      schema: {
        summary: 'Status',
        tags: ['enlistment'],
        params: person,
        security: bearer,
        response: { 200: EnlistmentStatus, ...problemResponses },
      },
    },
    async (request, reply) => {
      const found = await authorised(request, request.params.interopId);
      if (typeof found === 'string') return problem(reply, found);
      const { row, interopId, identifier, provider, status } = found.account;
      const devices = await people.listDevices(row);
      return reply.send({
        interopId,
        identifier,
        provider: registry.find(provider)!.name,
        status,
        devices: devices.map(({ id, enlistedAtMs }) => ({
          deviceId: id,
          enlistedAt: new Date(enlistedAtMs).toISOString(),
        })),
      });
    },
  );

  app.delete(
    '/v1/enlistments/:interopId',
    {
      schema: {
        summary: 'Withdraw: everything that is kept is deleted',
        tags: ['enlistment'],
        params: person,
        security: bearer,
        response: { 204: Type.Null(), ...problemResponses },
      },
    },
    async (request, reply) => {
      const found = await authorised(request, request.params.interopId);
      if (typeof found === 'string') return problem(reply, found);
      const result = await enlistment.withdraw(found.account);
      return result === 'withdrawn' ? reply.code(204).send(null) : problem(reply, result);
    },
  );

  app.delete(
    '/v1/enlistments/:interopId/devices/:deviceId',
    {
      schema: {
        summary: 'Remove a device',
        tags: ['enlistment'],
        params: personAndDevice,
        security: bearer,
        response: { 204: Type.Null(), ...problemResponses },
      },
    },
    async (request, reply) => {
      const { interopId, deviceId } = request.params;
      const found = await authorised(request, interopId);
      if (typeof found === 'string') return problem(reply, found);
      if (found.account.status !== 'active') return problem(reply, 'enlistment-suspended');
      const removed = await enlistment.removeDevice(found.account, found.device, Number(deviceId));
      return removed ? reply.code(204).send(null) : problem(reply, 'device-unknown');
    },
  );

  app.route({
    method: ['GET', 'HEAD'],
    url: '/media/:grant',
    schema: {
      summary: 'Fetch a file through the media proxy',
      description:
        'With a grant from the stream (docs/protocol/11). The encrypted file, or the one range that is asked for.',
      tags: ['media'],
      params: Type.Object({ grant: Type.String({ pattern: '^[A-Za-z0-9_-]{1,4096}$' }) }, closed),
      response: {
        200: { description: 'The file', content: { 'application/octet-stream': { schema: encryptedFile } } },
        206: { description: 'The range', content: { 'application/octet-stream': { schema: encryptedFile } } },
        ...problemResponses,
      },
    },
    handler: async (request, reply) => {
      const method = request.method === 'HEAD' ? 'HEAD' : 'GET';
      const { grant } = request.params;
      const answer = await control.media.fetch(grant, method, rangeAsked(request.headers));
      if (answer.headers !== undefined) void reply.headers(answer.headers);
      if (answer.kind === 'problem') {
        return problem(reply, answer.code, answer.code === 'busy' ? { retryAfterSeconds: storageRetrySeconds } : {});
      }
      const { status, body } = answer;
      if (body === undefined) return reply.code(status).send();
      const { raw } = reply;
      // A reader that stops is let go, and the fetch with it.
      raw.setTimeout(config.limits.mediaIdleSeconds * 1000, () => raw.destroy());
      reply.hijack();
      raw.writeHead(
        status,
        Object.entries(reply.getHeaders()).flatMap(([name, value]) => (value === undefined ? [] : [name, value])),
      );
      // Either end that breaks ends the other; what is missing tells the reader.
      await pump(body, raw).catch(() => {});
      return reply;
    },
  });

  await app.ready();
  const users = control.ownUsers;
  return {
    handler(request, response) {
      const isUsers = users !== undefined && /^\/users(?:[/?]|$)/.test(request.url ?? '');
      if (isUsers) users.handler(request, response);
      else app.routing(request, response);
    },
    isUpload: request => users?.media?.serves(request) === true,
    close: async () => {
      await app.close();
    },
  };
}
