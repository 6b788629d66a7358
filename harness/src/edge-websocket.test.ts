// What a WebSocket port says to peers that ask for the wrong thing: a wrong path, no subprotocol, too much in one message.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { startDevGatekeeper } from '@drawbridge/cli/dev-network';
import { ensureDevPki } from '@drawbridge/cli/dev-pki';
import { WebSocket } from 'ws';
import { RawNetwork } from './raw-network.ts';

let network: RawNetwork;
before(async () => {
  network = await RawNetwork.open();
});
after(() => network.close());

async function upgrade(path: string, protocol: string | undefined): Promise<{ status: number; body: string }> {
  const { ca, ports } = network.target;
  const sent = request({
    host: 'localhost',
    port: ports.websocket,
    ca,
    path,
    agent: false,
    headers: {
      connection: 'Upgrade',
      upgrade: 'websocket',
      'sec-websocket-version': '13',
      'sec-websocket-key': Buffer.alloc(16, 1).toString('base64'),
      ...(protocol === undefined ? {} : { 'sec-websocket-protocol': protocol }),
    },
  }).end();
  const [response] = await once(sent, 'response');
  let body = '';
  for await (const chunk of response) body += String(chunk);
  return { status: response.statusCode, body };
}

test('a wrong path and a missing subprotocol are told in words, and the connection ends', async () => {
  const lost = await upgrade('/chat', 'xmpp');
  assert.equal(lost.status, 404);
  assert.match(lost.body, /\/xmpp with subprotocol xmpp/);
  for (const protocol of [undefined, 'mqtt', 'drawbridge-compact']) {
    const wrong = await upgrade('/xmpp', protocol);
    assert.equal(wrong.status, 400);
    assert.match(wrong.body, /subprotocol xmpp/);
  }
});

test('a request that is not an upgrade is told what is served there', { timeout: 30_000 }, async t => {
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-edge-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const pki = await ensureDevPki(join(folder, 'pki'), ['citadel.example']);
  const gatekeeper = await startDevGatekeeper({
    folder: join(folder, 'data'),
    pki,
    domain: 'citadel.example',
    providers: [],
  });
  t.after(() => gatekeeper.close());
  const sent = request({
    host: 'localhost',
    port: gatekeeper.ports.websocket,
    ca: gatekeeper.ca,
    path: '/xmpp',
    agent: false,
  });
  const [response] = await once(sent.end(), 'response');
  let body = '';
  for await (const chunk of response) body += String(chunk);
  assert.equal(response.statusCode, 426);
  assert.equal(response.headers.upgrade, 'websocket');
  assert.match(body, /\/xmpp with subprotocol xmpp/);
});

test('a message above the limit: a stream error, then the close (RFC 7395 section 3.5)', async () => {
  const { ca, ports } = network.target;
  for (const [size, begun] of [
    [400_000, true],
    [400_000, false],
    [50_000_000, true],
  ] as const) {
    const webSocket = new WebSocket(`wss://localhost:${ports.websocket}/xmpp`, 'xmpp', { ca });
    const heard: string[] = [];
    webSocket.on('message', (data: Buffer) => heard.push(data.toString()));
    webSocket.on('error', () => {});
    await once(webSocket, 'open');
    if (begun) {
      webSocket.send("<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='citadel.example' version='1.0'/>");
      while (heard.length < 2) await once(webSocket, 'message');
    }
    const sent = heard.length;
    webSocket.send(' '.repeat(size));
    await once(webSocket, 'close');
    const words = heard.slice(sent).join('');
    assert.match(words, /<stream:error [^>]*><policy-violation /, words);
    assert.match(heard.at(-1)!, /^<close /);
  }
});
