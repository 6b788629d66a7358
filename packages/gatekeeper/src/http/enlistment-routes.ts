// Enlistment over HTTP: to enlist, to add a device, to look, to remove, to withdraw.
// Knows nothing of sockets or streams; the rules are in enlistment/.
// Source: docs/protocol/03.
import { type Static, Type } from 'typebox';
import type { InteropId } from '@drawbridge/wire/jid';
import type { Charge } from '../budgets.ts';
import { type DeviceJson, readDevice } from '../keys/device-keys.ts';
import { possessionOf } from '../keys/possession.ts';
import { type App, problem, problemResponses } from './app.ts';
import { clientAddress } from './client-address.ts';
import {
  closed,
  deviceSchema,
  Enlisted,
  EnlistmentStatus,
  person,
  personAndDevice,
  Possession,
  Proof,
} from './enlistment-schemas.ts';
import type { ProblemCode } from './problems.ts';
import type { ProofGate } from './proof-gate.ts';
import type { PublicHttpDeps } from './public-deps.ts';

const bearer = [{ proof: [] }];

/** The routes that make an enlistment or a device of one. */
export function addEnlistRoutes(app: App, deps: PublicHttpDeps, gate: ProofGate): void {
  const addressOf = clientAddress(deps.config.trustedProxies, deps.config.relays);
  const Device = deviceSchema(deps.config.limits.oneTimeKeysPerEnlistment);
  const enlisted = { 200: Enlisted, 201: Enlisted, ...problemResponses };

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
      const answer = await enlist(deps, gate, addressOf(request.raw), request.body);
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
      const answer = await enlist(deps, gate, addressOf(request.raw), request.body, {
        joins: request.params.interopId,
      });
      if (answer.kind === 'problem') return problem(reply, answer.code, answer);
      return reply.code(answer.status).send(answer.body);
    },
  );
}

/** The route by which a device of an enlistment takes a fresh identity. */
export function addRenewalRoute(app: App, deps: PublicHttpDeps, gate: ProofGate): void {
  const addressOf = clientAddress(deps.config.trustedProxies, deps.config.relays);
  const Device = deviceSchema(deps.config.limits.oneTimeKeysPerEnlistment);
  app.post(
    '/v1/enlistments/:interopId/identity',
    {
      schema: {
        summary: 'Renew the identity',
        description:
          'This device stays, with its id and what waits for it, under a fresh identity key; all others are removed.\n' +
          '200: this device had that key already.',
        tags: ['enlistment'],
        params: person,
        body: Type.Object({ proof: Proof, device: Device, possession: Possession }, closed),
        response: { 200: Enlisted, 201: Enlisted, ...problemResponses },
      },
    },
    async (request, reply) => {
      const renews = request.params.interopId;
      const answer = await enlist(deps, gate, addressOf(request.raw), request.body, { renews });
      if (answer.kind === 'problem') return problem(reply, answer.code, answer);
      return reply.code(answer.status).send(answer.body);
    },
  );
}

/** The routes for somebody who is enlisted. */
export function addEnlistedRoutes(app: App, { control, people }: PublicHttpDeps, gate: ProofGate): void {
  const { registry, enlistment } = control;

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
      const found = await gate.authorised(request, request.params.interopId);
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
      const found = await gate.authorised(request, request.params.interopId);
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
      const found = await gate.authorised(request, interopId);
      if (typeof found === 'string') return problem(reply, found);
      if (found.account.status !== 'active') return problem(reply, 'enlistment-suspended');
      const removed = await enlistment.removeDevice(found.account, found.device, Number(deviceId));
      return removed ? reply.code(204).send(null) : problem(reply, 'device-unknown');
    },
  );
}

type EnlistAnswer =
  | { readonly kind: 'problem'; readonly code: ProblemCode; readonly retryAfterSeconds?: number }
  | { readonly kind: 'enlisted'; readonly status: 200 | 201; readonly body: Static<typeof Enlisted> };

type EnlistRequest = {
  readonly proof: string;
  readonly device: DeviceJson;
  readonly possession: string;
  readonly replace?: boolean;
};

/** The enlistment that a further device joins, or that a device of it renews. */
async function enlist(
  { config, control, log, nowMs }: PublicHttpDeps,
  gate: ProofGate,
  address: string,
  body: EnlistRequest,
  named: { readonly joins?: InteropId; readonly renews?: InteropId } = {},
): Promise<EnlistAnswer> {
  const { registry, enlistment, budgets } = control;
  const refused = (code: ProblemCode): EnlistAnswer => ({ kind: 'problem', code });
  const spent = (charge: Charge): EnlistAnswer | undefined => {
    const retryAfterSeconds = budgets.take([charge]);
    return retryAfterSeconds === 0 ? undefined : { kind: 'problem', code: 'budget-spent', retryAfterSeconds };
  };
  const byAddress = spent({ budget: 'enlistmentsPerAddress', key: address });
  if (byAddress !== undefined) return byAddress;
  const proof = await gate.proven(body.proof);
  if (typeof proof === 'string') return refused(proof);
  const provider = registry.find(proof.providerNumber)!;
  const cost = provider.trustClass === 'trial' ? 10 : 1;
  const byProvider = spent({ budget: 'enlistmentsPerProvider', key: String(provider.number), cost });
  if (byProvider !== undefined) return byProvider;
  // Signatures are checked only for people whom a provider vouches for: it is what costs most here.
  const read = readDevice(body.device);
  if (read === undefined) return refused('device-keys-refused');
  const { unchecked: device, signed } = read;
  if (device.thumbprint !== proof.jkt) {
    log('info', 'proof-refused', { code: 'device-key-mismatch' });
    return refused('proof-refused');
  }
  const { domain, issuer } = config;
  const possession = { issuer, deviceKeyThumbprint: device.thumbprint, proof: body.proof, joins: named.joins };
  const { number, name } = provider;
  const checked = await control.signatures.check(number, {
    identityKey: device.identityKey,
    signed: [...signed, possessionOf(possession, body.possession)],
  });
  if (checked === 'busy') return { kind: 'problem', code: 'busy', retryAfterSeconds: 1 };
  if (!checked.slice(0, -1).every(Boolean)) return refused('device-keys-refused');
  if (checked.at(-1) !== true) return refused('possession-refused');
  // It may have been suspended meanwhile.
  if (!registry.isLive(number)) return refused('proof-refused');
  const result = await enlistment.enlist(
    {
      provider: number,
      identifier: proof.subject,
      device,
      replace: body.replace === true,
      proofIssuedAtMs: proof.issuedAtMs,
      ...named,
    },
    nowMs(),
  );
  if (result.kind === 'refused') return refused(result.code === 'proof-outdated' ? 'proof-refused' : result.code);
  const { interopId, deviceId, change } = result;
  const jid = `${interopId}@${domain}`;
  return {
    kind: 'enlisted',
    status: change === 'same' ? 200 : 201,
    body: { interopId, deviceId, jid, domain, provider: name },
  };
}
