// A message that the gatekeeper keeps back, on a real screen: `drawbridge chat` in a pseudo-terminal says that something has not
// come, says so again in the list of chats, takes it back when it comes, and lets it go when it is told to.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { drawbridgeIn, noTerminal, type Terminal } from '@drawbridge/cli/testing/terminal';
import { attribute, type Element } from '@drawbridge/wire/element';
import { CheatingNetwork } from './network.ts';

let network: CheatingNetwork;
const terminals: Terminal[] = [];
before(async () => {
  network = await CheatingNetwork.open();
});
after(async () => {
  for (const terminal of terminals) terminal.close();
  await network.close();
});

test('a message that was kept back is said, listed, taken back when it comes, and can be let go', {
  skip: noTerminal,
}, async () => {
  const bob = await network.person('bob');
  await bob.client.account.optIn('skylark.example');
  const args = ['--gatekeeper', network.issuer, '--provider', network.skylark, '--ca', network.ca, '--as', 'anna'];
  const anna = drawbridgeIn(140, ['chat', ...args, '--folder', join(network.folder, 'terminal')], {
    DRAWBRIDGE_PASSWORD: 'password of anna',
    DRAWBRIDGE_PASSPHRASE: 'a long passphrase',
    NO_COLOR: '1',
  });
  terminals.push(anna);
  await anna.until(/connected\. \/help/);
  anna.type(`/to ${bob.name.provider} ${bob.name.identifier}\r`);
  anna.type('hello\r');
  let at = await anna.until(/delivered: hello/);
  const to = bob.client.contacts.list().find(({ identifier }) => identifier === 'anna')!;
  const jid = `${to.interopId}@citadel.example/1`;
  const say = async (text: string): Promise<void> => {
    network.book.push({ author: bob.id, to: to.interopId, text });
    await bob.client.send({ provider: 'skylark.example', identifier: 'anna' }, { text });
  };
  await say('one');
  at = await anna.until(/bob.*one/, at);

  const kept: Element[] = [];
  const keepBack = async (text: string, count: number): Promise<void> => {
    network.gatekeeper.lies.deliver = (el, who) => {
      if (who !== jid || attribute(el, 'from') !== bob.jid) return [el];
      kept.push(el);
      return [];
    };
    await say(text);
    while (kept.length < count) await new Promise(resolve => setTimeout(resolve, 20));
    network.gatekeeper.lies = {};
  };
  await keepBack('two', 1);
  await say('three');
  at = await anna.until(
    /1 message has not come in the chat with bob.*: withheld, or still under way\. \/dismiss forgets/,
    at,
  );
  anna.type('/chats\r');
  at = await anna.until(/bob.*\(.*1 have not come.*\)/, at);

  // It comes late: the line is taken back, and the message stands before the one that followed it.
  network.gatekeeper.give(jid, kept[0]!);
  at = await anna.until(/nothing is missing any more in the chat with bob/, at);
  anna.type('/history\r');
  at = await anna.until(/one[^]*two[^]*three/, at);

  kept.length = 0;
  await keepBack('four', 1);
  await say('five');
  at = await anna.until(/1 message has not come in the chat with bob/, at);
  anna.type('/dismiss\r');
  at = await anna.until(/nothing is missing any more in the chat with bob/, at);
  anna.type('/quit\r');
  assert.equal(await anna.ended, 0);
});
