// A way that an app opens: bytes both ways, pressure, ends and errors as with a socket of the system.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type Duplex, duplexPair } from 'node:stream';
import { test } from 'node:test';
import { type ConnectSocket, openSocket } from './connect-socket.ts';

const place = { host: 'citadel.example', port: 5223 };

/** What the app opens, its other end, and the places that were asked for. */
function opener(): { connectSocket: ConnectSocket; near: Duplex; far: Duplex; asked: string[] } {
  const [near, far] = duplexPair();
  const asked: string[] = [];
  return {
    asked,
    near,
    far,
    connectSocket: async ({ host, port }) => {
      asked.push(`${host}:${port}`);
      return near;
    },
  };
}

test('bytes go both ways once it is open, and each end reaches the other side', async () => {
  const { connectSocket, far, asked } = opener();
  const socket = openSocket(place, connectSocket);
  socket.write('before it is open');
  await once(socket, 'connect');
  assert.deepEqual(asked, ['citadel.example:5223']);
  assert.equal(String(await once(far, 'data')), 'before it is open');
  far.write('answer');
  assert.equal(String(await once(socket, 'data')), 'answer');
  const ended = once(far, 'end');
  socket.end();
  await ended;
  far.end();
  await once(socket, 'close');
});

test('who does not read is not written to without bound', async () => {
  const { connectSocket, far } = opener();
  const socket = openSocket(place, connectSocket);
  await once(socket, 'connect');
  const piece = Buffer.alloc(16_384);
  let pieces = 0;
  while (far.write(piece)) {
    pieces++;
    await new Promise(setImmediate);
    assert(pieces < 1_000, 'nothing pressed back');
  }
  let read = 0;
  socket.on('data', (chunk: Buffer) => (read += chunk.length));
  await once(far, 'drain');
  while (read < (pieces + 1) * piece.length) await once(socket, 'data');
});

test('what the app could not open, or what is not a stream, ends it with an error', async () => {
  const refused = openSocket(place, () => Promise.reject(new Error('no way')));
  const [error] = (await once(refused, 'error')) as [Error];
  assert.equal(error.message, 'no way');
  const odd = openSocket(place, (() => Promise.resolve('a socket')) as unknown as ConnectSocket);
  assert.match(String((await once(odd, 'error'))[0]), /Duplex/);
  const thrown = openSocket(place, () => {
    throw new Error('thrown');
  });
  assert.match(String((await once(thrown, 'error'))[0]), /thrown/);
});

test('a way that breaks breaks it, and one that is not wanted any more is called off', async () => {
  const { connectSocket, near } = opener();
  const socket = openSocket(place, connectSocket);
  await once(socket, 'connect');
  near.destroy(new Error('cut'));
  assert.match(String((await once(socket, 'error'))[0]), /cut/);

  const opening = Promise.withResolvers<Duplex>();
  let signal: AbortSignal | undefined;
  const unwanted = openSocket(place, (_, given) => {
    signal = given;
    return opening.promise;
  });
  await new Promise(setImmediate);
  unwanted.destroy();
  const [late] = duplexPair();
  opening.resolve(late);
  await once(late, 'close');
  assert.equal(signal?.aborted, true);
});
