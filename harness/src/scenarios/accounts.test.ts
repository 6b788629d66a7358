// One person with accounts at two gatekeepers: one folder, one stream of messages, one list of people, one close.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openAccounts } from '@drawbridge/client';
import { type SdkNetwork, startSdkNetwork } from './sdk-network.ts';

test('messages of two gatekeepers come as one stream, and survive a restart of all accounts', async () => {
  const networks = [await startSdkNetwork(), await startSdkNetwork()];
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-accounts-'));
  const account = ({ gatekeeper, ca }: SdkNetwork) => ({
    gatekeeper,
    ca,
    provider: { url: `${gatekeeper}/users`, identifier: 'bob', password: 'the password of bob', signUp: true },
  });
  const open = () =>
    openAccounts({
      folder,
      key: new Uint8Array(32).fill(9),
      accounts: { home: account(networks[0]!), work: account(networks[1]!) },
    });
  const online = async () => {
    const accounts = await open();
    for (const name of accounts.names()) {
      await accounts.get(name).account.enlist();
      await accounts.get(name).connect();
    }
    return accounts;
  };
  const toBob = { provider: 'citadel.example', identifier: 'bob' };
  let bob = await online();
  for (const name of bob.names()) await bob.get(name).account.optIn('skylark.example');
  const annas = [];
  for (const network of networks) {
    const anna = await network.open('anna', 'skylark');
    await anna.account.enlist();
    await anna.connect();
    annas.push(anna);
  }
  const events = bob.events();
  await annas[0]!.send(toBob, { text: 'at home' });
  await annas[1]!.send(toBob, { text: 'at work' });
  const take = async (count: number): Promise<string[]> => {
    const got: string[] = [];
    for await (const { account: name, message } of bob.messages()) {
      got.push(`${name}: ${message.text}`);
      if (got.length === count) break;
    }
    return got.sort((a, b) => (a < b ? -1 : 1));
  };
  // The last one was not consumed: nobody asked for the next.
  assert.deepEqual(await take(2), ['home: at home', 'work: at work']);

  const arrivals: string[] = [];
  for await (const { account: name, event } of events) {
    if (event.kind !== 'message' || event.change !== 'new') continue;
    arrivals.push(`${name}: ${event.message.text}`);
    if (arrivals.length === 2) break;
  }
  assert.deepEqual(arrivals.sort(), ['home: at home', 'work: at work'], 'one stream of events, of which none is lost');

  const [anna] = bob.contacts();
  assert.equal(bob.contacts().length, 1, 'one person, whichever account knows her');
  assert.deepEqual([anna!.provider, anna!.identifier], ['skylark.example', 'anna']);
  assert.deepEqual(
    anna!.reachedBy.map(each => each.account),
    ['home', 'work'],
  );
  assert.notEqual(anna!.reachedBy[0]!.interopId, anna!.reachedBy[1]!.interopId);

  // A change that nobody may miss, at one gatekeeper: it is listed with the account until it is acknowledged there.
  assert.deepEqual(bob.notices(), []);
  const anew = await networks[1]!.open('anna', 'skylark', { device: 'anew' });
  await anew.account.enlist({ replace: true });
  await anew.connect();
  await anew.send(toBob, { text: 'I am here again' });
  assert.ok((await take(2)).includes('work: I am here again'));
  const changed = bob.notices().find(({ notice }) => notice.change.kind === 'identity-changed');
  assert.equal(changed!.account, 'work');
  bob.get('work').notices.acknowledge(changed!.notice);
  assert.ok(!bob.notices().some(({ notice }) => notice.change.kind === 'identity-changed'));

  await bob.close();
  await bob.close();
  await anew.send(toBob, { text: 'later' });
  bob = await online();
  const again = await take(2);
  assert.equal(again.filter(text => text === 'work: later').length, 1);
  assert.equal(again.filter(text => text !== 'work: later').length, 1, 'the one that was not consumed comes again');
  await bob.close();
  await assert.rejects(bob.messages().next(), { code: 'closed' });
  await assert.rejects(openAccounts({ folder, key: new Uint8Array(32), accounts: { '../x': account(networks[0]!) } }), {
    code: 'invalid-argument',
  });
  for (const network of networks) await network.close();
  rmSync(folder, { recursive: true });
});
