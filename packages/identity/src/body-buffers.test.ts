import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, get, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import { discard, pump, readBuffer } from './body-buffers.ts';

let serve: (request: IncomingMessage, response: ServerResponse) => void;
const server = createServer((request, response) => serve(request, response));
before(() => once(server.listen(0, '127.0.0.1'), 'listening'));
after(() => {
  server.close();
  server.closeAllConnections();
});
const at = () => ({ host: '127.0.0.1', port: (server.address() as AddressInfo).port, agent: false as const });

const pieceBytes = 100_000;
async function* pieces(count: number, made: Uint8Array[] = []): AsyncGenerator<Uint8Array> {
  for (let i = 0; i < count; i += 1) {
    made.push(Buffer.allocUnsafeSlow(pieceBytes).fill(i + 1));
    yield made.at(-1)!;
  }
}

test('what is its own buffer is freed; a part of another stays', () => {
  const own = new Uint8Array(10).fill(1);
  const large = new Uint8Array(10).fill(1);
  discard(large.subarray(1));
  discard(large.subarray(0, 9));
  discard(own);
  assert.deepEqual([own.length, large.length, large[9]], [0, 10, 1]);
  discard(own);
});

test('a body arrives whole, in whatever pieces it is read, and nothing of it stays', async () => {
  const made: Uint8Array[] = [];
  serve = (_request, response) => void pump(Readable.from(pieces(30, made)), response);
  const sent = request({ ...at(), ...readBuffer() });
  sent.end();
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  // Slower than it comes, so that the connection pauses in between.
  await new Promise(resolve => setTimeout(resolve, 50));
  const got = await buffer(response);
  assert.equal(got.length, 30 * pieceBytes);
  for (let i = 0; i < 30; i += 1) {
    assert.ok(got.subarray(i * pieceBytes, (i + 1) * pieceBytes).every(byte => byte === i + 1));
  }
  assert.ok(made.every(piece => piece.length === 0));
});

test('either end that breaks ends the other', async () => {
  const ended = Promise.withResolvers<unknown>();
  const endless = Readable.from(pieces(100_000));
  serve = (_request, response) => void pump(endless, response).then(ended.resolve, ended.reject);
  const reader = get(at(), response => response.once('data', () => response.destroy()));
  reader.on('error', () => {});
  await assert.rejects(ended.promise);
  assert.ok(endless.destroyed);

  async function* broken(): AsyncGenerator<Uint8Array> {
    yield* pieces(1);
    throw new Error('the storage failed');
  }
  serve = (_request, response) => {
    response.setHeader('content-length', '1000000');
    pump(Readable.from(broken()), response).catch(() => {});
  };
  const [response] = (await once(get(at()), 'response')) as [IncomingMessage];
  await assert.rejects(buffer(response), 'the missing end tells');

  const late = Readable.from(pieces(1));
  serve = (request, response) => {
    request.socket.destroy();
    response.once('close', () => void pump(late, response).then(ended.resolve, () => late.emit('refused')));
  };
  const refused = once(late, 'refused');
  get(at()).on('error', () => {});
  await refused;
  assert.ok(late.destroyed);
});
