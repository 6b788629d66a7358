// `drawbridge admin` against a running gatekeeper with people on open streams, as an operator uses it.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, test, type TestContext } from 'node:test';
import type { Client } from '@drawbridge/client';
import {
  commandFile,
  type GatekeeperFolder,
  makeGatekeeperFolder,
  type RunningGatekeeper,
} from './testing/running-gatekeeper.ts';

let home: GatekeeperFolder;
let gatekeeper: RunningGatekeeper | undefined;
const clients: Client[] = [];
after(async () => {
  for (const client of clients) await client.close();
  gatekeeper?.signal('SIGKILL');
  await gatekeeper?.ended;
  home?.remove();
});

type Ran = { readonly code: number | null; readonly out: string; readonly err: string };

async function run(args: readonly string[], token = ''): Promise<Ran> {
  const child = spawn(process.execPath, ['--conditions=drawbridge-source', commandFile, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, DRAWBRIDGE_ADMIN_TOKEN: token },
  });
  const texts = [child.stdout, child.stderr].map(async stream => (await stream.setEncoding('utf8').toArray()).join(''));
  const code = await new Promise<number | null>(resolve => child.on('exit', resolve));
  const [out = '', err = ''] = await Promise.all(texts);
  return { code, out, err };
}

async function online(identifier: string): Promise<Client> {
  const client = await home.person(identifier);
  clients.push(client);
  await client.connect();
  return client;
}

/** Waits until the stream has ended. How long it took is told, not judged: the machine may be busy. */
async function thrownOut(t: TestContext, client: Client, since: number): Promise<void> {
  while (client.status.kind === 'online') await new Promise(resolve => setTimeout(resolve, 5));
  t.diagnostic(`the stream ended ${Math.round(performance.now() - since)} ms after the answer`);
}

test('an operator finds, suspends, exports and deletes people on open streams, under a name and a role', {
  timeout: 180_000,
}, async t => {
  home = await makeGatekeeperFolder();
  const early = await run(['gatekeeper', 'admin', 'list', '--config', home.file]);
  assert.match(early.err, /gatekeeper\.sqlite is not there: start the gatekeeper once\nNext: /);
  gatekeeper = await home.start();
  const make = async (name: string, role: string): Promise<string> => {
    const made = await run(['gatekeeper', 'admin', 'add', name, '--role', role, '--config', home.file]);
    assert.equal(made.code, 0, made.err);
    return made.out.trim();
  };
  const [rosa, vera] = [await make('rosa', 'owner'), await make('vera', 'viewer')];
  const again = await run(['gatekeeper', 'admin', 'add', 'rosa', '--role', 'viewer', '--config', home.file]);
  assert.match(again.err, /rosa is an admin already/);
  const reserved = await run(['gatekeeper', 'admin', 'add', 'admin', '--role', 'viewer', '--config', home.file]);
  assert.equal(reserved.code, 2);
  const url = ['--url', `http://127.0.0.1:${home.ports.admin}`];
  const ask = (token: string, ...args: string[]): Promise<Ran> => run(['admin', ...args, ...url], token);

  const [anna, bob] = [await online('anna'), await online('bob')];
  const found = await ask(vera, 'find', 'citadel.example', 'anna', '--json');
  assert.equal(found.code, 0, found.err);
  const { interopId, devices } = JSON.parse(found.out) as { interopId: string; devices: { stream: string }[] };
  assert.equal(interopId, anna.me?.interopId);
  assert.deepEqual(
    devices.map(({ stream }) => stream),
    ['connected'],
  );
  const shown = await ask(vera, 'devices', interopId);
  assert.match(shown.out, /deviceId 1 .*stream connected/);
  const refused = await ask(vera, 'suspend', interopId, '--reason', 'spam');
  assert.match(refused.err, /Another role required\nNext: This needs the role operator/);
  assert.equal(refused.code, 1);

  const suspended = await ask(rosa, 'suspend', interopId, '--reason', 'spam, ticket 4711');
  assert.equal(suspended.code, 0, suspended.err);
  await thrownOut(t, anna, performance.now());
  assert.equal(bob.status.kind, 'online');
  const file = join(home.folder, 'anna.json');
  const exported = await ask(rosa, 'export', interopId, '--output', file);
  assert.equal(exported.code, 0, exported.err);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  const { identifier, suspension } = JSON.parse(readFileSync(file, 'utf8')) as {
    identifier: string;
    suspension: { actor: string; reason: string };
  };
  assert.deepEqual([identifier, suspension.actor, suspension.reason], ['anna', 'rosa', 'spam, ticket 4711']);
  assert.match((await ask(rosa, 'export', interopId, '--output', file)).err, /is there already/);

  const bobs = String(bob.me?.interopId);
  const asked = await ask(rosa, 'delete', bobs, '--reason', 'asked for');
  assert.equal(asked.code, 2);
  assert.match(asked.out, /identifier +bob/);
  assert.equal(bob.status.kind, 'online');
  const deleted = await ask(rosa, 'delete', bobs, '--reason', 'asked for', '--yes');
  assert.equal(deleted.code, 0, deleted.err);
  await thrownOut(t, bob, performance.now());
  assert.match((await ask(rosa, 'show', bobs)).err, /No such enlistment/);
  const audit = await ask(vera, 'audit', '--subject', bobs);
  assert.match(audit.out, /actor rosa {2}action enlistment-deleted .*reason asked for/);

  const head = await ask(vera, 'audit', 'head');
  assert.match(head.out, /^[0-9]+:[0-9a-f]{64}\n$/);
  const whole = await ask(vera, 'audit', 'verify', '--head', head.out.trim());
  assert.match(whole.out, /^[0-9]+ entries, each as it was written\n[^]*1 earlier head met/, whole.err);
  const copy = join(home.folder, 'copy');
  const copied = await run(['gatekeeper', 'backup', '--config', home.file, copy]);
  assert.equal(copied.code, 0, copied.err);
  const db = new DatabaseSync(join(copy, 'gatekeeper.sqlite'));
  db.exec("DROP TRIGGER audit_stays; UPDATE audit SET reason = 'none' WHERE action = 'enlistment-deleted'");
  db.close();
  const edited = await run(['admin', 'audit', 'verify', '--data', copy]);
  assert.match(edited.err, /entry [0-9]+ is not what was written there/);
  assert.equal(edited.code, 1);
  assert.equal((await run(['admin', 'audit', 'verify', '--data', join(home.folder, 'data')])).code, 0);
  assert.match((await ask(vera, 'audit', 'verify', '--head', `99999:${'a'.repeat(64)}`)).err, /the end .* was cut off/);

  await run(['gatekeeper', 'admin', 'remove', 'vera', '--config', home.file]);
  assert.match((await ask(vera, 'providers')).err, /Admin credential required/);
  const onTheMachine = await run(['admin', 'providers', '--config', home.file]);
  assert.match(onTheMachine.out, /number 0 {2}name citadel\.example .*enlistments 1 /);
  assert.match(onTheMachine.out, /suites \(signal-1\)/);
  const named = await ask(rosa, 'suspend', 'anna', '--reason', 'spam');
  assert.equal(named.code, 2);
  assert.match(named.err, /anna is not an InteropId\nNext: find the person first/);
  const remote = await run(['admin', 'providers', '--url', 'http://gatekeeper.example:9320'], rosa);
  assert.equal(remote.code, 2);
  assert.match(remote.err, /in the clear\nNext: open a tunnel/);
  assert.match((await run(['admin', 'providers', ...url])).err, /no token\nNext: set DRAWBRIDGE_ADMIN_TOKEN/);
  assert.doesNotMatch(JSON.stringify(gatekeeper.lines), /anna|bob|rosa|[01]-[a-z2-7]{26}/, 'nobody is in the log');
});
