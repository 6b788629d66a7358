// The admin API's routes about own users of the embedded issuer by their identifier: also those who have a login and files,
// and never enlisted. Knows nothing of credentials.
import type { FastifyRequest } from 'fastify';
import type { AuditNote } from '../audit/audit-log.ts';
import { showOwnUser } from './admin-person.ts';
import type { AdminHttpDeps, AdminRoutes } from './admin-routes.ts';
import { type OwnUserPart, ownUserOf } from './admin-own-user.ts';
import { OwnUserChanged, OwnUserDeleted, OwnUserFound, ownUserQuery, ownUserReasonQuery } from './admin-schemas.ts';
import { problem, problemResponses } from './app.ts';

const ownProvider = 0;

type Found = { readonly part: OwnUserPart; readonly interopId: string | undefined };

export function addOwnUserRoutes(routes: AdminRoutes): void {
  addLook(routes);
  addSuspensions(routes);
  addDeletion(routes);
}

/** Undefined: the embedded issuer keeps nothing of such a person, or there is no such issuer. */
async function find(deps: AdminHttpDeps, identifier: string): Promise<Found | undefined> {
  const part = ownUserOf(deps, { provider: ownProvider, identifier });
  if (part === undefined) return undefined;
  const { login, sessions, files } = await part.export();
  if (login === undefined && sessions.length === 0 && files.length === 0) return undefined;
  const account = await deps.stores.accounts.findByIdentifier(ownProvider, identifier);
  return { part, interopId: account?.interopId };
}

/** No identifier stands in the log: it only grows. */
async function note(
  { deps, gate }: AdminRoutes,
  request: FastifyRequest,
  action: AuditNote['action'],
  { interopId }: Found,
  reason?: string,
): Promise<void> {
  const subject = interopId ?? String(ownProvider);
  await deps.stores.audit.note({ atMs: deps.nowMs(), actor: gate.callerOf(request).name, action, subject, reason });
}

function addLook(routes: AdminRoutes): void {
  const { app, deps, gate, about } = routes;
  app.get(
    '/admin/v1/own-users',
    {
      onRequest: gate.needs('operator'),
      schema: {
        ...about('people', 'What the embedded issuer keeps of an own user, enlisted or not', 'operator'),
        querystring: ownUserQuery,
        response: { 200: OwnUserFound, ...problemResponses },
      },
    },
    async (request, reply) => {
      const { identifier } = request.query;
      const found = await find(deps, identifier);
      if (found === undefined) return problem(reply, 'own-user-unknown');
      await note(routes, request, 'own-user-looked-up', found);
      const { interopId, part } = found;
      const kept = showOwnUser(await part.export());
      return reply.send({ identifier, ...(interopId === undefined ? {} : { interopId }), ...kept });
    },
  );
}

function addSuspensions(routes: AdminRoutes): void {
  const { app, deps, gate, about } = routes;
  for (const action of ['suspend', 'resume'] as const) {
    const suspended = action === 'suspend';
    app.post(
      `/admin/v1/own-users/${action}`,
      {
        onRequest: gate.needs('operator'),
        schema: {
          ...about(
            'people',
            suspended ? "Suspend an own user's login: sessions end" : 'End such a suspension',
            'operator',
          ),
          body: ownUserReasonQuery,
          response: { 200: OwnUserChanged, ...problemResponses },
        },
      },
      async (request, reply) => {
        const { identifier, reason } = request.body;
        const found = await find(deps, identifier);
        if (found === undefined) return problem(reply, 'own-user-unknown');
        await note(routes, request, suspended ? 'own-user-suspended' : 'own-user-resumed', found, reason);
        if (!(await found.part.suspend(suspended))) return problem(reply, 'own-user-unknown');
        return reply.send({ identifier, suspended });
      },
    );
  }
}

function addDeletion(routes: AdminRoutes): void {
  const { app, deps, gate, about } = routes;
  app.delete(
    '/admin/v1/own-users',
    {
      onRequest: gate.needs('owner'),
      schema: {
        ...about('people', 'Delete an own user who is not enlisted: login, sessions, files, wake-ups', 'owner'),
        querystring: ownUserReasonQuery,
        response: { 200: OwnUserDeleted, ...problemResponses },
      },
    },
    async (request, reply) => {
      const { identifier, reason } = request.query;
      const found = await find(deps, identifier);
      if (found === undefined) return problem(reply, 'own-user-unknown');
      if (found.interopId !== undefined) return problem(reply, 'own-user-enlisted');
      await note(routes, request, 'own-user-deleted', found, reason);
      const removed = await found.part.remove();
      return removed === undefined ? problem(reply, 'storage-unavailable') : reply.send(removed);
    },
  );
}
