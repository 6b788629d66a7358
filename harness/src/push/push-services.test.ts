// The push examples against services that check what they are sent: tokens are made, kept and renewed, devices that are gone
// are said to be gone, and a service that wants a pause is heard.
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { after, test } from 'node:test';
import { createDevelopmentAuthority } from '@drawbridge/identity/development-certificates';
import { createEgress } from '@drawbridge/identity/egress';
import { PushLater } from '@drawbridge/provider';
import { Apns } from '../../../examples/push-apns.ts';
import { Fcm } from '../../../examples/push-fcm.ts';
import { encryptForDevice, WebPush } from '../../../examples/push-unifiedpush.ts';
import { publicHalf, startApns, startFcm, startWebPush, WebPushDevice } from './push-servers.ts';

const authority = createDevelopmentAuthority({ nowMs: Date.now() });
const tls = authority.issue(['127.0.0.1']);
const closers: (() => void)[] = [];
after(() => {
  for (const close of closers.reverse()) close();
});

const minutes = (count: number): number => count * 60_000;
const ecKey = (): string =>
  generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'pem', type: 'pkcs8' });
const later = (ms: number) => (error: unknown) => error instanceof PushLater && error.afterMs === ms;
/** Loopback on these ports and nothing else. */
function loopback(...ports: readonly number[]) {
  const egress = createEgress({ allow: { addresses: ['127.0.0.1'], ca: authority.ca, ports } });
  closers.push(egress.close);
  return egress.fetch;
}

test('APNs: one connection and one token for many pushes, renewed before its hour and when it is refused', async () => {
  let now = Date.now();
  const privateKey = ecKey();
  const settings = { teamId: 'TEAM123456', keyId: 'KEY1234567', topic: 'example.skylark', nowMs: () => now };
  const server = await startApns({ ...settings, tls, publicKey: publicHalf(privateKey) });
  const apns = new Apns({ ...settings, privateKey, origin: server.origin, ca: authority.ca });
  closers.push(server.close, () => apns.close());
  const device = 'ab'.repeat(32);
  const all = await Promise.all(Array.from({ length: 50 }, () => apns.push(device)));
  assert.deepEqual(new Set(all), new Set(['sent']));
  assert.deepEqual([server.told.length, server.tokens.size, server.sessions()], [50, 1, 1]);
  now += minutes(45);
  assert.equal(await apns.push(device), 'sent');
  assert.equal(server.tokens.size, 1);
  now += minutes(10);
  assert.equal(await apns.push(device), 'sent');
  assert.equal(server.tokens.size, 2);
  // Apple's clock is ahead: the token is over before we think so.
  now += minutes(30);
  server.answers.push({ status: 403, body: { reason: 'ExpiredProviderToken' } });
  assert.equal(await apns.push(device), 'sent');
  assert.equal(server.tokens.size, 3);
  // Renewing at once again would be refused as too often.
  server.answers.push({ status: 403, body: { reason: 'ExpiredProviderToken' } });
  await assert.rejects(apns.push(device), /403 ExpiredProviderToken/);
  assert.equal(server.tokens.size, 3);

  for (const answer of [
    { status: 410, body: { reason: 'Unregistered', timestamp: now } },
    { status: 400, body: { reason: 'BadDeviceToken' } },
    { status: 400, body: { reason: 'DeviceTokenNotForTopic' } },
  ]) {
    server.answers.push(answer);
    assert.equal(await apns.push(device), 'gone');
  }
  const before = server.told.length;
  assert.equal(await apns.push('../../../other'), 'gone');
  assert.equal(server.told.length, before);
  server.answers.push({ status: 429, body: { reason: 'TooManyRequests' } });
  await assert.rejects(apns.push(device), later(60_000));
  server.answers.push({ status: 503, headers: { 'retry-after': '7' }, body: { reason: 'Shutdown' } });
  await assert.rejects(apns.push(device), later(7_000));
  server.answers.push({ status: 500 });
  await assert.rejects(apns.push(device), /500/);
  const wrongKey = new Apns({ ...settings, privateKey: ecKey(), origin: server.origin, ca: authority.ca });
  closers.push(() => wrongKey.close());
  await assert.rejects(wrongKey.push(device), /InvalidProviderToken/);
  // A connection that has ended is made again.
  server.hangUp();
  while ((await apns.push(device).catch(() => 'failed')) !== 'sent');
  assert.equal(server.sessions(), 3);
});

test('FCM: one access token for many pushes, renewed before its end and once when it is refused', async () => {
  let now = Date.now();
  const privateKey = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({
    ...{ format: 'pem', type: 'pkcs8' },
  });
  const nowMs = (): number => now;
  const account = { project_id: 'skylark', client_email: 'push@skylark.example', private_key_id: 'k1' };
  const server = await startFcm({
    ...{ tls, projectId: account.project_id, clientEmail: account.client_email, keyId: 'k1', nowMs },
    publicKey: publicHalf(privateKey),
  });
  closers.push(server.close);
  const { origin } = server;
  const serviceAccount = { ...account, private_key: privateKey, token_uri: server.tokenUri };
  const fcm = new Fcm({ serviceAccount, fetch: loopback(server.port), origin, nowMs });
  const all = await Promise.all(Array.from({ length: 50 }, () => fcm.push('device-1')));
  assert.deepEqual(new Set(all), new Set(['sent']));
  assert.deepEqual([server.told.length, server.grants()], [50, 1]);
  now += minutes(58);
  assert.equal(await fcm.push('device-1'), 'sent');
  assert.equal(server.grants(), 1);
  now += minutes(1.5);
  assert.equal(await fcm.push('device-1'), 'sent');
  assert.equal(server.grants(), 2);
  server.revoke();
  const again = await Promise.all(Array.from({ length: 20 }, () => fcm.push('device-1')));
  assert.deepEqual(new Set(again), new Set(['sent']));
  assert.equal(server.grants(), 3);

  const error = (status: string, errorCode: string): object => ({ error: { status, details: [{ errorCode }] } });
  server.answers.push({ status: 404, body: error('NOT_FOUND', 'UNREGISTERED') });
  assert.equal(await fcm.push('device-1'), 'gone');
  server.answers.push({ status: 403, body: error('PERMISSION_DENIED', 'SENDER_ID_MISMATCH') });
  assert.equal(await fcm.push('device-1'), 'gone');
  server.answers.push({ status: 429, headers: { 'retry-after': '30' }, body: error('X', 'QUOTA_EXCEEDED') });
  await assert.rejects(fcm.push('device-1'), later(30_000));
  server.answers.push({ status: 503 });
  await assert.rejects(fcm.push('device-1'), later(60_000));
  server.answers.push({ status: 500 });
  await assert.rejects(fcm.push('device-1'), /500/);
  const stranger = new Fcm({
    ...{ fetch: loopback(server.port), origin, nowMs },
    serviceAccount: { ...serviceAccount, client_email: 'x@example.com' },
  });
  await assert.rejects(stranger.push('device-1'), /no access token: 400/);
});

test("Web Push: RFC 8291's own example comes out to the bit", () => {
  const bytes = (text: string): Buffer => Buffer.from(text, 'base64url');
  const sealed = encryptForDevice(
    Buffer.from('When I grow up, I want to be a watermelon'),
    {
      p256dh: 'BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4',
      auth: 'BTBZMqHH6r4Tts7J_aSIgg',
    },
    { salt: bytes('DGv6ra1nlYgDCS1FRnbzlw'), privateKey: bytes('yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw') },
  );
  assert.equal(
    sealed?.toString('base64url'),
    'DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6Tlz' +
      'AC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN',
  );
});

test('Web Push: encrypted for the device, signed for its service, gone and paused as it says, and never into our network', async () => {
  let now = Date.now();
  const device = new WebPushDevice();
  const server = await startWebPush({ tls, devices: [device], nowMs: () => now });
  closers.push(server.close);
  const settings = { privateKey: ecKey(), contact: 'mailto:push@skylark.example', nowMs: () => now };
  const push = new WebPush({ ...settings, fetch: loopback(server.port) });
  const subscription = device.subscription(server.origin);
  assert.equal(await push.push(subscription), 'sent');
  now += 11 * 3_600_000;
  assert.equal(await push.push(subscription), 'sent');
  assert.deepEqual(server.read, ['wake-up', 'wake-up']);
  server.answers.push({ status: 410 });
  assert.equal(await push.push(subscription), 'gone');
  assert.equal(await push.push({ ...subscription, endpoint: `${server.origin}/push/other` }), 'gone');
  server.answers.push({ status: 429, headers: { 'retry-after': new Date(now + 90_000).toUTCString() } });
  await assert.rejects(
    push.push(subscription),
    (error: unknown) => error instanceof PushLater && error.afterMs > 88_000 && error.afterMs <= 90_000,
  );
  server.answers.push({ status: 500 });
  await assert.rejects(push.push(subscription), /500/);
  for (const unfit of [
    { ...subscription, p256dh: 'AA' },
    { ...subscription, p256dh: Buffer.alloc(65, 4).toString('base64url') },
    { ...subscription, auth: '' },
    { ...subscription, endpoint: 'no URL' },
  ]) {
    assert.equal(await push.push(unfit), 'gone', JSON.stringify(unfit));
  }
  // An endpoint that a stranger's device named.
  const told = server.told.length;
  const outside = new WebPush({ ...settings, fetch: loopback() });
  for (const endpoint of [
    subscription.endpoint,
    'http://127.0.0.1/',
    'https://10.0.0.1/',
    'https://169.254.169.254/',
  ]) {
    assert.equal(await outside.push({ ...subscription, endpoint }), 'gone', endpoint);
  }
  assert.equal(server.told.length, told);
});
