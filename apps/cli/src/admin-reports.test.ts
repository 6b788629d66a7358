// `drawbridge admin reports` against a running gatekeeper, after one person has reported another.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { commandFile, makeGatekeeperFolder } from './testing/running-gatekeeper.ts';

type Ran = { readonly code: number | null; readonly out: string; readonly err: string };

async function run(args: readonly string[]): Promise<Ran> {
  const child = spawn(process.execPath, ['--conditions=drawbridge-source', commandFile, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const texts = [child.stdout, child.stderr].map(async stream => (await stream.setEncoding('utf8').toArray()).join(''));
  const code = await new Promise<number | null>(resolve => child.on('exit', resolve));
  const [out = '', err = ''] = await Promise.all(texts);
  return { code, out, err };
}

test('an operator lists, reads, verifies and decides a report; one that was altered afterwards is found', {
  timeout: 180_000,
}, async t => {
  const home = await makeGatekeeperFolder();
  const gatekeeper = await home.start();
  const [anna, bob] = [await home.person('anna'), await home.person('bob')];
  t.after(async () => {
    await Promise.all([anna.close(), bob.close()]);
    gatekeeper.signal('SIGTERM');
    await gatekeeper.ended;
    home.remove();
  });
  await Promise.all([anna.connect(), bob.connect()]);
  await anna.send({ provider: 'citadel.example', identifier: 'bob' }, { text: 'a threat \u001b[2J' });
  const messages = bob.messages();
  const { value: said } = await messages.next();
  assert.ok(said);
  const { id } = await bob.reports.send({ message: said, category: 'abuse', comment: 'help' });
  void messages.return();

  const reports = (...args: string[]): Promise<Ran> => run(['admin', 'reports', ...args, '--config', home.file]);
  const listed = await reports('--open');
  assert.equal(listed.code, 0, listed.err);
  assert.match(listed.out, new RegExp(`id ${id}`));
  assert.equal(listed.out.includes('a threat'), false);
  const shown = await reports('show', id);
  assert.equal(shown.code, 0, shown.err);
  assert.match(shown.out, /verified\n {4}a threat/);
  assert.equal(shown.out.includes('\u001b'), false, 'nothing that was said reaches the terminal as a control');
  assert.match((await reports('verify', id)).out, /verified +1/);
  assert.match((await reports('decide', id, 'maybe')).err, /maybe is not a decision/);
  assert.equal((await reports('decide', id, 'upheld', '--reason', 'ticket 7')).code, 0);
  assert.match((await reports('decide', id, 'dismissed')).err, /Decided before/);

  const db = new DatabaseSync(join(home.folder, 'data', 'gatekeeper.sqlite'));
  const { messages: kept } = db.prepare('SELECT messages FROM report').get() as { messages: Uint8Array };
  const [message] = JSON.parse(Buffer.from(kept).toString()) as { content: string }[];
  const altered = Buffer.from(message!.content, 'base64');
  altered[altered.length - 1]! ^= 1;
  const text = JSON.stringify([{ ...message, content: altered.toString('base64') }]);
  db.prepare('UPDATE report SET messages = ?').run(Buffer.from(text));
  db.close();
  const found = await reports('verify', id);
  assert.equal(found.code, 1);
  assert.match(found.err, /is not proven: other-content/);
});
