// The cache of accounts over a store whose answers the test holds back.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { noContacts } from '../consent/contact.ts';
import type { Account } from './account.ts';
import type { AccountStore } from './account-store.ts';
import { accountMaxAgeMs, accountTurnMs, CachedAccounts } from './accounts.ts';

const account = (version: number): Account => ({
  row: 1,
  interopId: 'anna',
  provider: 0,
  identifier: 'anna@own',
  status: 'active',
  proofsFromMs: 0,
  devices: [],
  optIns: [],
  linkOnly: false,
  contacts: noContacts,
  version,
});

type Asked = PromiseWithResolvers<Account | undefined>;

function scene() {
  const asked: Asked[] = [];
  const clock = { nowMs: 0 };
  const find: AccountStore['find'] = () => {
    const answer = Promise.withResolvers<Account | undefined>();
    asked.push(answer);
    return answer.promise;
  };
  const accounts = new CachedAccounts({ find } as AccountStore, 100, () => clock.nowMs);
  return { asked, accounts, clock };
}

test('those who ask together share a read; then memory answers at once', async () => {
  const { asked, accounts } = scene();
  const both = [accounts.find('anna'), accounts.find('anna')];
  assert.equal(accounts.peek('anna'), undefined);
  await Promise.resolve();
  assert.equal(asked.length, 1);
  asked[0]!.resolve(account(1));
  assert.deepEqual(
    (await Promise.all(both)).map(found => found?.version),
    [1, 1],
  );
  assert.equal(accounts.peek('anna')?.version, 1);
});

test('a read that began before a change does not bring the old form back, however late it answers', async () => {
  const { asked, accounts } = scene();
  const before = accounts.find('anna');
  accounts.invalidate('anna');
  const after = accounts.find('anna');
  asked[1]!.resolve(account(2));
  assert.equal((await after)?.version, 2);
  asked[0]!.resolve(account(1));
  await before;
  assert.equal(accounts.peek('anna')?.version, 2);
});

test('nothing is believed for longer than its age and half of it, however often it is asked for', async () => {
  const { asked, accounts, clock } = scene();
  const first = accounts.find('anna');
  asked[0]!.resolve(account(1));
  await first;
  let lastSeenMs = 0;
  for (; clock.nowMs < 3 * accountMaxAgeMs; clock.nowMs += 1_000) {
    if (clock.nowMs % accountTurnMs === 0) accounts.turn();
    if (accounts.peek('anna') !== undefined) lastSeenMs = clock.nowMs;
  }
  assert(lastSeenMs >= accountTurnMs && lastSeenMs <= accountMaxAgeMs * 1.5, String(lastSeenMs));
});

test('unknown accounts are never kept, and a failed read is read again', async () => {
  const { asked, accounts } = scene();
  const unknown = accounts.find('anna');
  asked[0]!.resolve(undefined);
  assert.equal(await unknown, undefined);
  assert.equal(accounts.cached, 0);
  const failing = accounts.find('anna');
  asked[1]!.reject(new Error('storage failed'));
  await assert.rejects(failing);
  const again = accounts.find('anna');
  asked[2]!.resolve(account(1));
  assert.equal((await again)?.version, 1);
});
