// `client.reports`: shows the gatekeeper's operator what somebody said, with the proof that they said it. Nothing but what the
// person chose leaves: the message, and as many before it as they say.
// Knows nothing of how evidence comes in.
// Source: docs/protocol/10-consent-and-reports.md section 10.4.
import { isInteropId } from '@drawbridge/wire/jid';
import type { LocalDevice } from '../account/local-device.ts';
import type { Lifecycle } from '../connection/lifecycle.ts';
import { type ReportCategory, reportCategories, sendReport } from '../directory/report-request.ts';
import { ClientError } from '../errors.ts';
import { chatWith, type ShownMessageName } from '../history/message-names.ts';
import { listEntries, readEntry } from '../store/message-records.ts';
import type { Transaction } from '../store/store.ts';
import { type Evidence, readEvidence } from './evidence.ts';

export const reportRequestLimits = {
  /** Earlier messages that go along. */
  maxContext: 20,
  /** Contents of one report, edits included, and their bytes as base64: one stanza holds it. */
  maxContents: 32,
  maxContentText: 180_000,
  maxCommentLength: 1_000,
  /** Messages of the chat among which the earlier ones are looked for. */
  searched: 1_000,
} as const;

export type ReportRequest = {
  /** Somebody else's, in a chat with them. */
  readonly message: ShownMessageName;
  readonly category: ReportCategory;
  /** In the person's words; up to 1,000 characters. */
  readonly comment?: string;
  /** How many earlier messages of the same person, in this chat, the operator shall see too (0 to 20; 0 when left out). */
  readonly context?: number;
};

export type ReportSent = { readonly id: string /** Contents that the operator sees. */; readonly contents: number };

export class Reports {
  readonly #device: LocalDevice;
  readonly #lifecycle: Lifecycle;

  constructor(device: LocalDevice, lifecycle: Lifecycle) {
    this.#device = device;
    this.#lifecycle = lifecycle;
  }

  /** Whether this device still has what proves that a message was said: for 30 days, while it is in the history. */
  canReport({ author, id }: ReportRequest['message']): boolean {
    return this.#device.transaction(tx => readEvidence(tx, author, id).length > 0);
  }

  /**
   * Sends a report; the operator can read what is in it. The same report again is one report.
   * Throws `not-reportable` when nothing proves the message (any more), `invalid-argument`, `not-connected`, `rate-limited`,
   * and `request-refused` when the gatekeeper finds it unproven.
   */
  async send({ message, category, comment, context = 0 }: ReportRequest): Promise<ReportSent> {
    const { account } = this.#device.enlisted();
    const isSound =
      isInteropId(message.author) &&
      message.author !== account.interopId &&
      reportCategories.includes(category) &&
      Number.isInteger(context) &&
      context >= 0 &&
      context <= reportRequestLimits.maxContext &&
      (comment === undefined || (comment !== '' && comment.length <= reportRequestLimits.maxCommentLength));
    if (!isSound) throw new ClientError('invalid-argument');
    const contents = this.#device.transaction(tx => contentsOf(tx, message, context));
    if (contents.length === 0) throw new ClientError('not-reportable');
    const jid = `${message.author}@${account.domain}`;
    const id = await sendReport(this.#lifecycle.live().request, { jid, category, comment, contents });
    return { id, contents: contents.length };
  }
}

/** In the order in which they were said: the earlier ones, then the message with its edits, which always has room. */
function contentsOf(tx: Transaction, { author, id }: ReportRequest['message'], context: number): Evidence[] {
  const { maxContents, maxContentText, searched } = reportRequestLimits;
  if (readEntry(tx, author, id)?.gone !== undefined) return [];
  let contents = [...readEvidence(tx, author, id)];
  if (contents.length === 0 || context === 0) return contents;
  const rows = listEntries(tx, { chat: chatWith(author), newest: true, limit: searched }).map(({ entry }) => entry);
  const at = rows.findIndex(entry => entry.author === author && entry.id === id);
  let left = at < 0 ? 0 : context;
  let size = sizeOf(contents);
  for (const entry of rows.slice(at + 1)) {
    if (left === 0) break;
    if (entry.author !== author || entry.posted === undefined || entry.gone !== undefined) continue;
    const earlier = readEvidence(tx, author, entry.id);
    size += sizeOf(earlier);
    if (earlier.length + contents.length > maxContents || size > maxContentText) break;
    contents = [...earlier, ...contents];
    left--;
  }
  return contents;
}

function sizeOf(contents: readonly Evidence[]): number {
  return contents.reduce((sum, { content }) => sum + content.length, 0);
}
