// Who asks at the admin API, and whether their role allows what they ask for. Knows nothing of routes.
// Source: docs/protocol/03 (Admin interface); threat 20.
import assert from 'node:assert/strict';
import { timingSafeEqual } from 'node:crypto';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { type AdminAccounts, type AdminRole, type Caller, digestOfToken, mayDo } from '../admin/admin-accounts.ts';
import { problem } from './app.ts';

export type AdminGateDeps = {
  readonly admins: AdminAccounts;
  /** From `openAdminToken`: the actor `admin`, an owner. */
  readonly token: string;
  /** Admits to `/metrics` alone. Nobody has one when left out. */
  readonly metricsToken: string | undefined;
  readonly onRefused: (code: 'admin-credential-required' | 'admin-role-required') => void;
};

type Hook = (request: FastifyRequest, reply: FastifyReply) => Promise<FastifyReply | undefined>;

export type AdminGate = {
  /** Finds out who asks, before anything else; refuses strangers. */
  readonly admit: Hook;
  /** For a route: refuses callers of a lower role. */
  readonly needs: (role: AdminRole) => Hook;
  /** Of a request that was admitted. */
  readonly callerOf: (request: FastifyRequest) => Caller;
};

export function createAdminGate(deps: AdminGateDeps): AdminGate {
  const callers = new WeakMap<FastifyRequest, Caller>();
  // Digests have one length, and comparing them tells nothing about the token.
  const files: readonly { readonly digest: Uint8Array; readonly caller: Caller }[] = [
    { digest: digestOfToken(deps.token), caller: { name: 'admin', role: 'owner' } },
    ...(deps.metricsToken === undefined
      ? []
      : [{ digest: digestOfToken(deps.metricsToken), caller: { name: 'metrics', role: 'metrics' } as const }]),
  ];

  async function find(request: FastifyRequest): Promise<Caller | undefined> {
    const token = /^Bearer ([\x21-\x7e]{1,512})$/i.exec(request.headers.authorization ?? '')?.[1];
    if (token === undefined) return undefined;
    const digest = digestOfToken(token);
    const file = files.find(each => timingSafeEqual(digest, each.digest));
    return file?.caller ?? (await deps.admins.findByToken(digest));
  }

  const callerOf = (request: FastifyRequest): Caller => {
    const caller = callers.get(request);
    assert(caller !== undefined, 'a request that reaches a route was admitted');
    return caller;
  };

  return {
    async admit(request, reply) {
      const caller = await find(request);
      if (caller === undefined) {
        deps.onRefused('admin-credential-required');
        return problem(reply, 'admin-credential-required');
      }
      callers.set(request, caller);
      return undefined;
    },
    needs: role => async (request, reply) => {
      if (mayDo(callerOf(request).role, role)) return undefined;
      deps.onRefused('admin-role-required');
      return problem(reply, 'admin-role-required', { detail: `This needs the role ${role}: ask an owner.` });
    },
    callerOf,
  };
}
