// A carrier that lies about who wrote what, to whom and where; with real sessions of libsignal.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import type { InteropId } from '@drawbridge/wire/jid';
import { type DeviceAddress } from '../addresses.ts';
import { createDevice } from '../device-keys.ts';
import { createMemoryStore } from '../memory-store.ts';
import { openSignalSuite } from '../sessions.ts';
import type { DecryptOutcome, E2eeSuite, RemoteBundle } from '../suite.ts';
import { bindContent, MAX_BINDING_BYTES, type Place, placeOf, verifyBinding } from './binding.ts';
import { commitmentOf, verifyCommitment } from './commitment.ts';
import { decodeContent, encodeContent } from './content.ts';
import { MAX_TRANSCRIBED_BYTES } from './own-devices.ts';
import { heardStamp, MAX_STAMP_AHEAD_MS, nextStamp } from './hybrid-clock.ts';

const annaId = `1-${'a'.repeat(26)}`;
const bobId = `0-${'b'.repeat(26)}`;
const carolId = `2-${'c'.repeat(26)}`;
const domain = 'citadel.example';
const salt = new Uint8Array(16).fill(7);

type Device = { suite: E2eeSuite; store: ReturnType<typeof createMemoryStore>; bundle: RemoteBundle };

async function device(interopId: InteropId): Promise<Device> {
  const store = createMemoryStore();
  const made = createDevice({ nowMs: 1_800_000_000_000 });
  assert(made.ok);
  store.apply(made.value.changes);
  const address = { interopId, deviceId: 1 };
  const suite = await openSignalSuite({ local: address, store, nowMs: () => 1_800_000_000_000 });
  assert(suite.ok);
  const { keys, publication } = made.value;
  const bundle = {
    address,
    registrationId: keys.registrationId,
    identityKey: keys.identityKey,
    signedPrekey: publication.signedPrekey!,
    kemPrekey: publication.lastResortKemPrekey!,
  };
  return { suite: suite.value, store, bundle };
}

function said(author: DeviceAddress, recipient: InteropId, more: Partial<Place> = {}): Uint8Array {
  const content = encodeContent({
    messageId: new Uint8Array(16).fill(1),
    sentAtMs: 1_800_000_000_000,
    body: { kind: 'text', text: 'hello' },
  });
  assert(content.ok);
  return bindContent(content.value, { place: placeOf({ author, recipient, domain, ...more }), number: 1, salt });
}

async function encrypted(from: Device, to: Device, content: Uint8Array) {
  const { address } = to.bundle;
  const started = await from.suite.startSession(to.bundle, ({ changes }) => from.store.apply(changes));
  assert(started.ok);
  const target = { to: address.interopId, devices: [{ deviceId: address.deviceId }], content };
  const sent = await from.suite.encryptFor([target], ({ changes }) => from.store.apply(changes));
  assert(sent.ok);
  return sent.value.ciphertexts[0]!;
}

/** What a reader of today's content does: looks at the binding before anything counts. */
async function read(at: Device, from: DeviceAddress, ciphertext: { kind: 'prekey' | 'session'; bytes: Uint8Array }) {
  const outcome = await at.suite.decrypt(
    { from, kind: ciphertext.kind, bytes: ciphertext.bytes },
    ({ changes }) => at.store.apply(changes),
    bytes => {
      const content = decodeContent(bytes);
      return content.ok
        ? verifyBinding(content.value, { author: from, recipient: at.suite.local.interopId, domain })
        : undefined;
    },
  );
  assert(outcome.ok);
  return outcome.value;
}

function refusal(outcome: DecryptOutcome): unknown {
  return outcome.kind === 'refused' ? outcome.error : outcome.kind;
}

test("a first message of Anna's, carried as Carol's, is not Carol's, and her key is not taken for Carol's", async () => {
  const [anna, bob, carol] = await Promise.all([device(annaId), device(bobId), device(carolId)]);
  const ciphertext = await encrypted(anna, bob, said(anna.suite.local, bobId));
  const stolen = await read(bob, { interopId: carolId, deviceId: 1 }, ciphertext);
  assert.deepEqual(refusal(stolen), { code: 'misbound', part: 'place' });
  const state = await bob.suite.readIdentity(carolId);
  assert(!state.ok && state.error.code === 'unknown-identity');
  // The true one is read afterwards, and so is Carol's.
  assert.equal((await read(bob, anna.suite.local, ciphertext)).kind, 'content');
  const hers = await encrypted(carol, bob, said(carol.suite.local, bobId));
  assert.equal((await read(bob, carol.suite.local, hers)).kind, 'content');
});

test('a key that is known to be one person is refused under any other name: in a message, in a bundle, and one’s own', async () => {
  const [anna, bob] = await Promise.all([device(annaId), device(bobId)]);
  assert.equal(
    (await read(bob, anna.suite.local, await encrypted(anna, bob, said(anna.suite.local, bobId)))).kind,
    'content',
  );
  const carolsName = { interopId: carolId, deviceId: 1 };
  const again = await encrypted(anna, bob, said(carolsName, bobId));
  assert.deepEqual(refusal(await read(bob, carolsName, again)), { code: 'identity-of-another' });
  for (const bundle of [anna.bundle, bob.bundle]) {
    const swapped = await bob.suite.startSession({ ...bundle, address: carolsName }, () =>
      assert.fail('nothing is kept'),
    );
    assert(!swapped.ok && swapped.error.code === 'identity-of-another');
  }
});

test('another device, recipient or gatekeeper, or no binding at all, is refused', async () => {
  const places: Partial<Place>[] = [
    { author: { interopId: annaId, deviceId: 2 } },
    { recipient: carolId },
    { domain: 'other.example' },
  ];
  for (const place of places) {
    const [anna, bob] = await Promise.all([device(annaId), device(bobId)]);
    const ciphertext = await encrypted(anna, bob, said(anna.suite.local, bobId, place));
    assert.deepEqual(refusal(await read(bob, anna.suite.local, ciphertext)), { code: 'misbound', part: 'place' });
  }
  const [anna, bob] = await Promise.all([device(annaId), device(bobId)]);
  const unbound = encodeContent({ messageId: new Uint8Array(16), sentAtMs: 1, body: { kind: 'nothing' } });
  assert(unbound.ok);
  const ciphertext = await encrypted(anna, bob, unbound.value);
  assert.deepEqual(refusal(await read(bob, anna.suite.local, ciphertext)), { code: 'misbound', part: 'missing' });
});

test('a binding survives reading and writing, and leaves room for the largest content', () => {
  const bytes = said({ interopId: annaId, deviceId: 1 }, bobId);
  const decoded = decodeContent(bytes);
  assert(decoded.ok && decoded.value.body.kind !== 'unsupported');
  const { raw: _, body, ...fields } = decoded.value;
  const again = encodeContent({ ...fields, body });
  assert(again.ok);
  assert.deepEqual(again.value, bytes);
  const content = { place: new Uint8Array(16).fill(255), number: 0xffff_ffff, salt };
  assert(bindContent(new Uint8Array(), content).length <= MAX_BINDING_BYTES);
  assert(MAX_TRANSCRIBED_BYTES > MAX_BINDING_BYTES);
  assert(!decodeContent(bindContent(new Uint8Array(bytes), { ...content, place: new Uint8Array(15) })).ok);
});

test('no time is taken that cannot be written as a date, and no stamp before its time', () => {
  for (const sentAtMs of [2 ** 53 - 1, 253_402_300_800_000, -1, 0.5]) {
    assert(!encodeContent({ messageId: new Uint8Array(16), sentAtMs, body: { kind: 'nothing' } }).ok);
  }
  const early = { messageId: new Uint8Array(16), sentAtMs: 5, stampMs: 4, body: { kind: 'nothing' } } as const;
  assert(!encodeContent(early).ok);
});

test('a commitment fits one content and one salt', () => {
  const bytes = said({ interopId: annaId, deviceId: 1 }, bobId);
  const binding = { place: new Uint8Array(16), number: 1, salt };
  const commitment = commitmentOf(binding, bytes);
  assert(verifyCommitment(binding, bytes, commitment));
  assert(!verifyCommitment({ ...binding, salt: new Uint8Array(16) }, bytes, commitment));
  assert(!verifyCommitment(binding, bytes.subarray(1), commitment));
  assert(!verifyCommitment(binding, bytes, commitment.subarray(1)));
});

test('own stamps grow whatever the clock does; a peer moves them by a bounded time', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(1_000_000_000), fc.nat(4_000_000_000_000))), steps => {
      let last = 0;
      for (const [nowMs, theirsMs] of steps) {
        const heard = heardStamp(nowMs, last, theirsMs);
        assert(heard >= last && heard <= Math.max(last, nowMs + MAX_STAMP_AHEAD_MS));
        const stamp = nextStamp(nowMs, heard);
        assert(stamp > last && stamp >= nowMs);
        last = stamp;
      }
    }),
  );
});
