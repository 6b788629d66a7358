// Carries out `drawbridge admin reports`: reads what a reporter opened, and checks it once more, here.
// Knows nothing of options. Source: docs/protocol/10-consent-and-reports.md section 10.4.
import { shownLine } from '@drawbridge/client';
import { verifyCommitment } from '@drawbridge/e2ee/commitment';
import { decodeContent } from '@drawbridge/e2ee/content';
import { CommandError } from '../command-error.ts';
import { openAdminApi } from './admin-api.ts';
import { sayAnswer, type Shown } from './admin-run.ts';

type ReportedMessage = {
  readonly stanzaId: string;
  readonly acceptedAt: string;
  /** Base64. */
  readonly content: string;
  readonly commitment: string;
  /** The gatekeeper's. */
  readonly verdict: string;
};
type Report = {
  readonly id: string;
  readonly reporter: string;
  readonly reported: string;
  readonly messages: readonly ReportedMessage[];
};

async function fetchReport(flags: Shown, id: string): Promise<Report> {
  return (await openAdminApi(flags).ask('GET', `/admin/v1/reports/${encodeURIComponent(id)}`)) as Report;
}

export async function showReport(flags: Shown, id: string): Promise<void> {
  const report = await fetchReport(flags, id);
  if (flags.json) return sayAnswer(flags, report);
  const { messages, ...summary } = report;
  sayAnswer(flags, summary);
  process.stdout.write('said\n');
  for (const message of messages) {
    const fault = faultOf(message);
    const verdict = fault === undefined ? 'verified' : `NOT PROVEN: ${fault}`;
    process.stdout.write(`  ${message.acceptedAt}  ${verdict}\n    ${shownLine(wordsOf(message))}\n`);
  }
}

/** Throws a CommandError that names the first fault. */
export async function verifyReport(flags: Shown, id: string): Promise<void> {
  const report = await fetchReport(flags, id);
  for (const message of report.messages) {
    const fault = faultOf(message);
    if (fault !== undefined)
      throw new CommandError(`the message ${shownLine(message.stanzaId)} is not proven: ${fault}`, 'do not act on it');
  }
  sayAnswer(flags, { id: report.id, verified: report.messages.length });
}

export async function decideReport(
  flags: Shown,
  id: string,
  decision: 'upheld' | 'dismissed',
  { reason, tellProvider = false }: { readonly reason?: string; readonly tellProvider?: boolean },
): Promise<void> {
  const body = { decision, ...(reason === undefined ? {} : { reason }), ...(tellProvider ? { tellProvider } : {}) };
  sayAnswer(flags, await openAdminApi(flags).ask('POST', `/admin/v1/reports/${encodeURIComponent(id)}/decide`, body));
}

/** What speaks against a message; undefined: it was said, by this person to that one. */
function faultOf(message: ReportedMessage): string | undefined {
  if (message.verdict !== 'verified') return message.verdict;
  const bytes = Buffer.from(message.content, 'base64');
  const content = decodeContent(bytes);
  const binding = content.ok ? content.value.binding : undefined;
  if (!content.ok || binding === undefined) return 'unreadable';
  return verifyCommitment(binding, bytes, Buffer.from(message.commitment, 'base64')) ? undefined : 'other-content';
}

/** What was said, as far as this version knows it. */
function wordsOf({ content }: ReportedMessage): string {
  const decoded = decodeContent(Buffer.from(content, 'base64'));
  if (!decoded.ok) return '(unreadable)';
  const { body } = decoded.value;
  switch (body.kind) {
    case 'text':
      return body.text;
    case 'edit':
      return `(edit) ${body.text.text}`;
    case 'attachment':
      return `(file) ${body.caption?.text ?? ''}`;
    case 'poll':
      return `(poll) ${body.question} | ${body.options.join(' | ')}`;
    default:
      return `(${body.kind})`;
  }
}
