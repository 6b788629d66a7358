// Content is kept for a device that could not read it: for 14 days, and no longer, whatever that device asks for.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { encodeContent, MESSAGE_ID_BYTES } from '@drawbridge/e2ee/content';
import { makeDecryptionError } from '@drawbridge/e2ee/retry';
import { element } from '@drawbridge/wire/element';
import { NS_KEYS } from '@drawbridge/wire/namespaces';
import type { Clock } from '../clock.ts';
import { DeviceLists } from '../directory/device-lists.ts';
import type { Request } from '../directory/directory.ts';
import { HistoryTransfer } from '../history/history-transfer.ts';
import { Outbox, type Sending } from '../outbox/outbox.ts';
import { listOutbox, readSent, sentKeptMs } from '../store/records.ts';
import { domain, meet, playedDevice, stanzaFrom } from '../testing/played-device.ts';
import { contentPayload } from '../outbox/rows.ts';
import { Inbox } from './inbox.ts';

const folder = mkdtempSync(join(tmpdir(), 'drawbridge-kept-'));
after(() => rmSync(folder, { recursive: true }));
const annasId = `0-${'a'.repeat(26)}`;
const bobsId = `1-${'b'.repeat(26)}`;
const startMs = 1_800_000_000_000;
let nowMs = startMs;
const clock: Clock = { nowMs: () => nowMs, after: () => () => {} };

function content(text: string): Uint8Array {
  const encoded = encodeContent({
    messageId: randomBytes(MESSAGE_ID_BYTES),
    sentAtMs: nowMs,
    body: { kind: 'text', text },
  });
  assert(encoded.ok);
  return encoded.value;
}

const anna = await playedDevice(folder, annasId, () => nowMs);
const bob = await playedDevice(folder, bobsId, () => nowMs);
after(() => {
  anna.store.close();
  bob.store.close();
});

function rowsFor(stanzaId: string): string[] {
  const rows = anna.store.transaction(tx => listOutbox(tx, { to: bobsId, limit: 100 }));
  assert(rows.ok);
  return rows.value.map(row => row.id).filter(id => id.startsWith(`${stanzaId}~`));
}

test('what was sent is sent again for 14 days, and forgotten afterwards', async () => {
  await meet(anna, bob);
  await meet(bob, anna);
  const sent: { sending: Sending; bytes: Uint8Array; kind: 'prekey' | 'session' }[] = [];
  const device = element('device', NS_KEYS, { id: '1', registration: String(bob.bundle.registrationId) });
  const request: Request = async () => element('manifest', NS_KEYS, {}, [device]);
  const emit = (): void => {};
  const ownIdentityKey = async () => anna.bundle.identityKey;
  const lists = new DeviceLists({ ...anna, domain, clock, request, ownIdentityKey, emit });
  const outbox = new Outbox({
    ...anna,
    domain,
    clock,
    random: () => 0.5,
    emit,
    request,
    lists,
    send: (_stanza, sending) => {
      const rows = anna.store.transaction(tx => listOutbox(tx, { to: bobsId, limit: 100 }));
      assert(rows.ok);
      const [ciphertext] = rows.value.find(row => row.id === sending.id)!.record.ciphertexts!;
      sent.push({ sending, kind: ciphertext!.kind, bytes: Buffer.from(ciphertext!.bytes, 'base64') });
      return true;
    },
  });
  const transfer = new HistoryTransfer({ own: annasId, clock, outbox, noted: () => {} });
  const inbox = new Inbox({
    ...anna,
    domain,
    clock,
    outbox,
    transfer,
    lists,
    deliveryReceipts: false,
    emit: () => {},
    keysLow: () => {},
    ownManifestChanged: () => {},
  });

  // Two messages leave, as far as the gatekeeper.
  outbox.online(false);
  const ids = ['first', 'second'].map(text => {
    const added = anna.store.transaction(tx =>
      outbox.add(tx, { to: bobsId, payload: contentPayload(content(text)), silent: false }),
    );
    assert(added.ok);
    return added.value;
  });
  outbox.wake(bobsId);
  while (sent.length < 2) await new Promise(resolve => setImmediate(resolve));
  outbox.delivered(sent.map(({ sending }) => sending));
  outbox.offline();

  const askFor = async (index: number): Promise<void> => {
    const { kind, bytes } = sent[index]!;
    const stanzaId = ids[index]!;
    const error = makeDecryptionError({ from: { interopId: annasId, deviceId: 1 }, kind, bytes, stanzaId });
    assert(error.ok);
    const encoded = encodeContent({
      messageId: randomBytes(MESSAGE_ID_BYTES),
      sentAtMs: nowMs,
      body: { kind: 'retry-request', stanzaId, decryptionError: error.value, attempt: 1 },
    });
    assert(encoded.ok);
    const stanza = await stanzaFrom(bob, anna, encoded.value);
    const { promise, resolve } = Promise.withResolvers<void>();
    inbox.receive(stanza, resolve);
    await promise;
  };

  nowMs = startMs + sentKeptMs - 60_000;
  await askFor(0);
  assert.equal(rowsFor(ids[0]!).length, 1, 'within 14 days it is encrypted again');
  nowMs = startMs + sentKeptMs + 60_000;
  await askFor(1);
  assert.equal(rowsFor(ids[1]!).length, 0, 'after 14 days it is not');

  inbox.sweep();
  const left = anna.store.transaction(tx => [tx.count('sent'), readSent(tx, ids[1]!, startMs)]);
  assert.deepEqual(left, { ok: true, value: [0, undefined] });
  await inbox.close();
  outbox.close();
});
