// A client that comes back on TLS shows a ticket of an earlier connection, once, and gets through where nobody knows it.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { ensureDevPki } from '@drawbridge/cli/dev-pki';
import { tcpTransport } from '@drawbridge/client/connection/transport-tcp';
import type { Transport } from '@drawbridge/client/connection/transport';

const domain = 'citadel.localhost';

async function certificates(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-tls-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const { certFile, keyFile, caFile } = await ensureDevPki(folder, [domain]);
  return { cert: readFileSync(certFile), key: readFileSync(keyFile), ca: readFileSync(caFile, 'utf8') };
}

/** Says one word to each client and waits until it has gone; tells which of them resumed. */
async function listen(t: TestContext, options: { cert: Buffer; key: Buffer }) {
  const resumed: boolean[] = [];
  const server: Server = createServer({ ...options, ALPNProtocols: ['xmpp-client'] }, (socket: TLSSocket) => {
    resumed.push(socket.isSessionReused());
    socket.on('error', () => {});
    socket.on('data', () => socket.end('</stream:stream>'));
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  return { server, resumed, port: (server.address() as AddressInfo).port };
}

async function connectOnce(connect: ReturnType<typeof tcpTransport>): Promise<Transport> {
  const ended = Promise.withResolvers<void>();
  const transport: Transport = connect({
    domain,
    proof: () => Promise.resolve(''),
    emit: event => {
      if (event.kind === 'connected') transport.sendHeader(domain);
      if (event.kind === 'disconnected') ended.resolve();
    },
  });
  await ended.promise;
  return transport;
}

test('a client that comes back resumes its TLS session; a server that does not know the ticket shakes hands in full', async t => {
  const { ca, ...certificate } = await certificates(t);
  const { server, resumed, port } = await listen(t, certificate);
  const connect = tcpTransport({ host: '127.0.0.1', port, security: 'direct-tls', ca });
  // A full handshake brings two tickets; Node's server gives none on a resumed connection.
  for (let i = 0; i < 4; i++) await connectOnce(connect);
  assert.deepEqual(resumed, [false, true, true, false]);
  // As after a restart.
  server.setTicketKeys(randomBytes(48));
  for (let i = 0; i < 2; i++) await connectOnce(connect);
  assert.deepEqual(resumed.slice(4), [false, true]);
});

test('a ticket does not lead past a certificate: an impostor on the same port is refused', async t => {
  const { ca, ...certificate } = await certificates(t);
  const { server, resumed, port } = await listen(t, certificate);
  const connect = tcpTransport({ host: '127.0.0.1', port, security: 'direct-tls', ca });
  await connectOnce(connect);
  const { ca: _, ...foreign } = await certificates(t);
  server.setSecureContext(foreign);
  const transport = await connectOnce(connect);
  assert.equal(transport.failure?.code, 'certificate-refused');
  assert.equal(resumed.includes(true), false);
});
