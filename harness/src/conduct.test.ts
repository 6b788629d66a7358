// Conduct in the sandbox: whoever is refused by many meets new people slowly, then not at all, and hears the words of a budget. An
// operator sees why over the admin interface.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { attribute, type Element } from '@drawbridge/wire/element';
import { encodeElement } from '@drawbridge/wire/xml-encoder';
import { ciphertextFor } from './raw-network.ts';
import { RawXmpp } from './raw-xmpp.ts';
import { type RunningSandbox, startSandbox } from './running-sandbox.ts';

let sandbox: RunningSandbox | undefined;
after(() => sandbox?.stop());

const errorOf = (id: string) => (el: Element) => attribute(el, 'type') === 'error' && attribute(el, 'id') === id;

test('a sandbox with requests shows what follows when people refuse somebody', { timeout: 300_000 }, async () => {
  sandbox = await startSandbox(26, '--requests');
  const { ready, accounts } = sandbox;
  const ca = readFileSync(ready.ca, 'utf8');
  const target = { domain: ready.domain, ca, ports: ready.ports };
  const login = async (account: string): Promise<RawXmpp> =>
    RawXmpp.login(target, 'direct', await sandbox!.proof(account), { management: true });
  const bare = (index: number): string => accounts[index]!.jid.split('/')[0]!;
  const spammer = await login('u0');
  const write = (index: number): void =>
    spammer.send(
      `<message xmlns='jabber:client' to='${bare(index)}' id='m${index}' type='chat'>` +
        `<envelope xmlns='urn:drawbridge:e2ee:1' suite='signal-1' from-device='1'>${ciphertextFor(1)}</envelope></message>`,
    );
  const people = accounts.map((_, index) => index).filter(index => index % 2 === 1);
  const refuse = async (index: number): Promise<void> => {
    const client = await login(`u${index}`);
    client.send(
      `<iq xmlns='jabber:client' type='set' id='d'><deny xmlns='urn:drawbridge:consent:1' jid='${bare(0)}'/></iq>`,
    );
    const answer = await client.expect(el => attribute(el, 'id') === 'd');
    assert.equal(attribute(answer, 'type'), 'result');
    client.cut();
  };
  const met = people.slice(0, 11);
  for (const index of met) write(index);
  assert.equal(await spammer.acknowledged(), met.length);

  const token = readFileSync(join(dirname(ready.accounts), 'gatekeeper', 'admin-token'), 'utf8').trim();
  const look = async (): Promise<{ level: string; now: { refused: number }; explanation: string }> => {
    const subject = encodeURIComponent(bare(0).split('@')[0]!);
    const response = await fetch(`http://127.0.0.1:${ready.ports.admin}/admin/v1/restrictions/${subject}`, {
      headers: { authorization: `Bearer ${token}` },
    });
    assert.equal(response.status, 200);
    return (await response.json()) as { level: string; now: { refused: number }; explanation: string };
  };
  for (const index of met.slice(0, 5)) await refuse(index);
  const first = await look();
  assert.equal(first.level, 'slowed', JSON.stringify(first));
  for (const index of met.slice(5, 10)) await refuse(index);
  const { level, now, explanation } = await look();
  assert.deepEqual([level, now.refused], ['accepted-only', 10]);
  assert.match(explanation, /^refused 10, accepted 0 \(100 % refused\), not answered 1; the threshold is 10 refused/);
  const next = people[11]!;
  write(next);
  const words = encodeElement(await spammer.expect(errorOf(`m${next}`)), '');
  assert.match(words, /resource-constraint/);
  assert.match(words, /<retry-after xmlns=["']urn:drawbridge:errors:1["'] seconds=["'][0-9]+["']\/>/);
  // Whom they have written to is answered as before, whether they refused or not.
  for (const index of [met[0]!, met[10]!]) write(index);
  await spammer.ping();
  assert.deepEqual(
    spammer.inbox.filter(el => attribute(el, 'type') === 'error'),
    [],
  );
  spammer.cut();
});
