// The admin API's routes about own users of the embedded issuer by their identifier: also those who have a login and files,
// and never enlisted. Knows nothing of credentials.
import type { FastifyRequest } from 'fastify';
import type { AuditNote } from '../audit/audit-log.ts';
import { showOwnUser } from './admin-person.ts';
import type { AdminRoutes } from './admin-routes.ts';
import { type OwnUserPart, ownUserOf } from './admin-own-user.ts';
import { OwnUserChanged, OwnUserDeleted, OwnUserFound, ownUserQuery, ownUserReasonQuery } from './admin-schemas.ts';
import { problem, problemResponses } from './app.ts';

const ownProvider = 0;

type Found = { readonly part: OwnUserPart; readonly interopId: string | undefined };

export function addOwnUserRoutes(routes: AdminRoutes): void {
  const { app, deps, gate, about } = routes;

  /** Undefined: the embedded issuer keeps nothing of such a person, or there is none. */
  const find = async (identifier: string): Promise<Found | undefined> => {
    const part = ownUserOf(deps, { provider: ownProvider, identifier });
    if (part === undefined) return undefined;
    const { login, sessions, files } = await part.export();
    if (login === undefined && sessions.length === 0 && files.length === 0) return undefined;
    const account = await deps.stores.accounts.findByIdentifier(ownProvider, identifier);
    return { part, interopId: account?.interopId };
  };
  /** No identifier stands in the log: it only grows. */
  const note = async (request: FastifyRequest, action: AuditNote['action'], found: Found, reason?: string) =>
    await deps.stores.audit.note({
      atMs: deps.nowMs(),
      actor: gate.callerOf(request).name,
      action,
      subject: found.interopId ?? String(ownProvider),
      reason,
    });

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
      const found = await find(identifier);
      if (found === undefined) return problem(reply, 'own-user-unknown');
      await note(request, 'own-user-looked-up', found);
      const { interopId, part } = found;
      const kept = showOwnUser(await part.export());
      return reply.send({ identifier, ...(interopId === undefined ? {} : { interopId }), ...kept });
    },
  );

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
        const found = await find(identifier);
        if (found === undefined) return problem(reply, 'own-user-unknown');
        await note(request, suspended ? 'own-user-suspended' : 'own-user-resumed', found, reason);
        if (!(await found.part.suspend(suspended))) return problem(reply, 'own-user-unknown');
        return reply.send({ identifier, suspended });
      },
    );
  }

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
      const found = await find(identifier);
      if (found === undefined) return problem(reply, 'own-user-unknown');
      if (found.interopId !== undefined) return problem(reply, 'own-user-enlisted');
      await note(request, 'own-user-deleted', found, reason);
      const removed = await found.part.remove();
      return removed === undefined ? problem(reply, 'storage-unavailable') : reply.send(removed);
    },
  );
}
