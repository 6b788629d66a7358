// What comes from a device that its person does not name is not read as theirs, though it holds their identity key.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { encodeContent, MESSAGE_ID_BYTES } from '@drawbridge/e2ee/content';
import { readDeviceKeys } from '@drawbridge/e2ee/device-keys';
import { signAsIdentity } from '@drawbridge/e2ee/identity-signature';
import { encodeManifest, manifestSignedBytes } from '@drawbridge/wire/device-manifest';
import { element } from '@drawbridge/wire/element';
import { NS_KEYS } from '@drawbridge/wire/namespaces';
import type { Clock } from '../clock.ts';
import { DeviceLists } from '../directory/device-lists.ts';
import type { Request } from '../directory/directory.ts';
import { writeManifest } from '../directory/manifest-records.ts';
import type { ClientEvent } from '../events.ts';
import { HistoryTransfer } from '../history/history-transfer.ts';
import { listNotices } from '../notices/notice-records.ts';
import { Outbox } from '../outbox/outbox.ts';
import { domain, meet, playedDevice, stanzaFrom } from '../testing/played-device.ts';
import { Inbox } from './inbox.ts';

const folder = mkdtempSync(join(tmpdir(), 'drawbridge-unlisted-'));
after(() => rmSync(folder, { recursive: true }));
const annasId = `0-${'a'.repeat(26)}`;
const bobsId = `1-${'b'.repeat(26)}`;
const nowMs = 1_800_000_000_000;
const clock: Clock = { nowMs: () => nowMs, after: () => () => {} };

test('a message of a device that was removed is not shown, until its person names it', async () => {
  const anna = await playedDevice(folder, annasId, () => nowMs);
  const bob = await playedDevice(folder, bobsId, () => nowMs);
  const keys = await readDeviceKeys(bob.store.e2ee);
  assert(keys.ok && keys.value !== undefined);
  const { identityKeyPair, identityKey } = keys.value;
  const manifest = (epoch: number, id: number) => {
    const device = { id, registration: bob.bundle.registrationId, deviceKeyThumbprint: 'a'.repeat(43), addedAtMs: 1 };
    const times = { issuedAtMs: nowMs, freshUntilMs: nowMs + 1_000 };
    const devices = [device];
    const text = encodeManifest({ domain, provider: 'skylark.example', interopId: bobsId, epoch, ...times, devices });
    return { text, signature: signAsIdentity(identityKeyPair, manifestSignedBytes(text)) };
  };
  let served = manifest(1, 2);
  let asked = 0;
  const request: Request = async () => {
    asked++;
    const device = element('device', NS_KEYS, { id: '1', registration: String(bob.bundle.registrationId) });
    const text = element('text', NS_KEYS, {}, [served.text]);
    return element('manifest', NS_KEYS, {}, [device, text, element('signature', NS_KEYS, {}, [served.signature])]);
  };
  const identity = createHash('sha256').update(identityKey).digest('hex');
  assert(anna.store.transaction(tx => writeManifest(tx, bobsId, { identity, epoch: 1, ...served })).ok);
  const events: ClientEvent[] = [];
  const emit = (event: ClientEvent): void => void events.push(event);
  const base = { ...anna, domain, clock, emit, request };
  const lists = new DeviceLists({ ...base, ownIdentityKey: async () => anna.bundle.identityKey });
  const outbox = new Outbox({ isStamped: () => false, ...base, random: () => 0.5, lists, send: () => false });
  const transfer = new HistoryTransfer({ own: annasId, clock, outbox, noted: () => {} });
  const inbox = new Inbox({
    ...base,
    outbox,
    transfer,
    lists,
    deliveryReceipts: true,
    keysLow: () => {},
    ownManifestChanged: () => {},
    decisions: { isListed: true, answer: () => {} },
  });
  await meet(bob, anna);
  await meet(anna, bob);
  const take = async (text: string): Promise<void> => {
    const body = { kind: 'text', text } as const;
    const encoded = encodeContent({ messageId: randomBytes(MESSAGE_ID_BYTES), sentAtMs: nowMs, body });
    assert(encoded.ok);
    const stanza = await stanzaFrom(bob, anna, encoded.value);
    await new Promise<void>(resolve => inbox.receive(stanza, resolve, false));
  };
  const shown = () =>
    events.flatMap(event =>
      event.kind === 'message' && event.message.kind !== 'notice' ? [[event.message.kind, event.message.text]] : [],
    );
  await take('as if I were Bob');
  await take('again');
  assert.equal(asked, 1, 'the directory is asked once in a while');
  assert.deepEqual(shown(), [
    ['lost', ''],
    ['lost', ''],
  ]);
  const change = { kind: 'unlisted-device', interopId: bobsId, isOwn: false, deviceId: 1 };
  assert.deepEqual(
    events.flatMap(event => (event.kind === 'devices' ? [event.change] : [])),
    [change],
  );
  const notices = anna.store.transaction(listNotices);
  assert(notices.ok && notices.value.some(notice => notice.change.kind === 'unlisted-device'));
  served = manifest(2, 1);
  await lists.fetch(bobsId);
  await take('it is me');
  assert.deepEqual(shown().at(-1), ['text', 'it is me']);
  await inbox.close();
  outbox.close();
  anna.store.close();
  bob.store.close();
});
