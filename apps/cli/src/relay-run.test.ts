// `drawbridge relay` as an operator runs it: checked, watched, stopped, killed and started again.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { freePorts } from './dev-config.ts';
import { commandFile } from './testing/running-gatekeeper.ts';

const folder = mkdtempSync(join(tmpdir(), 'drawbridge-relay-'));
const file = join(folder, 'relay.json');
const upstream = createServer(socket => socket.on('error', () => socket.destroy()).pipe(socket));
const children: ChildProcess[] = [];
let target = '';
let port = 0;
let health = 0;

before(async () => {
  upstream.listen(0, '127.0.0.1');
  await once(upstream, 'listening');
  target = `127.0.0.1:${(upstream.address() as AddressInfo).port}`;
  [port, health] = (await freePorts(2)) as [number, number];
  const places = { listen: `127.0.0.1:${port}`, health: `127.0.0.1:${health}` };
  writeFileSync(file, JSON.stringify({ ...places, upstreams: [target], drainSeconds: 1 }));
});
after(() => {
  for (const child of children) child.kill('SIGKILL');
  upstream.close();
  rmSync(folder, { recursive: true });
});

const args = (...rest: string[]): string[] => ['--conditions=drawbridge-source', commandFile, 'relay', ...rest];

async function start(): Promise<{ child: ChildProcess; lines: string[]; ended: Promise<unknown[]> }> {
  const child = spawn(process.execPath, args('--config', file), { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  const lines: string[] = [];
  const listening = Promise.withResolvers<void>();
  createInterface(child.stdout).on('line', line => {
    lines.push(line);
    if (line.includes('"listening"')) listening.resolve();
  });
  await listening.promise;
  return { child, lines, ended: once(child, 'exit') };
}

async function tunnel(): Promise<ReturnType<typeof connect>> {
  const socket = connect(port, '127.0.0.1').on('error', () => {});
  socket.write(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n\r\n`);
  const [answer] = (await once(socket, 'data')) as [Buffer];
  assert.match(answer.toString(), /^HTTP\/1\.1 200 /);
  return socket;
}

const get = async (path: string): Promise<[number, string]> => {
  const response = await fetch(`http://127.0.0.1:${health}${path}`);
  return [response.status, await response.text()];
};

test('check says what is good and what is not, with its exit code', () => {
  const check = (...rest: string[]): { status: number | null; stdout: string; stderr: string } =>
    spawnSync(process.execPath, args('check', ...rest), { encoding: 'utf8' });
  const good = check('--config', file);
  assert.equal(good.status, 0);
  assert.match(good.stdout, new RegExp(`ok    upstream ${target.replaceAll('.', '\\.')} answers`));
  const gone = check('--listen', `127.0.0.1:${port}`, '--upstream', '127.0.0.1:9');
  assert.equal(gone.status, 1);
  assert.match(gone.stderr, /upstream 127\.0\.0\.1:9 is out of reach \(ECONNREFUSED\)/);
  assert.equal(check('--upstream', 'nothing').status, 2);
});

test('it tells its health and numbers; SIGTERM ends tunnels within the time and the exit code is 0', async () => {
  const { child, lines, ended } = await start();
  const socket = await tunnel();
  socket.write('hello');
  assert.equal(String((await once(socket, 'data'))[0]), 'hello');
  assert.deepEqual(await get('/healthz'), [200, '{"status":"ok"}']);
  assert.equal((await get('/readyz'))[0], 200);
  const [, metrics] = await get('/metrics');
  assert.match(metrics, /^drawbridge_relay_tunnels 1$/m);
  assert.match(metrics, /^drawbridge_relay_bytes_total 10$/m);
  assert.equal((await get('/other'))[0], 404);
  const closed = once(socket.resume(), 'close');
  child.kill('SIGTERM');
  await closed;
  assert.deepEqual(await ended, [0, null]);
  assert.deepEqual(
    lines.map(line => (JSON.parse(line) as { event: string }).event),
    ['listening', 'stopping', 'stopped'],
  );
  assert(!lines.slice(1).join('').includes('127.0.0.1'), 'no address of a client');
});

test('SIGHUP reads the file again: other upstreams and limits at once, a faulty file changes nothing', async () => {
  const { child, lines, ended } = await start();
  const before = readFileSync(file, 'utf8');
  const stays = await tunnel();
  const said = async (event: string, count = 1): Promise<Record<string, string>> => {
    for (;;) {
      const found = lines
        .map(line => JSON.parse(line) as Record<string, string>)
        .filter(line => line['event'] === event);
      if (found.length >= count) return found.at(-1)!;
      await once(child.stdout!, 'data');
    }
  };
  writeFileSync(file, '{"upstreams": 7}');
  child.kill('SIGHUP');
  assert.match((await said('reload-refused'))['next']!, /mend it, and send SIGHUP again/);
  stays.write('still');
  assert.equal(String((await once(stays, 'data'))[0]), 'still');
  const other = createServer(socket => socket.end('other'));
  other.listen(0, '127.0.0.1');
  await once(other, 'listening');
  const place = `127.0.0.1:${(other.address() as AddressInfo).port}`;
  const closed = once(stays.resume(), 'close');
  writeFileSync(file, JSON.stringify({ ...JSON.parse(before), listen: '127.0.0.1:1', upstreams: [place] }));
  child.kill('SIGHUP');
  await said('reloaded');
  await closed;
  assert.equal((await said('reload-needs-restart'))['key'], 'listen');
  const gone = connect(port, '127.0.0.1').on('error', () => {});
  gone.write(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n\r\n`);
  assert.match(String((await once(gone, 'data'))[0]), /^HTTP\/1\.1 403 /);
  const there = connect(port, '127.0.0.1').on('error', () => {});
  there.write(`CONNECT ${place} HTTP/1.1\r\nHost: ${place}\r\n\r\n`);
  assert.match(String((await once(there, 'data'))[0]), /^HTTP\/1\.1 200 /);
  for (const socket of [gone, there]) socket.destroy();
  writeFileSync(file, before);
  child.kill('SIGTERM');
  assert.deepEqual(await ended, [0, null]);
  other.close();
});

test('killed, it is started again on the same port, and serves; Ctrl-C ends it in order', async () => {
  const first = await start();
  const socket = await tunnel();
  first.child.kill('SIGKILL');
  await once(socket.resume(), 'close');
  await first.ended;
  const second = await start();
  (await tunnel()).destroy();
  second.child.kill('SIGINT');
  assert.deepEqual(await second.ended, [0, null]);
});
