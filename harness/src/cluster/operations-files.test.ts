// The files under `operations/` for several nodes: the configurations are good, and two real nodes stand behind a real HAProxy
// with the file as it is, but for names and ports.
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '@drawbridge/client';
import { parseConfig } from '@drawbridge/gatekeeper/config';
import { natsAbsence } from '../nats-server.ts';
import { postgresAbsence } from '../postgres-server.ts';
import { type Front, startClusterNetwork } from './network.ts';

const operations = new URL('../../../operations/', import.meta.url);
const read = (name: string): string => readFileSync(new URL(name, operations), 'utf8');

function haproxyAbsence(): string | undefined {
  return spawnSync('haproxy', ['-v']).error === undefined
    ? undefined
    : 'HAProxy is not installed (apt-get install haproxy)';
}

test('the configurations of compose and Kubernetes are good', () => {
  const manifest = read('kubernetes/gatekeeper.yaml');
  const indented = /gatekeeper\.json: \|\n((?: {4}.*\n)+)/.exec(manifest)![1]!;
  for (const text of [read('compose/gatekeeper.json'), indented]) {
    const parsed = parseConfig(JSON.parse(text), '/etc/drawbridge');
    assert.equal(parsed.kind, 'loaded', parsed.kind === 'refused' ? JSON.stringify(parsed.errors) : '');
  }
});

test('all keys that nodes share are named where they are copied', () => {
  for (const name of ['compose/compose.yaml', 'kubernetes/gatekeeper.yaml']) {
    for (const file of ['compact-keys.json', 'event-keys.json', 'media-grant-key', 'stamp-secret', 'admin-token']) {
      assert(read(name).includes(file), `${name} says nothing of ${file}`);
    }
  }
});

test('NATS takes its file', { skip: natsAbsence() ?? false }, () => {
  execFileSync('nats-server', ['-t', '-c', new URL('compose/nats.conf', operations).pathname], { stdio: 'ignore' });
});

/** The file of compose, with this network's places. */
const haproxy: Front = async ({ hosts, ports, healthPort }) => {
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-haproxy-'));
  const places: Record<string, number> = { 5222: ports.xmpp, 5223: ports.xmpps, 5224: ports.compact, 8443: ports.http };
  let text = read('compose/haproxy.cfg')
    .replace(' resolvers docker init-addr none', '')
    .replace('maxconn 200000', 'maxconn 2000')
    .replace('check port 9321', `check port ${healthPort}`)
    .replaceAll(/bind :(\d+)/g, (_, port: string) => `bind 127.0.0.1:${places[port]}`)
    .replaceAll(/node-([12]):(\d+)/g, (_, node: string, port: string) => `${hosts[Number(node) - 1]}:${places[port]}`);
  text += `\nlisten websocket\n    bind 127.0.0.1:${ports.websocket}\n`;
  for (const [i, host] of hosts.entries()) text += `    server node-${i + 1} ${host}:${ports.websocket}\n`;
  const file = join(folder, 'haproxy.cfg');
  writeFileSync(file, text);
  const child: ChildProcess = spawn('haproxy', ['-db', '-f', file], { stdio: 'ignore' });
  const end = Date.now() + 10_000;
  while (!(await answers(ports.http))) {
    assert(Date.now() < end && child.exitCode === null, 'HAProxy did not start');
    await sleep(50);
  }
  // A node counts from its second good answer on.
  await sleep(3_000);
  return {
    async close() {
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
      rmSync(folder, { recursive: true });
    },
  };
};

function answers(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

const absence = postgresAbsence() ?? natsAbsence() ?? haproxyAbsence();
if (absence !== undefined) console.warn(`SKIPPED: two nodes behind HAProxy: ${absence}`);
test('two nodes behind HAProxy: people on both reach each other, and outlive a node', {
  skip: absence ?? false,
}, async t => {
  const network = await startClusterNetwork(2, haproxy);
  t.after(() => network.close());
  const people: Client[] = [];
  for (const identifier of ['anna', 'bob', 'carl', 'dora']) {
    const client = await network.open(identifier);
    await client.account.enlist();
    await client.connect();
    people.push(client);
  }
  const connected = async (node: number): Promise<number> =>
    (await network.admin(node, 'GET', '/streams'))['connected'] as number;
  assert.deepEqual([await connected(0), await connected(1)], [2, 2], 'shared between the nodes');
  const [anna, ...others] = people;
  const heard = others.map(client => {
    const texts: string[] = [];
    void (async () => {
      for await (const message of client.messages()) texts.push(message.text ?? '');
    })().catch(() => undefined);
    return texts;
  });
  const names = ['bob', 'carl', 'dora'];
  const sent = Array.from({ length: 20 }, (_, i) => String(i));
  for (const text of sent) {
    if (text === '10') await network.nodes[1]!.kill('SIGKILL');
    for (const identifier of names) await anna!.send({ provider: 'citadel.example', identifier }, { text });
  }
  const end = Date.now() + 60_000;
  while (heard.some(texts => texts.length < sent.length) && Date.now() < end) await sleep(50);
  await sleep(500);
  for (const texts of heard) assert.deepEqual(texts, sent);
});
