// What a cheat makes people decide, decided by a person at the terminal: `drawbridge chat` in a real pseudo-terminal.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { after, before, test } from 'node:test';
import { drawbridgeIn, noTerminal, type Terminal } from '@drawbridge/cli/testing/terminal';
import { keptBack } from './attacks-on-decisions.ts';
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

test('/again lists what is asked for under another key, and sends it when told to', { skip: noTerminal }, async () => {
  const bob = await network.person('bob');
  await bob.client.account.optIn('skylark.example');
  const args = ['--gatekeeper', network.issuer, '--provider', network.skylark, '--ca', network.ca, '--as', 'anna'];
  const folder = join(network.folder, 'terminal');
  const anna = drawbridgeIn(120, ['chat', ...args, '--folder', folder], {
    DRAWBRIDGE_PASSWORD: 'password of anna',
    DRAWBRIDGE_PASSPHRASE: 'a long passphrase',
    NO_COLOR: '1',
  });
  terminals.push(anna);
  await anna.until(/connected\. \/help/);
  anna.type('/again\r');
  const none = await anna.until(/nobody asks for what was not sent to them/);
  anna.type(`/to ${bob.name.provider} ${bob.name.identifier}\r`);
  anna.type('hello\r');
  const met = await anna.until(/delivered: hello/, none);
  const { interopId } = bob.client.contacts.list().find(({ identifier }) => identifier === 'anna')!;
  const say = (text: string) => async (): Promise<void> => {
    network.book.push({ author: interopId, to: bob.id, text });
    anna.type(`${text}\r`);
  };
  network.book.push({ author: interopId, to: bob.id, text: 'hello' });
  for (const [text, word, said] of [
    ['the first', 'no', /it is not sent/],
    ['the second', 'yes', /it is sent to that device/],
  ] as const) {
    await keptBack(network, `${interopId}@citadel.example/1`, bob, say(text));
    await anna.until(/the key of bob-0 has changed/, met);
    let asked: RegExpExecArray | null = null;
    while (asked === null) {
      const from = anna.screen().length;
      anna.type('/again\r');
      await anna.until(/(?:nobody asks for|compare the safety number first)/, from);
      asked = /device 1 of bob-0 asks for: (.*)/.exec(stripVTControlCharacters(anna.screen().slice(from)));
    }
    assert.equal(asked[1]!.trim(), text);
    const from = anna.screen().length;
    anna.type(`/again 1 ${word}\r`);
    await anna.until(said, from);
  }
  await bob.sees('the second');
  assert(!bob.shown.some(({ text }) => text === 'the first'));
  network.check();
  anna.type('/quit\r');
  assert.equal(await anna.ended, 0);
});
