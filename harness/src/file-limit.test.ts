// A gatekeeper that may have few files open holds as many connections as fit, says to the others that they come again
// later, and serves those that it holds and the operator all the while.
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { after, before, test } from 'node:test';
import { connectionRoom } from '@drawbridge/gatekeeper/file-limit';
import { type RunningSandbox, startSandboxWithin } from './running-sandbox.ts';

const maxFiles = 240;
const header =
  "<stream:stream to='localhost' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

let sandbox: RunningSandbox;
before(async () => {
  sandbox = await startSandboxWithin(maxFiles, 2, '--no-tls');
});
after(() => sandbox.stop());

type Client = { readonly socket: Socket; text: string; isClosed: boolean };

async function open(port: number): Promise<Client> {
  const socket = connect({ host: '127.0.0.1', port });
  const client: Client = { socket, text: '', isClosed: false };
  socket.on('data', (chunk: Buffer) => (client.text += chunk.toString()));
  socket.on('error', () => {});
  socket.on('close', () => (client.isClosed = true));
  await new Promise(resolve => socket.once('connect', resolve));
  return client;
}

async function until(what: string, holds: () => boolean): Promise<void> {
  for (let i = 0; i < 500 && !holds(); i++) await new Promise(resolve => setTimeout(resolve, 10));
  assert.ok(holds(), what);
}

test('connections beyond the files are refused in order, and there is room again', { timeout: 60_000 }, async () => {
  const { ports } = sandbox.ready;
  const { connections } = connectionRoom({ streams: 200_000, mediaFetches: 256 }, maxFiles);
  assert.ok(connections > 100 && connections < maxFiles);
  const clients: Client[] = [];
  for (let i = 0; i < maxFiles + 60; i++) clients.push(await open(ports.xmpp));
  const refused = (): Client[] => clients.filter(each => each.isClosed);
  await until('those that do not fit are closed', () => refused().length >= clients.length - connections);
  assert.equal(clients.length - refused().length, connections);
  const told = refused().filter(each => each.text.endsWith('</stream:error></stream:stream>'));
  assert.ok(told.length >= 64, `${told.length} were told`);
  for (const { text } of told) assert.match(text, /<resource-constraint /);

  // The operator gets in, and those who are there are served.
  assert.equal((await fetch(`http://127.0.0.1:${ports.admin}/readyz`)).status, 200);
  const held = clients.filter(each => !each.isClosed);
  for (const { socket } of held) socket.write(header);
  await until('all who are there are answered', () => held.every(each => each.text.includes('</stream:features>')));

  for (const { socket } of held.slice(0, 10)) socket.destroy();
  await new Promise(resolve => setTimeout(resolve, 300));
  const later = await open(ports.xmpp);
  later.socket.write(header);
  await until('there is room again', () => later.text.includes('</stream:features>'));
  for (const { socket } of [...clients, later]) socket.destroy();
});
