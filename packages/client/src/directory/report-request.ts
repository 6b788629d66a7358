// Hands a report to the gatekeeper by IQ. Builds the request and reads the answer. Knows nothing of where evidence is kept.
// Source: docs/protocol/10-consent-and-reports.md section 10.4.
import { attribute, type Element, element } from '@drawbridge/wire/element';
import { NS_REPORT } from '@drawbridge/wire/namespaces';
import { ClientError } from '../errors.ts';
import type { Evidence } from '../reports/evidence.ts';
import type { Request } from './directory.ts';

/** What a report is about; `other` with a comment. */
export const reportCategories = ['spam', 'fraud', 'abuse', 'illegal', 'other'] as const;
export type ReportCategory = (typeof reportCategories)[number];

/** Gives the report's id at the gatekeeper. */
export async function sendReport(
  request: Request,
  report: {
    readonly jid: string;
    readonly category: ReportCategory;
    readonly comment: string | undefined;
    readonly contents: readonly Evidence[];
  },
): Promise<string> {
  const { jid, category, comment, contents } = report;
  const words = comment === undefined ? [] : [element('comment', NS_REPORT, undefined, [comment])];
  const children = [...words, ...contents.map(messageElement)];
  const answer = await request('set', element('report', NS_REPORT, { jid, category }, children));
  const id = answer?.name === 'reported' && answer.ns === NS_REPORT ? attribute(answer, 'id') : undefined;
  if (id === undefined || !/^[A-Za-z0-9_-]{1,64}$/.test(id)) {
    throw new ClientError('protocol-error', { detail: 'the answer to a report is malformed' });
  }
  return id;
}

function messageElement({ stanzaId, acceptedAtMs, content, salt, commitment, stamp }: Evidence): Element {
  const parts = Object.entries({ content, salt, commitment, stamp });
  const attributes = { id: stanzaId, at: String(acceptedAtMs) };
  const children = parts.map(([name, base64]) => element(name, NS_REPORT, undefined, [Buffer.from(base64, 'base64')]));
  return element('message', NS_REPORT, attributes, children);
}
