// What providers say and ask without an operator: signed statements, and the agreement with its versions.
// Knows nothing of what is decided. Source: docs/protocol/10 section 10.6.
import { type App, problem, problemResponses } from './app.ts';
import { clientAddress } from './client-address.ts';
import {
  agreementParams,
  AgreementShown,
  ProviderStanding,
  showAgreement,
  showStanding,
  statementBody,
} from './provider-schemas.ts';
import type { PublicHttpDeps } from './public-deps.ts';

/** A key set may have been down, or too many statements were being verified. */
const statementRetrySeconds = 30;

export function addProviderStatementRoutes(app: App, deps: PublicHttpDeps): void {
  const { control, config, log } = deps;
  const { lifecycle, budgets } = control;
  const addressOf = clientAddress(config.trustedProxies, config.relays);
  app.get(
    '/v1/agreement',
    {
      schema: {
        summary: 'The agreement that providers accept, in force now',
        tags: ['providers'],
        response: { 200: AgreementShown, ...problemResponses },
      },
    },
    async (_request, reply) => reply.send(showAgreement(await lifecycle.agreement())),
  );
  app.get(
    '/v1/agreements/:version',
    {
      schema: {
        summary: 'A version of the agreement, and how it differs from the one before',
        tags: ['providers'],
        params: agreementParams,
        response: { 200: AgreementShown, ...problemResponses },
      },
    },
    async (request, reply) => {
      const found = await lifecycle.agreementOf(Number(request.params.version));
      return found === undefined ? problem(reply, 'not-found') : reply.send(showAgreement(found));
    },
  );
  app.post(
    '/v1/provider-statements',
    {
      schema: {
        summary: 'Apply as a provider, ask how one stands, accept an agreement, or leave',
        description: 'The statement is signed with a key of the issuer that it names. 201: the application was taken.',
        tags: ['providers'],
        body: statementBody,
        response: { 200: ProviderStanding, 201: ProviderStanding, ...problemResponses },
      },
    },
    async (request, reply) => {
      const key = addressOf(request.raw);
      const retryAfterSeconds = budgets.take([{ budget: 'statementsPerAddress', key }]);
      if (retryAfterSeconds > 0) return problem(reply, 'budget-spent', { retryAfterSeconds });
      const answer = await lifecycle.receive(request.body.statement);
      switch (answer.kind) {
        case 'standing': {
          const { change, standing } = answer;
          if (change !== 'none') log('warn', `provider-${change}`, { provider: standing.application.number ?? 0 });
          const { version } = await lifecycle.agreement();
          return reply.code(change === 'applied' ? 201 : 200).send(showStanding(standing, version));
        }
        case 'statement-refused':
          log('info', 'provider-statement-refused', { code: answer.code });
          if (answer.code === 'key-set-unavailable') {
            return problem(reply, 'statement-not-judged', { retryAfterSeconds: statementRetrySeconds });
          }
          // An engineer at a provider reads this, and it is about that provider alone.
          return problem(reply, 'statement-refused', { detail: `${answer.code}: see section 10.6 of the protocol.` });
        case 'application-refused':
          return problem(reply, 'application-refused', { detail: answer.detail });
        case 'unknown':
          return problem(reply, 'application-unknown');
        case 'busy':
          return problem(reply, 'busy', { retryAfterSeconds: 5 });
        case 'applications-full':
        case 'applications-closed':
        case 'agreement-differs':
          return problem(reply, answer.kind);
      }
    },
  );
}
