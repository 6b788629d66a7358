// Bodies of real requests: a declared length costs nothing, what came counts, and a crowd of equal holders keeps no honest
// body out. Whose a request is stands in a header here.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { BodyBudget, type BodyPlace } from './body-budget.ts';

const kib = 1024;
const maxBodyBytes = 512 * kib;
const limits = { httpBodyMebibytes: 4, httpBodyMebibytesPerAddress: 1, httpBodyMebibytesPerSite: 2 };

async function scene(t: TestContext) {
  const bodies = new BodyBudget(limits, maxBodyBytes);
  const server = createServer((request, response) => {
    const release = bodies.admit(request, String(request.headers['x-party']), (place: BodyPlace) => {
      if (place !== 'taken') return void response.writeHead(503, { 'content-length': place.length }).end(place);
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const text = `${Buffer.concat(chunks).length}`;
        response.writeHead(200, { 'content-length': text.length }).end(text);
      });
      request.on('error', () => undefined);
      return undefined;
    });
    response.once('close', release);
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const open = (party: string, declared: number, sent: number): Socket => {
    const socket = connect(port, '127.0.0.1').on('error', () => undefined);
    socket.write(
      `POST / HTTP/1.1\r\nHost: x\r\nX-Party: ${party}\r\nContent-Length: ${declared}\r\nConnection: close\r\n\r\n`,
    );
    socket.write(Buffer.alloc(sent, 120));
    t.after(() => socket.destroy());
    return socket;
  };
  /** The answer's status and body; empty when it was cut. */
  const post = async (party: string, sizeBytes: number): Promise<string> => {
    let text = '';
    for await (const chunk of open(party, sizeBytes, sizeBytes) as AsyncIterable<Buffer>) text += chunk.toString();
    return text === '' ? '' : `${text.slice(9, 12)} ${text.split('\r\n\r\n')[1]}`;
  };
  const until = async (what: string, holds: () => boolean): Promise<void> => {
    for (let i = 0; !holds(); i++) {
      assert(i < 500, `${what}: ${bodies.bytes} bytes`);
      await new Promise(resolve => setTimeout(resolve, 10));
    }
  };
  return { bodies, open, post, until };
}

test('a declared length costs nothing until bytes come, and then what came, in steps', async t => {
  const { bodies, open, post, until } = await scene(t);
  for (let i = 0; i < 100; i++) open(`198.51.100.${i}`, maxBodyBytes, 0);
  open('203.0.113.1', maxBodyBytes, 1);
  await until('a step', () => bodies.bytes === 16 * kib);
  open('203.0.113.2', maxBodyBytes, 17 * kib);
  await until('two steps more', () => bodies.bytes === 48 * kib);
  assert.equal(await post('192.0.2.1', maxBodyBytes), `200 ${maxBodyBytes}`);
  await until('it is over', () => bodies.bytes === 48 * kib);
});

test('all is full of equal half-sent bodies of many parties: an honest full-size body is read all the same', {
  timeout: 60_000,
}, async t => {
  const { bodies, open, post, until } = await scene(t);
  for (let i = 0; i < 8; i++) open(`2001:db8:${i}:1`, maxBodyBytes, maxBodyBytes - 1);
  await until('it is full', () => bodies.bytes === 4 * kib * kib);
  await new Promise(resolve => setTimeout(resolve, 1_100));
  for (let i = 0; i < 3; i++) assert.equal(await post('192.0.2.1', maxBodyBytes), `200 ${maxBodyBytes}`);
  assert.ok(bodies.bytes <= 4 * kib * kib);
});

test('a share is one address’s and one /48’s, whatever else is free', async t => {
  const { bodies, open, post, until } = await scene(t);
  for (const _ of [1, 2]) open('2001:db8:1:1', maxBodyBytes, maxBodyBytes - 1);
  await until('its share', () => bodies.bytes === kib * kib);
  assert.equal(await post('2001:db8:1:1', 2), '503 share-full');
  for (const _ of [1, 2]) open('2001:db8:1:2', maxBodyBytes, maxBodyBytes - 1);
  await until("the site's share", () => bodies.bytes === 2 * kib * kib);
  assert.equal(await post('2001:db8:1:3', 2), '503 share-full');
  assert.equal(await post('2001:db8:2:1', maxBodyBytes), `200 ${maxBodyBytes}`);
});
