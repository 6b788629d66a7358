// Whether a message that waited in a mailbox is still to be delivered when its device comes: what both sides decided meanwhile
// holds. Knows nothing of sessions, mailboxes or storage.
// Source: docs/protocol/10-consent-and-reports.md section 10.1.
import { attribute, childElement, type Element } from '@drawbridge/wire/element';
import { parseJid } from '@drawbridge/wire/jid';
import { decisionAbout, isShut } from '../consent/contact.ts';
import type { Account, Accounts } from '../enlistment/account.ts';
import type { Wanted } from '../mailbox/device-mailbox.ts';

export type StillWantedDeps = {
  readonly domain: string;
  readonly accounts: Pick<Accounts, 'peek' | 'find'>;
  readonly mayReach: (from: Account, to: Account) => boolean;
  readonly suiteAdmitted: (provider: number, suite: string) => boolean;
};

/** At once when both accounts are in memory; else storage is asked. */
export function stillWanted(deps: StillWantedDeps, interopId: string, el: Element): Wanted | Promise<Wanted> {
  const { domain, accounts, mayReach, suiteAdmitted } = deps;
  // Notices of the gatekeeper's own; nobody else has its domain as `from`.
  if (attribute(el, 'from') === domain || attribute(el, 'type') === 'error') return true;
  const sender = parseJid(attribute(el, 'from') ?? '');
  if (sender === undefined) return false;
  const suite = attribute(childElement(el, 'envelope', 'urn:drawbridge:e2ee:1') ?? el, 'suite') ?? '';
  const decide = (from: Account | undefined, to: Account | undefined): Wanted => {
    // The sender was told that it is kept. Suspensions, opt-outs and suites may be taken back; who withdrew is gone.
    if (to === undefined) return 'later';
    if (sender.local === interopId) return true;
    if (from === undefined || isShut(decisionAbout(to, from))) return false;
    if (from.status !== 'active' || !mayReach(from, to)) return 'later';
    return suiteAdmitted(from.provider, suite) && suiteAdmitted(to.provider, suite) ? true : 'later';
  };
  const from = accounts.peek(sender.local);
  const to = accounts.peek(interopId);
  if (from !== undefined && to !== undefined) return decide(from, to);
  return Promise.all([accounts.find(sender.local), accounts.find(interopId)]).then(both => decide(...both));
}
