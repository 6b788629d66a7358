// The push example as a provider runs it: a program of its own with the kit, a gatekeeper that asks to wake somebody, and three
// push services. A service that wants a pause gets it, a device that is gone is forgotten, kill -9 loses nobody.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { freePorts } from '@drawbridge/cli/dev-config';
import { createDevelopmentAuthority } from '@drawbridge/identity/development-certificates';
import { generateSigningKey, publicJwk } from '@drawbridge/identity/jwk';
import { issueSecurityEvent } from '@drawbridge/identity/security-event';
import { publicHalf, startApns, startFcm, startWebPush, WebPushDevice } from './push-servers.ts';

const folder = mkdtempSync(join(tmpdir(), 'drawbridge-push-'));
const authority = createDevelopmentAuthority({ nowMs: Date.now() });
const tls = authority.issue(['localhost', '127.0.0.1']);
const program = fileURLToPath(new URL('../../../examples/provider-push.ts', import.meta.url));
const closers: (() => void)[] = [() => rmSync(folder, { recursive: true, force: true })];
after(() => {
  for (const close of closers.reverse()) close();
});

const pem = { format: 'pem', type: 'pkcs8' } as const;
const ecKey = (): string => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export(pem);

/** A gatekeeper reduced to its published keys and its wake-ups. */
async function startGatekeeper(audience: string) {
  const key = generateSigningKey('EdDSA');
  const server = createServer(tls, (_request, response) => response.end(JSON.stringify({ keys: [publicJwk(key)] })));
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  closers.push(() => {
    server.close();
    server.closeAllConnections();
  });
  const issuer = `https://localhost:${(server.address() as AddressInfo).port}`;
  let number = 0;
  const event = (subject: string): Promise<string> =>
    issueSecurityEvent(key, {
      ...{ issuer, audience, subject, issuedAtSeconds: Math.floor(Date.now() / 1000) },
      jti: `event${String(++number).padStart(20, '0')}`,
      event: 'urn:drawbridge:event:wake-up',
    });
  return { issuer, event };
}

/** Starts the program and waits until it listens. */
async function start(variables: Record<string, string>): Promise<ChildProcess> {
  const child = spawn(process.execPath, ['--conditions=drawbridge-source', program], {
    ...{ cwd: folder, env: { ...process.env, ...variables }, stdio: ['ignore', 'pipe', 'inherit'] },
  });
  closers.push(() => child.kill('SIGKILL'));
  for await (const line of createInterface(child.stdout)) if (line.startsWith('listening')) return child;
  throw new Error('the program ended');
}

function send(method: string, url: string, headers: Record<string, string>, body: string): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const sent = request(url, { method, headers, ca: authority.ca }, response => {
    response.resume().once('end', () => resolve(response.statusCode ?? 0));
  });
  sent.once('error', reject).end(body);
  return promise;
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise(resolve => setTimeout(resolve, 20));
}

test('a person with three phones is woken on all of them, through refusals, pauses and a kill -9', async () => {
  const nowMs = Date.now;
  const [apnsKey, webPushKey] = [ecKey(), ecKey()];
  const fcmKey = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export(pem);
  const apnsSettings = { teamId: 'TEAM123456', keyId: 'KEY1234567', topic: 'example.skylark' };
  const account = { project_id: 'skylark', client_email: 'push@skylark.example', private_key_id: 'k1' };
  const tablet = new WebPushDevice();
  const apns = await startApns({ ...apnsSettings, tls, publicKey: publicHalf(apnsKey), nowMs });
  const fcm = await startFcm({
    ...{ tls, projectId: account.project_id, clientEmail: account.client_email, keyId: 'k1', nowMs },
    publicKey: publicHalf(fcmKey),
  });
  const webPush = await startWebPush({ tls, devices: [tablet], nowMs });
  closers.push(apns.close, fcm.close, webPush.close);

  const [port] = await freePorts(1);
  const base = `https://localhost:${port}`;
  const gatekeeper = await startGatekeeper(`${base}/interop`);
  mkdirSync(join(folder, 'pki'));
  for (const [name, text] of Object.entries({
    'ca.pem': authority.ca,
    'server.pem': tls.cert,
    'server-key.pem': tls.key,
  })) {
    writeFileSync(join(folder, 'pki', name), text, { mode: 0o600 });
  }
  const settings = {
    apns: { ...apnsSettings, privateKey: apnsKey, origin: apns.origin },
    fcm: { serviceAccount: { ...account, private_key: fcmKey, token_uri: fcm.tokenUri }, origin: fcm.origin },
    unifiedpush: { privateKey: webPushKey, contact: 'mailto:push@skylark.example' },
    ports: [fcm.port, webPush.port],
  };
  writeFileSync(join(folder, 'push.json'), JSON.stringify(settings));
  const variables = { PORT: String(port), GATEKEEPER: gatekeeper.issuer, TLS: 'pki', PUSH: 'push.json' };
  const first = await start(variables);

  const credentials = { identifier: 'mia', password: 'correct horse' };
  const json = { 'content-type': 'application/json' };
  assert.equal(await send('POST', `${base}/interop/v1/users`, json, JSON.stringify(credentials)), 201);
  const basic = (password: string) => ({ authorization: `Basic ${Buffer.from(`mia:${password}`).toString('base64')}` });
  const put = (device: unknown, password = 'correct horse'): Promise<number> =>
    send('PUT', `${base}/push-device`, basic(password), JSON.stringify(device));
  const phone = 'cd'.repeat(32);
  const address = JSON.stringify(tablet.subscription(webPush.origin));
  assert.equal(await put({ service: 'apns', address: phone }, 'wrong horse'), 401);
  assert.equal(await put({ service: 'constructor', address: phone }), 400);
  assert.equal(await put({ service: 'apns', address: phone }), 204);
  assert.equal(await put({ service: 'fcm', address: 'android-1' }), 204);
  assert.equal(await put({ service: 'unifiedpush', address }), 204);

  const wake = async (): Promise<number> => {
    const type = { 'content-type': 'application/secevent+jwt' };
    return await send('POST', `${base}/interop/v1/wake-ups`, type, await gatekeeper.event('mia'));
  };
  assert.equal(await wake(), 202);
  const told = (): number[] => [apns.told.length, fcm.told.length, webPush.told.length];
  await until(() => told().every(count => count === 1));
  assert.deepEqual([apns.told, fcm.told, webPush.read], [[phone], ['android-1'], ['wake-up']]);

  // The phone has lost the app; Google wants two seconds, which is more than the kit's own first pause.
  apns.answers.push({ status: 410, body: { reason: 'Unregistered' } });
  fcm.answers.push({ status: 503, headers: { 'retry-after': '2' } });
  const startMs = performance.now();
  assert.equal(await wake(), 202);
  await until(() => fcm.told.length === 3);
  assert.ok(performance.now() - startMs >= 1_900, 'asked before the pause was over');
  await until(() => webPush.told.length === 3);
  assert.equal(apns.told.length, 2, 'a phone that is gone is told no more');

  // Killed while the wake-up waits for Google.
  fcm.answers.push({ status: 503, headers: { 'retry-after': '1' } });
  assert.equal(await wake(), 202);
  await until(() => fcm.told.length === 4);
  first.kill('SIGKILL');
  await once(first, 'exit');
  const second = await start(variables);
  await until(() => fcm.told.length === 5);
  second.kill('SIGTERM');
  await once(second, 'exit');
  assert.equal(apns.told.length, 2);
});
