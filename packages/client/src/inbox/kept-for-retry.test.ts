// Content is kept for a device that could not read it: for 14 days, and no longer, whatever that device asks for.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { bindContent, placeOf, SALT_BYTES } from '@drawbridge/e2ee/binding';
import { encodeContent, MESSAGE_ID_BYTES } from '@drawbridge/e2ee/content';
import { createDevice, type NewDevice } from '@drawbridge/e2ee/device-keys';
import { makeDecryptionError } from '@drawbridge/e2ee/retry';
import { openSignalSuite } from '@drawbridge/e2ee/sessions';
import type { E2eeSuite, RemoteBundle } from '@drawbridge/e2ee/suite';
import { encodeEnvelopeMessage } from '@drawbridge/wire/envelope';
import { NS_KEYS } from '@drawbridge/wire/namespaces';
import type { Clock } from '../clock.ts';
import { HistoryTransfer } from '../history/history-transfer.ts';
import { Outbox, type Sending } from '../outbox/outbox.ts';
import { openEncryptedStore } from '../store/encrypted-store.ts';
import { listOutbox, readSent, sentKeptMs } from '../store/records.ts';
import type { EncryptedStore } from '../store/store.ts';
import { contentPayload, Inbox } from './inbox.ts';

const folder = mkdtempSync(join(tmpdir(), 'drawbridge-kept-'));
after(() => rmSync(folder, { recursive: true }));
const domain = 'citadel.example';
const annasId = `0-${'a'.repeat(26)}`;
const bobsId = `1-${'b'.repeat(26)}`;
const startMs = 1_800_000_000_000;
let nowMs = startMs;
const clock: Clock = { nowMs: () => nowMs, after: () => () => {} };

type Device = { readonly store: EncryptedStore; readonly suite: E2eeSuite; readonly bundle: RemoteBundle };

async function device(interopId: string): Promise<Device> {
  const key = { kind: 'key', key: randomBytes(32) } as const;
  const opened = await openEncryptedStore({ path: join(folder, `${interopId}.db`), key });
  assert(opened.ok);
  const store = opened.value;
  const made = createDevice({ nowMs });
  assert(made.ok && store.transaction(tx => tx.apply(made.value.changes)).ok);
  const suite = await openSignalSuite({ local: { interopId, deviceId: 1 }, store: store.e2ee, nowMs: () => nowMs });
  assert(suite.ok);
  return { store, suite: suite.value, bundle: bundleOf(interopId, made.value) };
}

function bundleOf(interopId: string, { keys, publication }: NewDevice): RemoteBundle {
  return {
    address: { interopId, deviceId: 1 },
    registrationId: keys.registrationId,
    identityKey: keys.identityKey,
    signedPrekey: publication.signedPrekey!,
    kemPrekey: publication.lastResortKemPrekey!,
  };
}

function content(text: string): Uint8Array {
  const encoded = encodeContent({
    messageId: randomBytes(MESSAGE_ID_BYTES),
    sentAtMs: nowMs,
    body: { kind: 'text', text },
  });
  assert(encoded.ok);
  return encoded.value;
}

/** Encrypts a content of Bob's for Anna's device, as a stanza that the gatekeeper delivers to her. */
async function fromBob(bob: Device, bytes: Uint8Array, id: string): Promise<ReturnType<typeof encodeEnvelopeMessage>> {
  const devices = [{ deviceId: 1, registrationId: anna.bundle.registrationId }];
  const place = placeOf({ author: bob.suite.local, recipient: annasId, domain });
  const bound = bindContent(bytes, { place, number: 1, salt: randomBytes(SALT_BYTES) });
  const encrypted = await bob.suite.encryptFor([{ to: annasId, devices, content: bound }], staged => {
    assert(bob.store.transaction(tx => tx.apply(staged.changes)).ok);
  });
  assert(encrypted.ok);
  const [{ kind, bytes: payload }] = encrypted.value.ciphertexts as [(typeof encrypted.value.ciphertexts)[number]];
  const el = encodeEnvelopeMessage({
    to: `${annasId}@${domain}/1`,
    id,
    type: 'chat',
    suite: bob.suite.name,
    fromDevice: 1,
    ciphertexts: [{ deviceId: 1, registrationId: undefined, kind, payload }],
    noStore: false,
    silent: true,
  });
  return { ...el, attrs: [...el.attrs, 'from', `${bobsId}@${domain}/1`] };
}

const anna = await device(annasId);
const bob = await device(bobsId);
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
  assert((await anna.suite.startSession(bob.bundle, s => void anna.store.transaction(tx => tx.apply(s.changes)))).ok);
  assert((await bob.suite.startSession(anna.bundle, s => void bob.store.transaction(tx => tx.apply(s.changes)))).ok);
  const sent: { sending: Sending; bytes: Uint8Array; kind: 'prekey' | 'session' }[] = [];
  const outbox = new Outbox({
    ...anna,
    domain,
    clock,
    random: () => 0.5,
    emit: () => {},
    request: async () => {
      const { registrationId } = bob.bundle;
      const attrs = ['id', '1', 'registration', String(registrationId)];

      return {
        name: 'devices',
        ns: NS_KEYS,
        attrs: [],
        children: [{ name: 'device', ns: NS_KEYS, attrs, children: [] }],
      };
    },
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
    deliveryReceipts: false,
    emit: () => {},
    keysLow: () => {},
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
    const stanza = await fromBob(bob, encoded.value, randomBytes(8).toString('hex'));
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
