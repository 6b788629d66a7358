// Whose connections a provider's own port holds: one address has a share, and the longest idle one gives way. With and without TLS.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { createDevelopmentAuthority } from '@drawbridge/identity/development-certificates';
import { createServers, type ListenOptions } from './server.ts';

const share = 3;

async function open(t: TestContext, isTls: boolean, options: Partial<ListenOptions> = {}) {
  const authority = createDevelopmentAuthority({ nowMs: Date.now() });
  const tls = authority.issue(['localhost']);
  const servers = createServers((_request, response) => void response.end('served'));
  t.after(() => servers.close());
  const { port } = await servers.listen({
    ...{ host: '127.0.0.1', port: 0, connectionsPerAddress: share },
    ...(isTls ? { tls } : {}),
    ...options,
  });
  const sockets: Socket[] = [];
  t.after(() => sockets.forEach(socket => socket.destroy()));
  const dial = async (localAddress = '127.0.0.1'): Promise<Socket> => {
    const raw = connect({ host: '127.0.0.1', port, localAddress });
    const socket = isTls ? connectTls({ socket: raw, ca: authority.ca, servername: 'localhost' }) : raw;
    sockets.push(socket);
    socket.on('error', () => undefined);
    await once(socket, isTls ? 'secureConnect' : 'connect');
    return socket;
  };
  const asks = async (socket: Socket): Promise<string> => {
    socket.write('GET / HTTP/1.1\r\nhost: localhost\r\n\r\n');
    const [answer] = (await once(socket, 'data')) as [Buffer];
    return answer.toString().split('\r\n', 1)[0]!;
  };
  return { dial, asks };
}

for (const isTls of [false, true]) {
  test(`${isTls ? 'TLS' : 'plain'}: one address has a share, of which the longest idle gives way; others are served`, async t => {
    const { dial, asks } = await open(t, isTls);
    const first: Socket[] = [];
    for (let i = 0; i < share; i++) first.push(await dial());
    const isOver = once(first[1]!, 'close');
    // Asked last, so that another is idle for longer.
    assert.match(await asks(first[0]!), /200 OK/);
    const next = await dial();
    await isOver;
    assert.match(await asks(next), /200 OK/);
    assert.match(await asks(first[0]!), /200 OK/);
    assert.match(await asks(await dial('127.0.0.2')), /200 OK/);
  });
}

test('behind a reverse proxy all have its connections', async t => {
  const { dial, asks } = await open(t, false, { isProxy: address => address === '127.0.0.1' });
  const all: Socket[] = [];
  for (let i = 0; i < 3 * share; i++) all.push(await dial());
  for (const socket of all) assert.match(await asks(socket), /200 OK/);
});
