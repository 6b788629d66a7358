// Our Noise Pipes against a foreign implementation (dissononce, Debian's python3-dissononce), in every pattern and role.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { isNoiseError, type NoiseError } from '@drawbridge/noise/errors';
import { generatePrivateKey, keyPairFromPrivateKey, nodeSuite } from '@drawbridge/noise/node-crypto';
import { type PipeTransport, startInitiator, startResponder } from '@drawbridge/noise/pipes';

const python = '/usr/bin/python3';
const script = join(import.meta.dirname, 'noise_peer.py');
const installed = spawnSync(python, ['-c', 'import dissononce']).status === 0;
const skip = installed ? false : 'SKIPPED: python3-dissononce is not installed (apt-get install python3-dissononce)';
if (skip !== false) console.error(`noise-peer: ${skip}`);

const suite = nodeSuite('AESGCM', 'SHA256');
const prologue = Buffer.from([0x44, 0x42, 1, 1]);
const payload = Buffer.from('the ownership proof');
const certificate = Buffer.from('the certificate');
const frame = Buffer.alloc(500, 7);

type Answer = { readonly data?: string; readonly error?: string };

/** The Python process; one command, one answer. */
function startPeer() {
  const child = spawn(python, [script, 'serve'], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const command = async (op: string, fields: Record<string, unknown> = {}): Promise<Answer> => {
    child.stdin.write(`${JSON.stringify({ op, ...fields })}\n`);
    const line = await lines.next();
    assert.ok(line.done !== true, 'the Python peer has ended');
    return JSON.parse(line.value) as Answer;
  };
  return {
    command,
    /** A command on bytes that must give bytes. */
    async call(op: string, data: Uint8Array = new Uint8Array(0)): Promise<Buffer> {
      const answer = await command(op, { data: Buffer.from(data).toString('hex') });
      assert.equal(answer.error, undefined);
      return Buffer.from(answer.data ?? '', 'hex');
    },
    stop: () => child.stdin.end(),
  };
}

type Peer = ReturnType<typeof startPeer>;

function must<T>(value: T): Exclude<T, NoiseError> {
  assert.ok(!isNoiseError(value), JSON.stringify(value));
  return value as Exclude<T, NoiseError>;
}

function newKey() {
  const privateKey = generatePrivateKey();
  return { hex: Buffer.from(privateKey).toString('hex'), pair: keyPairFromPrivateKey(privateKey)! };
}

async function talk(peer: Peer, transport: PipeTransport): Promise<void> {
  assert.deepEqual(await peer.call('hash'), Buffer.from(transport.handshakeHash));
  for (let turn = 0; turn < 4; turn++) {
    if (turn === 2) {
      await peer.call('rekey');
      transport.send.rekey();
      transport.receive.rekey();
    }
    assert.deepEqual(await peer.call('open', must(transport.send.encrypt(frame))), frame);
    assert.deepEqual(Buffer.from(must(transport.receive.decrypt(await peer.call('seal', frame)))), frame);
  }
  const changed = Buffer.from(must(transport.send.encrypt(frame)));
  changed[9]! ^= 1;
  assert.equal((await peer.command('open', { data: changed.toString('hex') })).error, 'decryption-failed');
}

for (const pattern of ['XX', 'IK', 'XXfallback'] as const) {
  test(`${pattern}: we begin, dissononce answers`, { skip, timeout: 20_000 }, async t => {
    const peer = startPeer();
    t.after(peer.stop);
    const theirs = newKey();
    const stale = newKey();
    const known = { XX: undefined, IK: theirs, XXfallback: stale }[pattern]?.pair.publicKey;
    const staticKeyPair = newKey().pair;
    const began = must(startInitiator({ suite, staticKeyPair, remoteStatic: known, prologue, payload }));
    await peer.command('start', {
      pattern: pattern === 'XX' ? 'XX' : 'IK',
      initiator: false,
      static: theirs.hex,
      prologue: prologue.toString('hex'),
    });
    const message = Buffer.from(began.message.subarray(1)).toString('hex');
    const first = await peer.command('read', { data: message });
    if (pattern === 'XXfallback') {
      assert.equal(first.error, 'decryption-failed');
      await peer.command('fallback');
    } else assert.equal(first.data, pattern === 'IK' ? payload.toString('hex') : '');
    const byte = { XX: 1, IK: 2, XXfallback: 3 }[pattern];
    const answer = Buffer.concat([Buffer.from([byte]), await peer.call('write', certificate)]);
    const step = must(began.initiator.read(answer));
    assert.deepEqual(Buffer.from(step.payload), certificate);
    if (step.kind === 'established') return talk(peer, step.transport);
    assert.deepEqual(Buffer.from(step.remoteStatic), Buffer.from(theirs.pair.publicKey));
    const confirmed = must(began.initiator.confirm());
    assert.deepEqual(await peer.call('read', confirmed.message), payload);
    return talk(peer, confirmed.transport);
  });

  test(`${pattern}: dissononce begins, we answer`, { skip, timeout: 20_000 }, async t => {
    const peer = startPeer();
    t.after(peer.stop);
    const theirs = newKey();
    const ours = newKey();
    const known = { XX: undefined, IK: ours, XXfallback: newKey() }[pattern]?.pair.publicKey;
    await peer.command('start', {
      pattern: pattern === 'XX' ? 'XX' : 'IK',
      initiator: true,
      static: theirs.hex,
      prologue: prologue.toString('hex'),
      remoteStatic: known && Buffer.from(known).toString('hex'),
    });
    const responder = must(startResponder({ suites: [suite], staticKeyPairs: [ours.pair], prologue }));
    const message = await peer.call('write', pattern === 'XX' ? new Uint8Array(0) : payload);
    const step = must(responder.read(Buffer.concat([Buffer.from([pattern === 'XX' ? 1 : 2]), message])));
    assert.ok(step.kind !== 'established');
    assert.equal(step.pattern, pattern);
    const reply = must(responder.reply(certificate));
    if (pattern === 'XXfallback') await peer.command('fallback');
    assert.deepEqual(await peer.call('read', reply.message.subarray(1)), certificate);
    if (reply.kind === 'established') return talk(peer, reply.transport);
    const third = must(responder.read(await peer.call('write', payload)));
    assert.ok(third.kind === 'established');
    assert.deepEqual(Buffer.from(third.payload), payload);
    assert.deepEqual(Buffer.from(third.transport.remoteStatic), Buffer.from(theirs.pair.publicKey));
    return talk(peer, third.transport);
  });
}
