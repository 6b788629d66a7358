// A gatekeeper that is started with a wrong clock, as a process: mail that waits is there afterwards, and the operator is told.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { get } from 'node:http';
import { json } from 'node:stream/consumers';
import { test } from 'node:test';
import type { Client } from '@drawbridge/client';
import { commandFile, makeGatekeeperFolder, type RunningGatekeeper } from './testing/running-gatekeeper.ts';

const dayMs = 86_400_000;

/** Resolves when the gatekeeper has taken it. */
async function send(from: Client, text: string): Promise<void> {
  const sent = await from.send({ provider: 'citadel.example', identifier: 'bob' }, { text });
  for await (const event of from.events()) {
    if (event.kind === 'message' && event.message.id === sent.id && event.message.state === 'sent') return;
  }
}

async function received(client: Client): Promise<string | undefined> {
  for await (const message of client.messages()) return message.text;
  return undefined;
}

test('a start forty days ahead deletes no mail, and a start before what was seen is refused', {
  timeout: 120_000,
}, async t => {
  const home = await makeGatekeeperFolder();
  const people: Client[] = [];
  let running: RunningGatekeeper | undefined;
  t.after(async () => {
    for (const each of people) await each.close();
    running?.signal('SIGKILL');
    await running?.ended;
    home.remove();
  });
  home.write({ policy: { requests: 'none' } });
  running = await home.start();
  const [anna, bob] = [await home.person('anna'), await home.person('bob')];
  people.push(anna, bob);
  await anna.connect();
  await send(anna, 'it waits');
  await anna.close();
  assert.equal(await running.stop(), 0);
  const command = [commandFile, 'gatekeeper', 'confirm-clock', '--config', home.file];
  const said = execFileSync(process.execPath, ['--conditions=drawbridge-source', ...command], { encoding: 'utf8' });
  assert.match(said, /^\d{4}-.* is the time/);

  // In 1970 its certificate has not begun; twelve hours ago it had.
  for (const [wrongMs, words] of [
    [3_600_000 - Date.now(), /server\.pem begins .*: check this machine's clock/],
    [-dayMs / 2, /the clock shows .*, 12 hours before the time that was believed last[^]*confirm-clock/],
  ] as const) {
    running = home.launch(wrongMs);
    const { code, err } = await running.ended;
    assert.equal(code, 1);
    assert.match(err, words);
  }

  running = await home.start(40 * dayMs);
  const line = await running.line('clock-not-believed');
  assert.equal(line['code'], 'ahead');
  assert.match(String(line['next']), /40 days after/);
  const answer = await new Promise<{ clock: string; status: string }>((resolve, reject) => {
    const url = `http://127.0.0.1:${home.ports.admin}/readyz`;
    get(url, response => resolve(json(response) as Promise<{ clock: string; status: string }>)).on('error', reject);
  });
  assert.deepEqual([answer.status, answer.clock], ['ready', 'ahead']);
  await bob.connect();
  assert.equal(await received(bob), 'it waits');
});
