// Answers about links by which strangers come to a person: made, listed, revoked, and redeemed. Whoever asks with a wrong secret is
// answered as about somebody who is not there. Knows nothing of streams. Source: docs/protocol/10 section 10.8.
import { hash } from 'node:crypto';
import { element } from '@drawbridge/wire/element';
import { NS_CONSENT } from '@drawbridge/wire/namespaces';
import { personKey } from '../budgets.ts';
import type { Account } from '../enlistment/account.ts';
import type { IqDeps } from '../iq-deps.ts';
import { badRequest, emptyResult, notFound, readAttributes, waitAnswer } from '../keys/strict-payload.ts';
import { type IqAnswer, type IqHandler, type IqHandlers, iqKey, type IqRequest } from '../routing/iq.ts';

export const linkLimits = {
  /** In force at once of one person. */
  links: 50,
  uses: 1_000,
  seconds: 365 * 86_400,
} as const;

/** 16 random bytes, and the SHA-256 of their text: base64url. */
const secretText = /^[A-Za-z0-9_-]{22}$/;
const digestText = /^[A-Za-z0-9_-]{43}$/;

function readDigest(text: string | undefined): Uint8Array | undefined {
  return text !== undefined && digestText.test(text) ? Buffer.from(text, 'base64url') : undefined;
}

function readCount(text: string | undefined, max: number): number | undefined {
  return text !== undefined && /^[1-9][0-9]{0,8}$/.test(text) && Number(text) <= max ? Number(text) : undefined;
}

export function linkIqHandlers(deps: IqDeps): IqHandlers {
  const { accounts, budgets, contacts, domain, judgeMs, links } = deps;
  const changeBudget = (account: Account): number =>
    budgets.take([{ budget: 'changesPerAccount', key: personKey(account) }]);

  async function list({ payload, account }: IqRequest): Promise<IqAnswer> {
    if (readAttributes(payload, []) === undefined || payload.children.length > 0) return badRequest;
    const rows = (await links.list(account.row, judgeMs())).map(({ digest, usesLeft, expiresAtMs }) =>
      element('link', NS_CONSENT, {
        digest: Buffer.from(digest).toString('base64url'),
        uses: String(usesLeft),
        expires: String(expiresAtMs),
      }),
    );
    const required = String(account.linkOnly);
    return { kind: 'result', payload: element('links', NS_CONSENT, { required }, rows) };
  }

  async function add({ payload, account }: IqRequest): Promise<IqAnswer> {
    const attributes = readAttributes(payload, ['digest', 'uses', 'seconds']);
    const digest = readDigest(attributes?.['digest']);
    const uses = readCount(attributes?.['uses'], linkLimits.uses);
    const seconds = readCount(attributes?.['seconds'], linkLimits.seconds);
    if (digest === undefined || uses === undefined || seconds === undefined || payload.children.length > 0) {
      return badRequest;
    }
    const waitSeconds = changeBudget(account);
    if (waitSeconds > 0) return waitAnswer(waitSeconds);
    const expiresAtMs = judgeMs() + seconds * 1_000;
    const link = { account: account.row, digest, usesLeft: uses, expiresAtMs, judgeMs: judgeMs() };
    const added = await links.add({ ...link, max: linkLimits.links });
    if (added === 'taken') return { kind: 'error', condition: 'conflict' };
    return added === 'full' ? { kind: 'error', condition: 'resource-constraint', type: 'cancel' } : emptyResult;
  }

  async function remove({ payload, account }: IqRequest): Promise<IqAnswer> {
    const digest = readDigest(readAttributes(payload, ['digest'])?.['digest']);
    if (digest === undefined || payload.children.length > 0) return badRequest;
    const waitSeconds = changeBudget(account);
    if (waitSeconds > 0) return waitAnswer(waitSeconds);
    await links.remove(account.row, digest);
    return emptyResult;
  }

  async function require({ payload, account }: IqRequest): Promise<IqAnswer> {
    const required = readAttributes(payload, ['required'])?.['required'];
    if ((required !== 'true' && required !== 'false') || payload.children.length > 0) return badRequest;
    const waitSeconds = changeBudget(account);
    if (waitSeconds > 0) return waitAnswer(waitSeconds);
    const isThere = await contacts.setLinkOnly(account, required === 'true');
    return isThere ? emptyResult : notFound;
  }

  /** The same reads whether the secret is anybody's or nobody's, and whoever is out of reach. */
  async function redeem({ payload, account }: IqRequest): Promise<IqAnswer> {
    const secret = readAttributes(payload, ['secret'])?.['secret'];
    if (secret === undefined || !secretText.test(secret) || payload.children.length > 0) return badRequest;
    const waitSeconds = budgets.take(deps.lookupCharges(account));
    if (waitSeconds > 0) return waitAnswer(waitSeconds);
    const digest = hash('sha256', secret, 'buffer');
    const interopId = await links.ownerOf(digest, judgeMs());
    const owner = await accounts.findAfresh(interopId ?? '', account);
    const isOther = owner !== undefined && owner.row !== account.row;
    if (!isOther || !deps.mayMeet(account, owner)) return notFound;
    if ((await contacts.redeem(owner, account, digest)) === 'gone') return notFound;
    const jid = `${owner.interopId}@${domain}`;
    return { kind: 'result', payload: element('redeemed', NS_CONSENT, { jid }) };
  }

  return new Map<string, IqHandler>([
    [iqKey('get', NS_CONSENT, 'links'), list],
    [iqKey('set', NS_CONSENT, 'link'), add],
    [iqKey('set', NS_CONSENT, 'unlink'), remove],
    [iqKey('set', NS_CONSENT, 'require-link'), require],
    [iqKey('set', NS_CONSENT, 'redeem'), redeem],
  ]);
}
