// What was sent is asked for again under another key: nothing is sent before a person says so, and then to that key alone.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { type Content, encodeContent, MESSAGE_ID_BYTES } from '@drawbridge/e2ee/content';
import { makeDecryptionError } from '@drawbridge/e2ee/retry';
import { element } from '@drawbridge/wire/element';
import { NS_KEYS } from '@drawbridge/wire/namespaces';
import type { Clock } from '../clock.ts';
import { DeviceLists } from '../directory/device-lists.ts';
import type { ClientEvent } from '../events.ts';
import { HistoryTransfer } from '../history/history-transfer.ts';
import { listNotices } from '../notices/notice-records.ts';
import { askedAgainLimits, keepAsked, listAsked, releaseAsked, takeAsked } from '../outbox/asked-again.ts';
import { keepSent } from '../outbox/kept-sent.ts';
import { Outbox, type Sending } from '../outbox/outbox.ts';
import { contentPayload } from '../outbox/rows.ts';
import { listOutbox, sentKeptMs } from '../store/outbox-records.ts';
import type { Transaction } from '../store/store.ts';
import { domain, meet, type PlayedDevice, playedDevice, stanzaFrom } from '../testing/played-device.ts';
import { Inbox } from './inbox.ts';

const folder = mkdtempSync(join(tmpdir(), 'drawbridge-asked-again-'));
after(() => rmSync(folder, { recursive: true }));
const annasId = `0-${'a'.repeat(26)}`;
const bobsId = `1-${'b'.repeat(26)}`;
const nowMs = 1_800_000_000_000;
const clock: Clock = { nowMs: () => nowMs, after: () => () => {} };

function encoded(body: Content['body']): Uint8Array {
  const content = encodeContent({ messageId: randomBytes(MESSAGE_ID_BYTES), sentAtMs: nowMs, body });
  assert(content.ok);
  return content.value;
}

function done<T>(device: PlayedDevice, work: (tx: Transaction) => T): T {
  const result = device.store.transaction(work);
  assert(result.ok);
  return result.value;
}

const unknown = { code: 'unknown-message' };

test('what a fresh key asks for waits for a person, and leaves under that key alone', async () => {
  const anna = await playedDevice(folder, annasId, () => nowMs, 'anna');
  const bob = await playedDevice(folder, bobsId, () => nowMs, 'bob');
  const fresh = await playedDevice(folder, bobsId, () => nowMs, 'bob-fresh');
  await meet(anna, bob);
  let registered = bob;
  const sent: { sending: Sending; kind: 'prekey' | 'session'; bytes: Uint8Array }[] = [];
  const request = async () =>
    element('manifest', NS_KEYS, {}, [
      element('device', NS_KEYS, { id: '1', registration: String(registered.bundle.registrationId) }),
    ]);
  const events: ClientEvent[] = [];
  const base = { ...anna, domain, clock, emit: (event: ClientEvent) => void events.push(event) };
  const lists = new DeviceLists({ ...base, request, ownIdentityKey: async () => anna.bundle.identityKey });
  const outbox = new Outbox({
    isStamped: () => false,
    ...base,
    random: () => 0.5,
    request,
    lists,
    send: (_stanza, sending) => {
      const row = done(anna, tx => listOutbox(tx, { to: bobsId, limit: 100 })).find(({ id }) => id === sending.id);
      const { kind, bytes } = row!.record.ciphertexts![0]!;
      sent.push({ sending, kind, bytes: Buffer.from(bytes, 'base64') });
      return true;
    },
  });
  const inbox = new Inbox({
    ...base,
    outbox,
    transfer: new HistoryTransfer({ own: annasId, clock, outbox, noted: () => {} }),
    lists,
    deliveryReceipts: false,
    keysLow: () => {},
    ownManifestChanged: () => {},
    decisions: { isListed: true, answer: () => {} },
  });
  const until = async (isSo: () => boolean): Promise<void> => {
    for (let i = 0; !isSo(); i++) {
      assert(i < 20_000, 'it never came');
      await new Promise(resolve => setImmediate(resolve));
    }
  };

  outbox.online(false);
  const payload = contentPayload(encoded({ kind: 'text', text: 'for the old key' }));
  const stanzaId = done(anna, tx => outbox.add(tx, { to: bobsId, payload, silent: false }));
  outbox.wake(bobsId);
  await until(() => sent.length === 1);
  outbox.delivered(sent.map(({ sending }) => sending));

  registered = fresh;
  await meet(fresh, anna);
  const { kind, bytes } = sent[0]!;
  const error = makeDecryptionError({ from: { interopId: annasId, deviceId: 1 }, kind, bytes, stanzaId });
  assert(error.ok);
  const ask = async (): Promise<void> => {
    const body = { kind: 'retry-request', stanzaId, decryptionError: error.value, attempt: 1 } as const;
    const stanza = await stanzaFrom(fresh, anna, encoded(body));
    await new Promise<void>(resolve => inbox.receive(stanza, resolve, false));
  };
  const asked = () => done(anna, tx => listAsked(tx, nowMs));
  const notices = () => done(anna, listNotices).filter(({ change }) => change.kind === 'asked-again').length;
  const lines = () =>
    events.filter(
      event =>
        event.kind === 'message' && event.message.kind === 'notice' && event.message.notice?.kind === 'asked-again',
    ).length;
  await ask();
  await ask();
  assert.deepEqual([asked().length, notices(), lines(), sent.length], [1, 1, 1, 1]);

  // Dropped: asked for again it waits again.
  const [first] = asked();
  assert(done(anna, tx => takeAsked(tx, first!)));
  assert.deepEqual(asked(), []);
  assert.throws(() => done(anna, tx => releaseAsked(tx, outbox, first!, nowMs)), unknown);
  await ask();

  // Released for another key than the one in force: it leaves under neither.
  const [again] = asked();
  done(anna, tx => releaseAsked(tx, outbox, { ...again!, fingerprint: 'of another' }, nowMs));
  outbox.forgetDevices(bobsId);
  outbox.wake(bobsId);
  await until(() => done(anna, tx => listOutbox(tx, { to: bobsId, limit: 9 })).length === 0);
  assert.equal(sent.length, 1);

  await ask();
  const [last] = asked();
  done(anna, tx => releaseAsked(tx, outbox, last!, nowMs));
  outbox.wake(bobsId);
  await until(() => sent.length === 2);
  assert.equal(sent[1]!.sending.id, `${stanzaId}~1`);
  const ciphertext = { from: anna.suite.local, kind: sent[1]!.kind, bytes: sent[1]!.bytes };
  let outcome = '';
  await fresh.suite.decrypt(ciphertext, each => void (outcome = each.kind));
  assert.equal(outcome, 'content', 'the device that asked can read it');
  assert.deepEqual(asked(), []);
  await inbox.close();
  outbox.close();
  for (const each of [anna, bob, fresh]) each.store.close();
});

test('requests of one person push out nothing of others; what is not kept any more is not asked for', async () => {
  const anna = await playedDevice(folder, annasId, () => nowMs, 'anna-shares');
  const addressed = { identity: 'old', devices: [1] };
  const ask = (interopId: string, stanzaId: string): boolean =>
    done(anna, tx => {
      keepSent(tx, stanzaId, { to: interopId, content: '', sentAtMs: nowMs, addressed });
      return keepAsked(tx, { interopId, deviceId: 1, stanzaId, fingerprint: 'new', atMs: nowMs });
    });
  assert.equal(ask(bobsId, 'of a quiet one'), true);
  const loud = `2-${'c'.repeat(26)}`;
  for (let i = 0; i < 2 * askedAgainLimits.perPerson; i++) assert.equal(ask(loud, `s${i}`), i === 0);
  const kept = done(anna, tx => listAsked(tx, nowMs));
  assert.equal(kept.length, askedAgainLimits.perPerson + 1);
  assert.deepEqual(
    kept.filter(each => each.interopId === bobsId).map(each => each.stanzaId),
    ['of a quiet one'],
  );
  assert.deepEqual(
    done(anna, tx => listAsked(tx, nowMs + sentKeptMs + 1)),
    [],
  );
  anna.store.close();
});
