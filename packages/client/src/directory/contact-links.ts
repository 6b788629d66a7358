// Personal links as the gatekeeper keeps them: builds the requests and reads the answers. It is given hashes of secrets, and a
// secret only by whoever comes with one. Knows nothing of texts or stores. Source: docs/protocol/10 section 10.8.
import { createHash } from 'node:crypto';
import { attribute, childElements, element } from '@drawbridge/wire/element';
import { type InteropId, isInteropId, parseJid } from '@drawbridge/wire/jid';
import { NS_CONSENT } from '@drawbridge/wire/namespaces';
import { ClientError } from '../errors.ts';
import type { Request } from './directory.ts';

/** A link of this person that is in force. Its secret is known to those alone who have it. */
export type ContactLink = { readonly id: string; readonly usesLeft: number; readonly expiresAtMs: number };
export type ContactLinks = { readonly required: boolean; readonly links: readonly ContactLink[] };

export function digestOf(secret: string): string {
  return createHash('sha256').update(secret).digest('base64url');
}

export async function fetchLinks(request: Request): Promise<ContactLinks> {
  const answer = await request('get', element('links', NS_CONSENT));
  if (answer === undefined || answer.name !== 'links' || answer.ns !== NS_CONSENT) throw malformed();
  const links = childElements(answer).map((el): ContactLink => {
    const [id = '', uses = '', expires = ''] = ['digest', 'uses', 'expires'].map(name => attribute(el, name));
    const areNumbers = /^[1-9][0-9]{0,8}$/.test(uses) && /^[1-9][0-9]{0,14}$/.test(expires);
    if (!/^[A-Za-z0-9_-]{43}$/.test(id) || !areNumbers) throw malformed();
    return { id, usesLeft: Number(uses), expiresAtMs: Number(expires) };
  });
  return { required: attribute(answer, 'required') === 'true', links };
}

export async function addLink(request: Request, secret: string, uses: number, seconds: number): Promise<void> {
  const attributes = { digest: digestOf(secret), uses: String(uses), seconds: String(seconds) };
  await request('set', element('link', NS_CONSENT, attributes));
}

export async function removeLink(request: Request, id: string): Promise<void> {
  await request('set', element('unlink', NS_CONSENT, { digest: id }));
}

export async function requireLinks(request: Request, required: boolean): Promise<void> {
  await request('set', element('require-link', NS_CONSENT, { required: String(required) }));
}

/** Whose link it is. Rejects with `not-found` for one that is of no use (any more), and for somebody out of reach. */
export async function redeemLink(request: Request, secret: string, domain: string): Promise<InteropId> {
  const answer = await request('set', element('redeem', NS_CONSENT, { secret }));
  const jid = parseJid(answer === undefined ? '' : (attribute(answer, 'jid') ?? ''));
  if (answer?.name !== 'redeemed' || jid === undefined || jid.domain !== domain || !isInteropId(jid.local)) {
    throw malformed();
  }
  return jid.local;
}

function malformed(): ClientError {
  return new ClientError('protocol-error', { detail: 'an answer about links is malformed' });
}
