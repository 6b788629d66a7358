// Takes reports (`urn:drawbridge:report:1`): reads them strictly, has every message verified, and keeps them for the operator.
// Knows nothing of streams, nor of what contents say.
// Source: docs/protocol/10-consent-and-reports.md section 10.4; threats 29 and 30.
import { createHash, randomBytes } from 'node:crypto';
import { digestBytes, maxCiphertextBytes } from '@drawbridge/wire/limits';
import { childElements, type Element, element, textOf } from '@drawbridge/wire/element';
import { isStanzaId, type InteropId } from '@drawbridge/wire/jid';
import { NS_ERRORS, NS_REPORT } from '@drawbridge/wire/namespaces';
import { type Budgets, personKey } from '../budgets.ts';
import { badRequest, readAttributes, readBytes, readPerson, waitAnswer } from '../keys/strict-payload.ts';
import { type IqAnswer, type IqHandler, type IqHandlers, iqKey, type IqRequest } from '../routing/iq.ts';
import {
  type NewReport,
  reportCategories,
  type ReportCategory,
  type ReportedMessage,
  type ReportStore,
} from './report-store.ts';
import type { Stamps } from './stamps.ts';
import { faultOf, saltBytes } from './verify-report.ts';

export const reportLimits = {
  /** Contents in one report; in all what fits into an element. */
  maxMessages: 32,
  maxCommentLength: 1_000,
  idBytes: 16,
} as const;

export type ReportIqDeps = {
  readonly domain: string;
  readonly reports: ReportStore;
  readonly stamps: Stamps;
  readonly budgets: Budgets;
  readonly limits: () => {
    readonly reportsKept: number;
    readonly reportsKeptPerPerson: number;
    readonly reportsKeptBytes: number;
  };
  /** From which a report is kept. */
  readonly stampMs: () => number;
  /** A report was kept. */
  readonly onReport: (report: Pick<NewReport, 'reported' | 'category'>) => Promise<void>;
};

type Read = Pick<NewReport, 'reported' | 'category' | 'comment' | 'messages'>;

export function reportIqHandlers(deps: ReportIqDeps): IqHandlers {
  async function report({ payload, account, nowMs }: IqRequest): Promise<IqAnswer> {
    const read = readReport(payload, deps.domain);
    if (read === undefined || read.reported === account.interopId) return badRequest;
    const waitSeconds = deps.budgets.take([{ budget: 'reportsPerPerson', key: personKey(account) }]);
    if (waitSeconds > 0) return waitAnswer(waitSeconds);
    const way = { from: read.reported, to: account.interopId };
    for (const message of read.messages) {
      const fault = faultOf(message, way, deps.stamps, nowMs);
      if (fault !== undefined) return refused(fault);
    }
    const { reportsKept, reportsKeptPerPerson, reportsKeptBytes } = deps.limits();
    const bounds = { perReporter: reportsKeptPerPerson, inAll: reportsKept, bytesInAll: reportsKeptBytes };
    const id = randomBytes(reportLimits.idBytes).toString('base64url');
    const digest = digestOf(account.interopId, read);
    const reporter = { account: account.row, reporter: account.interopId };
    const kept = await deps.reports.add({ ...read, ...reporter, id, digest, atMs: deps.stampMs() }, bounds);
    if (kept === 'full') return { kind: 'error', condition: 'resource-constraint', type: 'wait' };
    if (kept.kind === 'added') await deps.onReport(read);
    return { kind: 'result', payload: element('reported', NS_REPORT, { id: kept.id }) };
  }
  return new Map<string, IqHandler>([[iqKey('set', NS_REPORT, 'report'), report]]);
}

function refused(cause: string): IqAnswer {
  return {
    kind: 'error',
    condition: 'not-acceptable',
    type: 'modify',
    application: element('report-refused', NS_ERRORS, { cause }),
  };
}

/** A report that says the same again is the same. */
function digestOf(reporter: InteropId, { reported, messages }: Read): Uint8Array {
  const hash = createHash('sha256').update(`${reporter}\n${reported}\n`);
  for (const { commitment, stamp } of messages) hash.update(commitment).update(stamp);
  return hash.digest();
}

function readReport(el: Element, domain: string): Read | undefined {
  const attributes = readAttributes(el, ['jid', 'category']);
  if (attributes === undefined) return undefined;
  const reported = readPerson(attributes['jid']!, domain);
  const category = reportCategories.find(each => each === attributes['category']);
  const children = childElements(el);
  if (reported === undefined || category === undefined || children.length !== el.children.length) return undefined;
  const hasComment = children[0]?.name === 'comment';
  const comment = hasComment ? readComment(children[0]!) : undefined;
  if (hasComment && comment === undefined) return undefined;
  const messages = children.slice(hasComment ? 1 : 0).map(readMessage);
  if (messages.length === 0 || messages.length > reportLimits.maxMessages) return undefined;
  if (!messages.every(each => each !== undefined)) return undefined;
  return { reported, category: category satisfies ReportCategory, comment, messages };
}

function readComment(el: Element): string | undefined {
  const text = textOf(el);
  const isText = el.ns === NS_REPORT && el.attrs.length === 0 && childElements(el).length === 0;
  return isText && text !== '' && text.length <= reportLimits.maxCommentLength ? text : undefined;
}

function readMessage(el: Element): ReportedMessage | undefined {
  const attributes = readAttributes(el, ['id', 'at']);
  const parts = childElements(el);
  if (el.name !== 'message' || el.ns !== NS_REPORT || attributes === undefined || parts.length !== el.children.length)
    return undefined;
  const { id, at } = attributes as { id: string; at: string };
  if (!isStanzaId(id) || !/^[1-9][0-9]{0,14}$/.test(at)) return undefined;
  const bytes = (index: number, name: string, length?: number): Uint8Array | undefined => {
    const part = parts[index];
    const value = part?.name === name && part.ns === NS_REPORT ? readBytes(part) : undefined;
    return value === undefined || (length !== undefined && value.length !== length) ? undefined : value;
  };
  const content = bytes(0, 'content');
  const salt = bytes(1, 'salt', saltBytes);
  const commitment = bytes(2, 'commitment', digestBytes);
  const stamp = bytes(3, 'stamp', digestBytes);
  if (content === undefined || content.length > maxCiphertextBytes || parts.length !== 4) return undefined;
  if (salt === undefined || commitment === undefined || stamp === undefined) return undefined;
  return { stanzaId: id, acceptedAtMs: Number(at), content, salt, commitment, stamp };
}
