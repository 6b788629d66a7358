// A message was accepted, and will not be delivered: its sender is told, in the mailbox of the device that sent it, so that
// the word is as durable as the message was. Knows nothing of why a message is over. Source: docs/protocol/06 section 6.1.
import { attribute, type Element } from '@drawbridge/wire/element';
import { undeliveredNotice } from '@drawbridge/wire/envelope';
import { parseJid } from '@drawbridge/wire/jid';
import { noContacts } from '../consent/contact.ts';
import type { Account, Accounts } from '../enlistment/account.ts';
import type { Delivery } from '../mailbox/delivery.ts';
import type { RefusedBecause } from '../mailbox/device-mailbox.ts';
import type { OrphanedPerson } from '../mailbox/mailbox-store.ts';
import type { TellSender } from '../mailbox/sweep.ts';
import { StoreError } from '../storage/store-error.ts';

/** About what a notice takes. */
const noticeBytes = 512;

export type TellSenderDeps = {
  readonly accounts: Accounts;
  readonly delivery: Delivery;
  readonly mayReach: (from: Account, to: Account) => boolean;
};

export function createTellSender({ accounts, delivery, mayReach }: TellSenderDeps): TellSender {
  return async (element, cause, person) => {
    const from = parseJid(attribute(element, 'from') ?? '');
    const to = parseJid(attribute(element, 'to') ?? '');
    const id = attribute(element, 'id');
    // The gatekeeper's own words, errors, and copies for one's own devices: nobody waits for an answer.
    if (from === undefined || to === undefined || id === undefined || from.local === '') return;
    if (attribute(element, 'type') === 'error' || from.local === to.local) return;
    const sender = accounts.peek(from.local) ?? (await accounts.find(from.local));
    const device = sender?.devices.find(each => String(each.id) === from.resource);
    if (sender === undefined || device === undefined) return;
    // Whom the person had shut out learns nothing of their going.
    if (person !== undefined && !mayReach({ ...sender, status: 'active' }, asAccount(person, sender))) return;
    const notice = undeliveredNotice({ from: attribute(element, 'to')!, to: attribute(element, 'from')!, id, cause });
    await kept(delivery, device.row, notice);
  };
}

/** Resolves when the notice is acknowledged or durable, or there is no room for it; rejects when storage failed. */
function kept(delivery: Delivery, device: number, notice: Element): Promise<void> {
  return new Promise((resolve, reject) => {
    let refusal: RefusedBecause | undefined;
    delivery.deliver(device, notice, noticeBytes, true, {
      remaining: 1,
      failed: false,
      refused: because => {
        refusal = because;
      },
      settled: () => {
        if (refusal === 'storage-failed') reject(new StoreError('store-failed', 'the notice was not kept'));
        else resolve();
      },
    });
  });
}

/** As far as reach is concerned: the person as they were. Whose mail waited was no stranger. */
function asAccount({ provider, optIns }: OrphanedPerson, sender: Account): Account {
  const known = { state: 'accepted', isOpen: true, interopId: sender.interopId } as const;
  return {
    row: 0,
    interopId: '',
    provider,
    identifier: '',
    status: 'active',
    proofsFromMs: 0,
    version: 0,
    devices: [],
    optIns,
    linkOnly: false,
    contacts: { ...noContacts, decided: new Map([[sender.contacts.key, known]]) },
  };
}
