// The admin API's routes about people: find, look, suspend, resume, delete. Who looked is in the audit log too.
// Knows nothing of credentials.
import { isUserIdentifier } from '@drawbridge/identity/ownership-proof';
import type { FastifyRequest } from 'fastify';
import type { PersonView } from '../admin/person-records.ts';
import { integrityActor } from '../integrity/integrity.ts';
import { showDevice, showPerson } from './admin-person.ts';
import type { AdminRoutes } from './admin-routes.ts';
import { ownUserOf } from './admin-own-user.ts';
import {
  Devices,
  findQuery,
  Person,
  PersonChanged,
  PersonDeleted,
  personParams,
  reasonBody,
  reasonQuery,
} from './admin-schemas.ts';
import { problem, problemResponses } from './app.ts';

export function addPeopleRoutes(routes: AdminRoutes): void {
  addLooks(routes);
  addSuspensions(routes);
  addDeletion(routes);
}

function addLooks({ app, deps, gate, about }: AdminRoutes): void {
  const { stores, nowMs } = deps;
  const { registry } = deps.control;

  /** A person; the look is in the audit log. */
  const viewed = async (request: FastifyRequest, interopId: string): Promise<PersonView | undefined> => {
    const person = await stores.people.view(interopId);
    if (person === undefined) return undefined;
    const { name: actor } = gate.callerOf(request);
    await stores.audit.note({ atMs: nowMs(), actor, action: 'enlistment-looked-up', subject: interopId });
    return person;
  };

  app.get(
    '/admin/v1/enlistments',
    {
      onRequest: gate.needs('viewer'),
      schema: {
        ...about('people', 'Find a person by provider and user-visible identifier', 'viewer'),
        querystring: findQuery,
        response: { 200: Person, ...problemResponses },
      },
    },
    async (request, reply) => {
      const { provider, identifier } = request.query;
      const isNumber = /^(0|[1-9][0-9]{0,4})$/.test(provider);
      const number = isNumber ? Number(provider) : registry.findByName(provider)?.number;
      if (number === undefined) return problem(reply, 'provider-unknown');
      if (!isUserIdentifier(identifier)) return problem(reply, 'enlistment-unknown');
      const found = await stores.accounts.findByIdentifier(number, identifier);
      const person = found === undefined ? undefined : await viewed(request, found.interopId);
      return person === undefined ? problem(reply, 'enlistment-unknown') : reply.send(showPerson(deps, person));
    },
  );

  app.get(
    '/admin/v1/enlistments/:interopId',
    {
      onRequest: gate.needs('viewer'),
      schema: {
        ...about('people', 'Look at a person', 'viewer'),
        params: personParams,
        response: { 200: Person, ...problemResponses },
      },
    },
    async (request, reply) => {
      const person = await viewed(request, request.params.interopId);
      return person === undefined ? problem(reply, 'enlistment-unknown') : reply.send(showPerson(deps, person));
    },
  );

  app.get(
    '/admin/v1/enlistments/:interopId/devices',
    {
      onRequest: gate.needs('viewer'),
      schema: {
        ...about('people', 'List the devices of a person', 'viewer'),
        params: personParams,
        response: { 200: Devices, ...problemResponses },
      },
    },
    async (request, reply) => {
      const person = await viewed(request, request.params.interopId);
      if (person === undefined) return problem(reply, 'enlistment-unknown');
      const devices = person.devices.map(device => showDevice(deps, device));
      return reply.send({ interopId: person.interopId, devices });
    },
  );
}

function addSuspensions({ app, deps, gate, about }: AdminRoutes): void {
  for (const action of ['suspend', 'resume'] as const) {
    app.post(
      `/admin/v1/enlistments/:interopId/${action}`,
      {
        onRequest: gate.needs('operator'),
        schema: {
          ...about('people', action === 'suspend' ? 'Suspend a person: streams end' : 'End a suspension', 'operator'),
          params: personParams,
          body: reasonBody,
          response: { 200: PersonChanged, ...problemResponses },
        },
      },
      async (request, reply) => {
        const { interopId } = request.params;
        const status = action === 'suspend' ? 'suspended' : 'active';
        const { name } = gate.callerOf(request);
        const { enlistment } = deps.control;
        const reason = request.body?.reason;
        const before = action === 'suspend' ? await deps.stores.people.view(interopId) : undefined;
        const result = await enlistment.setStatus(interopId, status, name, deps.nowMs(), reason);
        if (result === 'unknown') return problem(reply, 'enlistment-unknown');
        const isRestricted = (await deps.stores.restrictions.find(interopId)) !== undefined;
        if (action === 'resume' && isRestricted) await deps.control.integrity.forgive(interopId, name, reason);
        if (before?.suspension?.actor === integrityActor) {
          // From now on it is the operator's, and ends by their word alone.
          const atMs = deps.nowMs();
          await deps.stores.audit.note({
            atMs,
            actor: name,
            action: 'enlistment-suspended',
            subject: interopId,
            reason,
          });
        }
        // Whom their provider has disabled stays out when the operator lets them in.
        const now = await deps.control.accounts.find(interopId);
        return reply.send({ interopId, status: now?.status ?? status });
      },
    );
  }
}

const notWhollyDeleted =
  'Login and files were not deleted, or not all of them, and the enlistment is as it was. Delete again later.';

function addDeletion({ app, deps, gate, about }: AdminRoutes): void {
  app.delete(
    '/admin/v1/enlistments/:interopId',
    {
      onRequest: gate.needs('owner'),
      schema: {
        ...about(
          'people',
          'Delete a person: devices, keys, waiting mail, opt-ins, and an own user with login and files; streams end',
          'owner',
        ),
        params: personParams,
        querystring: reasonQuery,
        response: { 200: PersonDeleted, ...problemResponses },
      },
    },
    async (request, reply) => {
      const { name } = gate.callerOf(request);
      const { interopId } = request.params;
      const { reason } = request.query;
      const person = await deps.stores.people.view(interopId);
      if (person === undefined) return problem(reply, 'enlistment-unknown');
      // Before the enlistment: who can still log in would enlist again, and what failed here is found again.
      const own = ownUserOf(deps, person);
      if (own !== undefined) {
        const note = {
          atMs: deps.nowMs(),
          actor: name,
          action: 'own-user-deleted',
          subject: interopId,
          reason,
        } as const;
        await deps.stores.audit.note(note);
      }
      const ownUser = await own?.remove();
      if (own !== undefined && ownUser === undefined) {
        return problem(reply, 'storage-unavailable', { detail: notWhollyDeleted });
      }
      const result = await deps.control.enlistment.remove(interopId, name, deps.nowMs(), reason);
      if (result !== 'removed') return problem(reply, 'enlistment-unknown');
      const devices = person.devices.length;
      return reply.send({ interopId, devices, ...(ownUser === undefined ? {} : { ownUser }) });
    },
  );
}
