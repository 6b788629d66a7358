// What every adapter of the storage ports must do, as tests: a file for each port in stores/ (mailboxes have their own:
// mailbox-contract.ts). Knows no store.
import { test } from 'node:test';
import type { Stores } from '../storage/stores.ts';
import { testAccountStore } from './stores/account-store.ts';
import { testAdminStore } from './stores/admin-store.ts';
import { testClockStore } from './stores/clock-store.ts';
import { testContactLinkStore } from './stores/contact-link-store.ts';
import { testContactStore } from './stores/contact-store.ts';
import { type Contract, nowMs } from './stores/contract.ts';
import { testEventOutbox } from './stores/event-outbox.ts';
import { testKeyDirectory } from './stores/key-directory.ts';
import { testMailboxesOfAccounts } from './stores/mailboxes-of-accounts.ts';
import { testProofIds } from './stores/proof-ids.ts';
import { testProviderStates } from './stores/provider-states.ts';
import { testReportStore } from './stores/report-store.ts';
import { testRestrictionStore } from './stores/restriction-store.ts';
import { testSubjectEvents } from './stores/subject-events.ts';
import { testWakeUpQueue } from './stores/wake-up-queue.ts';

export type OpenStores = () => Promise<{ readonly stores: Stores; readonly close: () => Promise<void> }>;

/** Runs the contract of every port against stores that `open` makes, each of them empty. */
export function testStores(name: string, open: OpenStores): void {
  const contract: Contract = (what, check) => {
    void test(`${name}: ${what}`, async () => {
      const { stores, close } = await open();
      try {
        await stores.providers.register([{ number: 1, name: 'skylark.example' }], nowMs);
        await check(stores);
      } finally {
        await close();
      }
    });
  };
  testAccountStore(contract);
  testContactStore(contract);
  testContactLinkStore(contract);
  testKeyDirectory(contract);
  testProviderStates(contract);
  testAdminStore(contract);
  testReportStore(contract);
  testRestrictionStore(contract);
  testSubjectEvents(contract);
  testEventOutbox(contract);
  testProofIds(contract);
  testWakeUpQueue(contract);
  testMailboxesOfAccounts(contract);
  testClockStore(contract);
}
