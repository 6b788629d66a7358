// Names against a DNS server of the test's own: slow ones hold up nobody, the hosts file goes first.
import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { createNameResolver, parseHosts } from './resolve-name.ts';

/** Answers A questions with 192.0.2.1 and AAAA ones with nothing; names that begin with `slow` get no answer. */
async function nameServer(t: TestContext): Promise<{ address: string; asked: string[] }> {
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
    const answer = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]);
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
