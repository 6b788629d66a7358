// Names against a DNS server of the test's own: slow ones hold up nobody, the hosts file goes first.
import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { createDevelopmentAuthority } from './development-certificates.ts';
import { createEgress } from './egress.ts';
import { generateSigningKey, publicJwk } from './jwk.ts';
import { createKeySet, type KeySet } from './key-set.ts';
import { createNameResolver, parseHosts } from './resolve-name.ts';

/** Answers A questions with 192.0.2.1, or this other address, and AAAA ones with nothing; names that begin with `slow` get no answer. */
async function nameServer(
  t: TestContext,
  ip: readonly number[] = [192, 0, 2, 1],
): Promise<{ address: string; asked: string[] }> {
  const socket: Socket = createSocket('udp4');
  const asked: string[] = [];
  socket.on('message', (question, from) => {
    const labels: string[] = [];
    let at = 12;
    while (question[at] !== 0) {
      labels.push(question.toString('latin1', at + 1, at + 1 + question[at]!));
      at += question[at]! + 1;
    }
    const end = at + 5;
    asked.push(labels.join('.'));
    if (labels[0]!.startsWith('slow')) return;
    const isA = question.readUInt16BE(at + 1) === 1;
    const header = Buffer.from(question.subarray(0, 12));
    header.writeUInt16BE(0x8180, 2);
    header.writeUInt16BE(isA ? 1 : 0, 6);
    header.writeUInt32BE(0, 8);
    const answer = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, ...ip]);
    socket.send(Buffer.concat([header, question.subarray(12, end), ...(isA ? [answer] : [])]), from.port, from.address);
  });
  await new Promise<void>(resolve => socket.bind(0, '127.0.0.1', resolve));
  t.after(() => socket.close());
  return { address: `127.0.0.1:${socket.address().port}`, asked };
}

test('names whose servers never answer hold up no other, and end in time', { timeout: 30_000 }, async t => {
  const { address } = await nameServer(t);
  const resolve = createNameResolver({ servers: [address], hostsFile: '/nonexistent', timeoutMs: 2_000 });
  let slowDone = 0;
  const slow = Array.from({ length: 64 }, (_, i) =>
    resolve(`slow${i}.example`).then(
      () => assert.fail('there is no answer'),
      () => slowDone++,
    ),
  );
  assert.deepEqual(await resolve('fast.example'), ['192.0.2.1']);
  assert.equal(slowDone, 0, 'the fast one was answered while all others wait');
  await Promise.all(slow);
});

test('key sets of issuers whose names nobody answers hold up no other key set', { timeout: 30_000 }, async t => {
  const { address } = await nameServer(t, [127, 0, 0, 1]);
  const authority = createDevelopmentAuthority({ nowMs: Date.now() });
  const server = createServer(authority.issue(['fast.example']), (request, response) => {
    const isKeys = request.url === '/jwks';
    response.end(JSON.stringify(isKeys ? { keys: [publicJwk(key)] } : { issuer, jwks_uri: `${issuer}/jwks` }));
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const key = generateSigningKey('ES256');
  const issuer = `https://fast.example:${(server.address() as AddressInfo).port}`;
  const allow = { addresses: ['127.0.0.1'], ca: authority.ca };
  const egress = createEgress({ allow, nameServers: [address], limits: { maxConcurrent: 200 } });
  t.after(() => egress.close());
  const nowMs = (): number => performance.now();
  const open = (name: string): KeySet => createKeySet({ issuer: name, fetch: egress.fetch, nowMs });
  let deadDone = 0;
  const dead = Array.from({ length: 64 }, (_, i) =>
    open(`https://slow${i}.example`)
      .findKey('any')
      .then(found => {
        assert.equal(found.kind, 'unavailable');
        deadDone++;
      }),
  );
  const found = await open(issuer).findKey(key.kid);
  assert.equal(found.kind, 'found');
  assert.equal(deadDone, 0, 'it was fetched while all others wait');
  await Promise.all(dead);
});

test('the hosts file goes first, also when it changes; localhost is loopback; nothing else is made up', async t => {
  const { address, asked } = await nameServer(t);
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-hosts-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const hostsFile = join(folder, 'hosts');
  writeFileSync(hostsFile, '127.0.0.9 media.test # ours\n');
  const resolve = createNameResolver({ servers: [address], hostsFile });
  assert.deepEqual(await resolve('Media.Test.'), ['127.0.0.9']);
  assert.deepEqual(await resolve('localhost'), ['127.0.0.1', '::1']);
  assert.deepEqual(await resolve('a.localhost'), ['127.0.0.1', '::1']);
  assert.deepEqual(asked, []);
  assert.deepEqual(await resolve('other.test'), ['192.0.2.1']);
  assert.deepEqual(parseHosts('::1 a b\n#x y\n127.0.0.1 A\n\t\n').get('a'), ['::1', '127.0.0.1']);
});
