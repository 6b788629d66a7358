// The admin API's routes about providers that applied: look, admit to the sandbox, refuse, let go live, withdraw, other
// quotas. Each step needs a reason, which the provider is shown. Knows nothing of credentials.
// Source: docs/protocol/10 section 10.6.
import type { FastifyReply } from 'fastify';
import { Type } from 'typebox';
import type { Application, Stage, StepResult } from '../providers/applications.ts';
import type { AdminRoutes } from './admin-routes.ts';
import { providerParams, Reason } from './admin-schemas.ts';
import { problem, problemResponses } from './app.ts';
import { Applications, ProviderStanding, showStanding } from './provider-schemas.ts';

const closed = { additionalProperties: false };
const maxListed = 500;
const idParams = Type.Object({ id: Type.String({ pattern: '^[0-9a-f]{24}$' }) }, closed);
const stages = ['applied', 'refused', 'sandbox', 'live', 'withdrawn'] as const satisfies readonly Stage[];
const listQuery = Type.Object({ stage: Type.Optional(Type.Union(stages.map(stage => Type.Literal(stage)))) }, closed);
const Enlistments = Type.Integer({ minimum: 1, maximum: 1_000_000_000, description: 'people that it may enlist' });
const refusal = Type.Object({ reason: Reason }, closed);
const admission = Type.Object(
  {
    reason: Reason,
    number: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 65_535, description: 'its number for ever; the next free one from 1000 on' }),
    ),
  },
  closed,
);
const promotion = Type.Object({ reason: Reason, enlistments: Type.Optional(Enlistments) }, closed);
const grantChange = Type.Object(
  {
    reason: Reason,
    enlistments: Type.Optional(Enlistments),
    trustClass: Type.Optional(Type.Union([Type.Literal('standard'), Type.Literal('trial')])),
    suites: Type.Optional(Type.Array(Type.String({ maxLength: 32 }), { minItems: 1, maxItems: 16, uniqueItems: true })),
  },
  closed,
);

export function addApplicationRoutes(routes: AdminRoutes): void {
  addLooks(routes);
  addDecisions(routes);
  addProviderSteps(routes);
}

async function shown({ deps }: AdminRoutes, application: Application): Promise<ReturnType<typeof showStanding>> {
  const { lifecycle } = deps.control;
  return showStanding(await lifecycle.standingOf(application), (await lifecycle.agreement()).version);
}

function addLooks(routes: AdminRoutes): void {
  const { app, deps, gate, about } = routes;
  const { applications } = deps.stores;
  app.get(
    '/admin/v1/applications',
    {
      onRequest: gate.needs('viewer'),
      schema: {
        ...about('applications', 'List applications of providers, latest first', 'viewer'),
        querystring: listQuery,
        response: { 200: Applications, ...problemResponses },
      },
    },
    async (request, reply) => {
      const list = await applications.list(maxListed, request.query.stage);
      const all = await Promise.all(list.map(each => shown(routes, each)));
      return reply.send({ applications: all });
    },
  );
  app.get(
    '/admin/v1/applications/:id',
    {
      onRequest: gate.needs('viewer'),
      schema: {
        ...about('applications', 'Look at an application, with its steps', 'viewer'),
        params: idParams,
        response: { 200: ProviderStanding, ...problemResponses },
      },
    },
    async (request, reply) => {
      const found = await applications.find(request.params.id);
      return found === undefined ? problem(reply, 'application-unknown') : reply.send(await shown(routes, found));
    },
  );
}

/** The answer to a step: how it stands now, or why not. */
async function answer(routes: AdminRoutes, reply: FastifyReply, id: string, result: StepResult): Promise<FastifyReply> {
  if (result.kind === 'refused') {
    if (result.code === 'wrong-stage') return problem(reply, 'application-stage');
    if (result.code === 'name-taken') {
      return problem(reply, 'application-refused', { detail: 'The name belongs to another provider by now.' });
    }
    return problem(reply, result.code);
  }
  const application = await routes.deps.stores.applications.find(id);
  if (application === undefined) return problem(reply, 'application-unknown');
  routes.deps.log('warn', 'provider-step', { code: application.stage, provider: application.number ?? 0 });
  return reply.send(await shown(routes, application));
}

function addDecisions(routes: AdminRoutes): void {
  const { app, deps, gate, about } = routes;
  const { lifecycle } = deps.control;
  app.post(
    '/admin/v1/applications/:id/admit',
    {
      onRequest: gate.needs('operator'),
      schema: {
        ...about('applications', 'Admit to the sandbox', 'operator'),
        params: idParams,
        body: admission,
        response: { 200: ProviderStanding, ...problemResponses },
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      const { reason, number } = request.body;
      const step = { id, actor: gate.callerOf(request).name, reason, nowMs: deps.nowMs() };
      return await answer(routes, reply, id, await lifecycle.admit(step, number));
    },
  );
  app.post(
    '/admin/v1/applications/:id/refuse',
    {
      onRequest: gate.needs('operator'),
      schema: {
        ...about('applications', 'Refuse an application', 'operator'),
        params: idParams,
        body: refusal,
        response: { 200: ProviderStanding, ...problemResponses },
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      const step = { id, actor: gate.callerOf(request).name, reason: request.body.reason, nowMs: deps.nowMs() };
      return await answer(routes, reply, id, await lifecycle.refuse(step));
    },
  );
}

function addProviderSteps(routes: AdminRoutes): void {
  const { app, deps, gate, about } = routes;
  const { lifecycle } = deps.control;
  const { applications } = deps.stores;
  app.post(
    '/admin/v1/providers/:number/go-live',
    {
      onRequest: gate.needs('operator'),
      schema: {
        ...about('applications', 'From the sandbox to live', 'operator'),
        params: providerParams,
        body: promotion,
        response: { 200: ProviderStanding, ...problemResponses },
      },
    },
    async (request, reply) => {
      const found = await applications.findByNumber(Number(request.params.number));
      if (found === undefined) return problem(reply, 'application-unknown');
      const { reason, enlistments } = request.body;
      const step = { id: found.id, actor: gate.callerOf(request).name, reason, nowMs: deps.nowMs() };
      return await answer(routes, reply, found.id, await lifecycle.promote(step, enlistments));
    },
  );
  app.post(
    '/admin/v1/providers/:number/terms',
    {
      onRequest: gate.needs('operator'),
      schema: {
        ...about('applications', 'Other quotas, trust class or suites', 'operator'),
        params: providerParams,
        body: grantChange,
        response: { 200: ProviderStanding, ...problemResponses },
      },
    },
    async (request, reply) => {
      const found = await applications.findByNumber(Number(request.params.number));
      if (found?.grant === undefined) return problem(reply, 'application-unknown');
      const { reason, suites, ...change } = request.body;
      const strange = suites?.find(suite => !found.terms.suites.includes(suite));
      if (strange !== undefined) {
        return problem(reply, 'application-refused', {
          detail: `The provider did not apply with the suite ${strange}.`,
        });
      }
      const step = { id: found.id, actor: gate.callerOf(request).name, reason, nowMs: deps.nowMs() };
      const grant = { ...found.grant, ...change, ...(suites === undefined ? {} : { suites }) };
      return await answer(routes, reply, found.id, await lifecycle.changeGrant(step, grant));
    },
  );
  app.post(
    '/admin/v1/providers/:number/withdraw',
    {
      onRequest: gate.needs('owner'),
      schema: {
        ...about('applications', 'End it for good: its streams end, its name and number are not given again', 'owner'),
        params: providerParams,
        body: refusal,
        response: { 200: ProviderStanding, ...problemResponses },
      },
    },
    async (request, reply) => {
      const found = await applications.findByNumber(Number(request.params.number));
      if (found === undefined) return problem(reply, 'application-unknown');
      const { reason } = request.body;
      const step = { id: found.id, actor: gate.callerOf(request).name, reason, nowMs: deps.nowMs() };
      return await answer(routes, reply, found.id, await lifecycle.withdraw(step));
    },
  );
}
