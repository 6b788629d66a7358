// The admin API's routes about reports: list, look, decide. Who looked at what people opened is in the audit log.
// Knows nothing of credentials, nor of what contents say.
// Source: docs/protocol/03-http.md (Admin interface), 10-consent-and-reports.md section 10.4.
import type { Report, ReportSummary } from '../reports/report-store.ts';
import type { NewEvent } from '../events/event-outbox.ts';
import { composeEvent } from '../events/outbound-events.ts';
import { faultOf } from '../reports/verify-report.ts';
import type { AdminRoutes } from './admin-routes.ts';
import {
  decisionBody,
  ReportDecided,
  reportParams,
  Reports,
  reportsQuery,
  ShownReport,
} from './admin-report-schemas.ts';
import { problem, problemResponses } from './app.ts';

export function addReportRoutes({ app, deps, gate, about }: AdminRoutes): void {
  const { stores, control, nowMs, log } = deps;

  app.get(
    '/admin/v1/reports',
    {
      onRequest: gate.needs('viewer'),
      schema: {
        ...about('reports', 'List reports, newest first, without what was said', 'viewer'),
        querystring: reportsQuery,
        response: { 200: Reports, ...problemResponses },
      },
    },
    async (request, reply) => {
      const { reported, open, before, limit } = request.query;
      const list = await stores.reports.list({
        reported,
        open: open === 'true',
        beforeMs: before === undefined ? undefined : Date.parse(before),
        limit: Number(limit ?? 100),
      });
      return reply.send({ reports: list.map(shownSummary) });
    },
  );

  app.get(
    '/admin/v1/reports/:id',
    {
      onRequest: gate.needs('operator'),
      schema: {
        ...about('reports', 'Look at a report: its messages as they were encrypted, verified again', 'operator'),
        params: reportParams,
        response: { 200: ShownReport, ...problemResponses },
      },
    },
    async (request, reply) => {
      const report = await stores.reports.find(request.params.id);
      if (report === undefined) return problem(reply, 'report-unknown');
      const { name: actor } = gate.callerOf(request);
      await stores.audit.note({ atMs: nowMs(), actor, action: 'report-looked-at', subject: report.id });
      return reply.send(shownReport(report, message => faultOf(message, wayOf(report), control.stamps, nowMs())));
    },
  );

  app.post(
    '/admin/v1/reports/:id/decide',
    {
      onRequest: gate.needs('operator'),
      schema: {
        ...about('reports', 'Uphold or dismiss a report, once', 'operator'),
        params: reportParams,
        body: decisionBody,
        response: { 200: ReportDecided, ...problemResponses },
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      const { decision, reason, tellProvider = false } = request.body;
      const { name: actor } = gate.callerOf(request);
      if (tellProvider && decision !== 'upheld') {
        return problem(reply, 'request-refused', {
          detail: 'body/tellProvider: a report that is dismissed is not told.',
        });
      }
      const event = tellProvider ? await toldOf(deps, id) : undefined;
      const result = await stores.reports.decide({ id, decision, actor, reason, nowMs: nowMs(), event });
      if (result === 'unknown') return problem(reply, 'report-unknown');
      if (result === 'decided') return problem(reply, 'report-decided');
      const decided = await stores.reports.find(id);
      if (decided !== undefined) await control.integrity.refused(decided.reported);
      log('info', `report-${decision}`, {});
      return reply.send({ id, decision });
    },
  );
}

/** To the provider of whoever was reported, never who did: undefined when they are gone, or it takes no events. */
async function toldOf({ stores, control }: AdminRoutes['deps'], id: string): Promise<NewEvent | undefined> {
  const report = await stores.reports.find(id);
  const account = report === undefined ? undefined : await stores.accounts.find(report.reported);
  if (report === undefined || account === undefined) return undefined;
  const payload = { report: id, category: report.category };
  const event = 'urn:drawbridge:event:report-upheld';
  const told = { event, subject: account.identifier, payload, nowMs: control.tellMs() } as const;
  return composeEvent(control.registry.find(account.provider), control.limits(), told);
}

/** From whom to whom its messages went. */
function wayOf({ reported, reporter }: Report): { from: string; to: string } {
  return { from: reported, to: reporter };
}

function shownSummary({ atMs, decided, ...report }: ReportSummary) {
  const { id, reporter, reported, category, count } = report;
  const its = { id, reporter, reported, category, messages: count, at: new Date(atMs).toISOString() };
  if (decided === undefined) return { ...its, status: 'open' as const };
  const { decision, actor } = decided;
  return { ...its, status: decision, decided: { actor, at: new Date(decided.atMs).toISOString() } };
}

function shownReport(report: Report, fault: (message: Report['messages'][number]) => string | undefined) {
  const { messages: _count, ...summary } = shownSummary(report);
  const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
  return {
    ...summary,
    ...(report.comment === undefined ? {} : { comment: report.comment }),
    messages: report.messages.map(message => ({
      stanzaId: message.stanzaId,
      acceptedAt: new Date(message.acceptedAtMs).toISOString(),
      content: base64(message.content),
      salt: base64(message.salt),
      commitment: base64(message.commitment),
      stamp: base64(message.stamp),
      verdict: fault(message) ?? 'verified',
    })),
  };
}
