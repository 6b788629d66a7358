// Conversations between devices over in-memory stores: order, loss, repeats, tampering, crashes, identity changes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as Signal from '@signalapp/libsignal-client';
import { maxCiphertextBytes } from '@drawbridge/wire/limits';
import type { DeviceAddress } from './addresses.ts';
import { MAX_CONTENT_BYTES } from './content/content.ts';
import { createDevice, type NewDevice } from './device-keys.ts';
import { decryptErrorAction } from './errors.ts';
import { createMemoryStore, type MemoryStore } from './memory-store.ts';
import { openSignalSuite } from './sessions.ts';
import { compareScanned } from './safety-number.ts';
import type { DecryptOutcome, DeviceCiphertext, E2eeSuite, IdentityEvent, RemoteBundle } from './suite.ts';

const alicePerson = `0-${'a'.repeat(26)}`;
const bobPerson = `1-${'b'.repeat(26)}`;
const text = (words: string): Uint8Array => new TextEncoder().encode(words);
const words = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

type Device = {
  suite: E2eeSuite;
  store: MemoryStore;
  made: NewDevice;
  clock: { ms: number };
  /** One-time keys are given out once, then the last-resort key, as the directory does. */
  takeBundle(): RemoteBundle;
};

async function device(interopId: string, deviceId: number, identityKeyPair?: Uint8Array): Promise<Device> {
  const clock = { ms: 1_800_000_000_000 };
  const store = createMemoryStore();
  const made = createDevice({ nowMs: clock.ms, ...(identityKeyPair === undefined ? {} : { identityKeyPair }) });
  assert(made.ok);
  store.apply(made.value.changes);
  const opened = await openSignalSuite({ local: { interopId, deviceId }, store, nowMs: () => clock.ms });
  assert(opened.ok);
  const { publication, keys } = made.value;
  const prekeys = [...publication.prekeys];
  const kemPrekeys = [...publication.kemPrekeys];
  return {
    suite: opened.value,
    store,
    made: made.value,
    clock,
    takeBundle() {
      const prekey = prekeys.shift();
      return {
        address: { interopId, deviceId },
        registrationId: keys.registrationId,
        identityKey: keys.identityKey,
        signedPrekey: publication.signedPrekey!,
        kemPrekey: kemPrekeys.shift() ?? publication.lastResortKemPrekey!,
        ...(prekey === undefined ? {} : { prekey }),
      };
    },
  };
}

async function connect(from: Device, to: Device): Promise<readonly IdentityEvent[]> {
  const started = await from.suite.startSession(to.takeBundle(), staged => from.store.apply(staged.changes));
  assert(started.ok, JSON.stringify(started));
  return started.value.events;
}

async function send(from: Device, to: readonly Device[], content: Uint8Array): Promise<readonly DeviceCiphertext[]> {
  const devices = to.map(each => ({ deviceId: each.suite.local.deviceId }));
  const target = { to: to[0]!.suite.local.interopId, devices, content };
  const sent = await from.suite.encryptFor([target], staged => from.store.apply(staged.changes));
  assert(sent.ok, JSON.stringify(sent));
  return sent.value.ciphertexts;
}

async function receive(
  at: Device,
  from: DeviceAddress,
  message: { kind: DeviceCiphertext['kind'] | 'plaintext-retry'; bytes: Uint8Array },
) {
  const got = await at.suite.decrypt({ from, ...message }, outcome => at.store.apply(outcome.changes));
  assert(got.ok, JSON.stringify(got));
  return got.value;
}

function content(outcome: DecryptOutcome): string {
  assert.equal(outcome.kind, 'content', JSON.stringify(outcome));
  return outcome.kind === 'content' ? words(outcome.content) : '';
}

function refusal(outcome: DecryptOutcome): string {
  assert.equal(outcome.kind, 'refused', outcome.kind);
  return outcome.kind === 'refused' ? outcome.error.code : '';
}

async function pair(): Promise<{ alice: Device; bob: Device }> {
  const alice = await device(alicePerson, 1);
  const bob = await device(bobPerson, 1);
  const events = await connect(alice, bob);
  assert.deepEqual(
    events.map(each => each.kind),
    ['identity-first-seen'],
  );
  const [first] = await send(alice, [bob], text('hello'));
  assert.equal(first!.kind, 'prekey');
  assert.equal(content(await receive(bob, alice.suite.local, first!)), 'hello');
  const [answer] = await send(bob, [alice], text('hi'));
  assert.equal(answer!.kind, 'session');
  assert.equal(content(await receive(alice, bob.suite.local, answer!)), 'hi');
  return { alice, bob };
}

function counter(ciphertext: DeviceCiphertext): number {
  return Signal.SignalMessage.deserialize(Uint8Array.from(ciphertext.bytes)).counter();
}

test('two people talk, in any order of arrival, and a repeat is a duplicate', async () => {
  const { alice, bob } = await pair();
  const messages = [];
  for (let i = 0; i < 20; i++) messages.push((await send(alice, [bob], text(`m${i}`)))[0]!);
  const arrival = [...messages.keys()].sort((a, b) => ((a * 7) % 20) - ((b * 7) % 20));
  for (const i of arrival) assert.equal(content(await receive(bob, alice.suite.local, messages[i]!)), `m${i}`);
  for (const message of messages) assert.equal(refusal(await receive(bob, alice.suite.local, message)), 'duplicate');
});

test('one message for three devices of one person and the own other device is committed once', async () => {
  const alice = await device(alicePerson, 1);
  const tablet = await device(alicePerson, 2, alice.made.keys.identityKeyPair);
  const bob1 = await device(bobPerson, 1);
  const bobs = [
    bob1,
    await device(bobPerson, 2, bob1.made.keys.identityKeyPair),
    await device(bobPerson, 127, bob1.made.keys.identityKeyPair),
  ];
  for (const other of [...bobs, tablet]) {
    const events = await connect(alice, other);
    assert.equal(events.length, other === bob1 ? 1 : 0, 'the identity is seen once, and never for oneself');
  }
  let commits = 0;
  const sent = await alice.suite.encryptFor(
    [
      { to: bobPerson, devices: [{ deviceId: 1 }, { deviceId: 2 }, { deviceId: 127 }], content: text('to bob') },
      { to: alicePerson, devices: [{ deviceId: 2 }], content: text('copy') },
    ],
    staged => {
      commits++;
      assert.equal(staged.changes.length, 4);
      alice.store.apply(staged.changes);
    },
  );
  assert(sent.ok);
  assert.equal(commits, 1);
  const [toBob1, toBob2, toBob127, copy] = sent.value.ciphertexts;
  assert.equal(toBob2!.registrationId, bobs[1]!.made.keys.registrationId);
  assert.equal(content(await receive(bobs[0]!, alice.suite.local, toBob1!)), 'to bob');
  assert.equal(content(await receive(bobs[1]!, alice.suite.local, toBob2!)), 'to bob');
  assert.equal(content(await receive(bobs[2]!, alice.suite.local, toBob127!)), 'to bob');
  assert.equal(content(await receive(tablet, alice.suite.local, copy!)), 'copy');
  assert.equal(
    refusal(await receive(bobs[1]!, alice.suite.local, toBob127!)),
    'unknown-prekey',
    'each device has its own',
  );
});

test('50 encryptions at once never use a message key twice, and all are readable', async () => {
  const { alice, bob } = await pair();
  const sent = await Promise.all(Array.from({ length: 50 }, (_, i) => send(alice, [bob], text(`c${i}`))));
  const counters = sent.map(each => counter(each[0]!));
  assert.equal(new Set(counters).size, 50);
  const read = await Promise.all(sent.map(each => receive(bob, alice.suite.local, each[0]!)));
  assert.deepEqual(
    read.map(each => content(each)),
    Array.from({ length: 50 }, (_, i) => `c${i}`),
  );
});

test('a commit that fails leaves the ratchet where it was and nothing to send', async () => {
  const { alice, bob } = await pair();
  const target = { to: bobPerson, devices: [{ deviceId: 1 }], content: text('lost') };
  let staged: readonly DeviceCiphertext[] = [];
  const failed = await alice.suite.encryptFor([target], result => {
    staged = result.ciphertexts;
    throw new Error('disk full');
  });
  assert(!failed.ok && failed.error.code === 'commit-failed');
  const [next] = await send(alice, [bob], text('kept'));
  assert.equal(counter(next!), counter(staged[0]!), 'the key was never used outside this process');
  assert.equal(content(await receive(bob, alice.suite.local, next!)), 'kept');

  const [again] = await send(alice, [bob], text('again'));
  const crash = await bob.suite.decrypt({ from: alice.suite.local, ...again! }, () => {
    throw new Error('crash');
  });
  assert(!crash.ok && crash.error.code === 'commit-failed');
  assert.equal(content(await receive(bob, alice.suite.local, again!)), 'again', 'readable after the restart');
});

test('a crash between commit and sending: the next message has another key', async () => {
  const { alice, bob } = await pair();
  const [committed] = await send(alice, [bob], text('in the outbox'));
  const reopened = await openSignalSuite({ local: alice.suite.local, store: alice.store, nowMs: () => alice.clock.ms });
  assert(reopened.ok);
  alice.suite = reopened.value;
  const [next] = await send(alice, [bob], text('after the restart'));
  assert.notEqual(counter(next!), counter(committed!));
  assert.equal(content(await receive(bob, alice.suite.local, next!)), 'after the restart');
  assert.equal(content(await receive(bob, alice.suite.local, committed!)), 'in the outbox');
});

test('tampered, truncated and foreign bytes are refused and change nothing', async () => {
  const { alice, bob } = await pair();
  const [message] = await send(alice, [bob], text('intact'));
  const { kind, bytes } = message!;
  for (let i = 0; i < bytes.length; i += 13) {
    const damaged = Uint8Array.from(bytes);
    damaged[i]! ^= 0x40;
    const code = refusal(await receive(bob, alice.suite.local, { kind, bytes: damaged }));
    assert(['undecryptable', 'malformed-ciphertext', 'duplicate'].includes(code), code);
  }
  assert.equal(
    refusal(await receive(bob, alice.suite.local, { kind, bytes: bytes.slice(0, 20) })),
    'malformed-ciphertext',
  );
  assert.equal(refusal(await receive(bob, alice.suite.local, { kind: 'prekey', bytes })), 'malformed-ciphertext');
  assert.equal(
    refusal(await receive(bob, alice.suite.local, { kind, bytes: new Uint8Array(maxCiphertextBytes + 1) })),
    'malformed-ciphertext',
  );
  assert.equal(refusal(await receive(bob, { interopId: 'nobody', deviceId: 1 }, message!)), 'invalid-address');
  assert.equal(refusal(await receive(bob, bob.suite.local, message!)), 'invalid-address');
  assert.equal(refusal(await receive(bob, { interopId: alicePerson, deviceId: 9 }, message!)), 'no-session');
  assert.equal(content(await receive(bob, alice.suite.local, message!)), 'intact');
});

test('bundles with a wrong signature, key or number are refused', async () => {
  const alice = await device(alicePerson, 1);
  const bob = await device(bobPerson, 1);
  const good = bob.takeBundle();
  const flip = (bytes: Uint8Array): Uint8Array => Uint8Array.from(bytes, (byte, i) => (i === 5 ? byte ^ 1 : byte));
  const bad: RemoteBundle[] = [
    { ...good, signedPrekey: { ...good.signedPrekey, signature: flip(good.signedPrekey.signature) } },
    { ...good, signedPrekey: { ...good.signedPrekey, publicKey: flip(good.signedPrekey.publicKey) } },
    { ...good, kemPrekey: { ...good.kemPrekey, signature: flip(good.kemPrekey.signature) } },
    { ...good, kemPrekey: { ...good.kemPrekey, publicKey: good.kemPrekey.publicKey.slice(1) } },
    { ...good, identityKey: flip(good.identityKey) },
    { ...good, identityKey: new Uint8Array(0) },
    { ...good, registrationId: 0 },
    { ...good, prekey: { id: -1, publicKey: good.prekey!.publicKey } },
  ];
  for (const bundle of bad) {
    const started = await alice.suite.startSession(bundle, () => assert.fail('nothing to commit'));
    assert(!started.ok && started.error.code === 'invalid-bundle');
  }
  for (const address of [{ interopId: bobPerson, deviceId: 0 }, { interopId: '7', deviceId: 1 }, alice.suite.local]) {
    const started = await alice.suite.startSession({ ...good, address }, () => assert.fail('nothing to commit'));
    assert(!started.ok && started.error.code === 'invalid-address');
  }
  const missing = await alice.suite.encryptFor(
    [{ to: bobPerson, devices: [{ deviceId: 1 }, { deviceId: 2 }], content: text('x') }],
    () => assert.fail('nothing to commit'),
  );
  assert.deepEqual(!missing.ok && missing.error, {
    code: 'no-session',
    devices: [
      { interopId: bobPerson, deviceId: 1 },
      { interopId: bobPerson, deviceId: 2 },
    ],
  });
});

test('a stale registration id, an old unanswered session and a removed device need a fresh bundle', async () => {
  const alice = await device(alicePerson, 1);
  const bob = await device(bobPerson, 1);
  await connect(alice, bob);
  const target = (registrationId?: number) => [
    {
      to: bobPerson,
      devices: [registrationId === undefined ? { deviceId: 1 } : { deviceId: 1, registrationId }],
      content: text('x'),
    },
  ];
  const commit = (staged: { changes: Parameters<MemoryStore['apply']>[0] }): void => alice.store.apply(staged.changes);
  const right = await alice.suite.encryptFor(target(bob.made.keys.registrationId), commit);
  assert(right.ok);
  const stale = await alice.suite.encryptFor(target((bob.made.keys.registrationId % 16_380) + 1), commit);
  assert(!stale.ok && stale.error.code === 'no-session');
  alice.clock.ms += 40 * 86_400_000;
  const old = await alice.suite.encryptFor(target(), commit);
  assert(!old.ok && old.error.code === 'no-session');
  await connect(alice, bob);
  assert((await alice.suite.encryptFor(target(), commit)).ok);
  assert((await alice.suite.endSessions(bobPerson, [1], commit)).ok);
  const removed = await alice.suite.encryptFor(target(), commit);
  assert(!removed.ok && removed.error.code === 'no-session');
});

test('without one-time keys the last-resort key serves, and a repeat of the first message is refused even when the session is gone', async () => {
  const bob = await device(bobPerson, 1);
  for (let i = 0; i < 50; i++) bob.takeBundle();
  const alice = await device(alicePerson, 1);
  const other = await device(`0-${'c'.repeat(26)}`, 1);
  for (const sender of [alice, other]) {
    await connect(sender, bob);
    const [first] = await send(sender, [bob], text('last resort'));
    assert.equal(content(await receive(bob, sender.suite.local, first!)), 'last resort');
    assert.equal(refusal(await receive(bob, sender.suite.local, first!)), 'duplicate');
    await bob.suite.endSessions(sender.suite.local.interopId, 'all', staged => bob.store.apply(staged.changes));
    assert.equal(refusal(await receive(bob, sender.suite.local, first!)), 'replayed-prekey-message');
  }
});

test('a one-time prekey serves once', async () => {
  const bob = await device(bobPerson, 1);
  const bundle = bob.takeBundle();
  const alice = await device(alicePerson, 1);
  const other = await device(`0-${'c'.repeat(26)}`, 1);
  for (const sender of [alice, other]) {
    const started = await sender.suite.startSession(bundle, staged => sender.store.apply(staged.changes));
    assert(started.ok);
    const outcome = await receive(bob, sender.suite.local, (await send(sender, [bob], text('once')))[0]!);
    if (sender === alice) assert.equal(content(outcome), 'once');
    else assert.equal(refusal(outcome), 'unknown-prekey');
  }
});

test('an unverified identity may change: it is told, and old sessions end', async () => {
  const { alice, bob } = await pair();
  const [late] = await send(bob, [alice], text('from before'));
  const again = await device(bobPerson, 1);
  const events = await connect(again, alice);
  assert.equal(events.length, 1);
  const [first] = await send(again, [alice], text('new phone'));
  const outcome = await receive(alice, again.suite.local, first!);
  assert.equal(content(outcome), 'new phone');
  const state = await alice.suite.readIdentity(bobPerson);
  assert(state.ok && outcome.kind === 'content');
  assert.deepEqual(
    outcome.events.map(each => [
      each.kind,
      each.kind === 'identity-changed' && each.needsAcceptance,
      each.kind === 'identity-changed' && each.newFingerprint,
    ]),
    [['identity-changed', false, state.value.fingerprint]],
  );
  const old = await receive(alice, bob.suite.local, late!);
  assert(old.kind === 'refused' && old.error.code === 'untrusted-identity', 'the old key is not the key in force');
  assert.equal(decryptErrorAction(old.error), 'lose');
  const [answer] = await send(alice, [again], text('welcome back'));
  assert.equal(content(await receive(again, alice.suite.local, answer!)), 'welcome back');
});

test('an identity that was replaced comes back only when a person says so, by a message and by a bundle', async () => {
  const { alice, bob } = await pair();
  const again = await device(bobPerson, 1);
  await connect(again, alice);
  content(await receive(alice, again.suite.local, (await send(again, [alice], text('new phone')))[0]!));
  await connect(bob, alice);
  const held = await receive(alice, bob.suite.local, (await send(bob, [alice], text('from a backup')))[0]!);
  assert(held.kind === 'refused' && held.error.code === 'untrusted-identity' && held.error.awaitsAcceptance);
  assert.deepEqual(
    held.events.map(each => each.kind === 'identity-changed' && each.needsAcceptance),
    [true],
  );
  const started = await alice.suite.startSession(bob.takeBundle(), () => assert.fail('nothing to commit'));
  assert(!started.ok && started.error.code === 'untrusted-identity');
  const state = await alice.suite.readIdentity(bobPerson);
  assert(state.ok && Buffer.compare(state.value.identityKey, again.suite.identityKey) === 0);
  const apply = (staged: { changes: Parameters<MemoryStore['apply']>[0] }): void => alice.store.apply(staged.changes);
  assert((await alice.suite.acceptIdentity(bobPerson, bob.suite.identityKey, apply)).ok);
  content(await receive(alice, bob.suite.local, (await send(bob, [alice], text('it is me')))[0]!));
});

test('a changed identity ends the sessions of all devices of that person, also those that said nothing', async () => {
  const { alice, bob } = await pair();
  await connect(alice, await device(bobPerson, 2, bob.made.keys.identityKeyPair));
  const again = await device(bobPerson, 1);
  await connect(again, alice);
  content(await receive(alice, again.suite.local, (await send(again, [alice], text('new phone')))[0]!));
  const devices = [{ deviceId: 1 }, { deviceId: 2 }];
  const sent = await alice.suite.encryptFor([{ to: bobPerson, devices, content: text('x') }], () =>
    assert.fail('nothing to commit'),
  );
  assert.deepEqual(!sent.ok && sent.error, { code: 'no-session', devices: [{ interopId: bobPerson, deviceId: 2 }] });
});

test('a verified identity may not change without a person', async () => {
  const { alice, bob } = await pair();
  const known = await alice.suite.readIdentity(bobPerson);
  assert(known.ok && !known.value.verified);
  const apply = (staged: { changes: Parameters<MemoryStore['apply']>[0] }): void => alice.store.apply(staged.changes);
  const wrong = await alice.suite.setVerified(bobPerson, alice.suite.identityKey, true, apply);
  assert(!wrong.ok && wrong.error.code === 'identity-key-differs');
  assert((await alice.suite.setVerified(bobPerson, known.value.identityKey, true, apply)).ok);

  const again = await device(bobPerson, 1);
  await connect(again, alice);
  const [first] = await send(again, [alice], text('held'));
  const held = await receive(alice, again.suite.local, first!);
  assert(held.kind === 'refused' && held.error.code === 'untrusted-identity' && held.error.awaitsAcceptance);
  assert.equal(decryptErrorAction(held.error), 'hold');
  assert.equal(held.events.length, 1);
  const [second] = await send(again, [alice], text('held too'));
  const heldToo = await receive(alice, again.suite.local, second!);
  assert(heldToo.kind === 'refused' && heldToo.events.length === 0, 'told once');

  const blocked = await alice.suite.encryptFor(
    [{ to: bobPerson, devices: [{ deviceId: 1 }], content: text('x') }],
    () => assert.fail(),
  );
  assert(!blocked.ok && blocked.error.code === 'untrusted-identity');
  const bundle = await alice.suite.startSession(again.takeBundle(), () => assert.fail('the key is remembered already'));
  assert(!bundle.ok && bundle.error.code === 'untrusted-identity');

  const pending = await alice.suite.readIdentity(bobPerson);
  assert(pending.ok && pending.value.verified && pending.value.pending !== undefined);
  const notShown = await alice.suite.acceptIdentity(bobPerson, bob.suite.identityKey, apply);
  assert(!notShown.ok && notShown.error.code === 'identity-key-differs');
  assert((await alice.suite.acceptIdentity(bobPerson, pending.value.pending.identityKey, apply)).ok);
  assert.equal(content(await receive(alice, again.suite.local, first!)), 'held');
  assert.equal(content(await receive(alice, again.suite.local, second!)), 'held too');
  const accepted = await alice.suite.readIdentity(bobPerson);
  assert(accepted.ok && !accepted.value.verified && accepted.value.pending === undefined);
  const [answer] = await send(alice, [again], text('accepted'));
  assert.equal(content(await receive(again, alice.suite.local, answer!)), 'accepted');
});

test('a pending key is compared side by side, can be refused, and goes when the true key is compared again', async () => {
  const { alice, bob } = await pair();
  const apply = (staged: { changes: Parameters<MemoryStore['apply']>[0] }): void => alice.store.apply(staged.changes);
  const trueKey = bob.suite.identityKey;
  assert((await alice.suite.setVerified(bobPerson, trueKey, true, apply)).ok);
  const before = await alice.suite.safetyNumbers(bobPerson);
  assert(before.ok && before.value.pending === undefined);
  const thief = await device(bobPerson, 1);
  await connect(thief, alice);
  const forged = async (): Promise<string> =>
    refusal(await receive(alice, thief.suite.local, (await send(thief, [alice], text('it is me')))[0]!));
  assert.equal(await forged(), 'untrusted-identity');
  const during = await alice.suite.safetyNumbers(bobPerson);
  assert(during.ok && during.value.pending !== undefined);
  assert.deepEqual(during.value.inForce, before.value.inForce);
  assert.notEqual(during.value.pending.digits, before.value.inForce.digits);
  const theirs = await thief.suite.safetyNumber(alicePerson);
  assert(
    theirs.ok && theirs.value.digits === during.value.pending.digits,
    'the number of the key that would be accepted',
  );

  const wrong = await alice.suite.rejectIdentity(bobPerson, trueKey, apply);
  assert(!wrong.ok && wrong.error.code === 'identity-key-differs');
  assert((await alice.suite.rejectIdentity(bobPerson, thief.suite.identityKey, apply)).ok);
  await send(alice, [bob], text('to the true one'));
  assert.equal(await forged(), 'untrusted-identity');
  assert((await alice.suite.setVerified(bobPerson, trueKey, true, apply)).ok);
  const after = await alice.suite.readIdentity(bobPerson);
  assert(after.ok && after.value.verified && after.value.pending === undefined);
  await send(alice, [bob], text('still to the true one'));
});

test('a forged first message that does not open stops no verified conversation', async () => {
  const { alice, bob } = await pair();
  const apply = (staged: { changes: Parameters<MemoryStore['apply']>[0] }): void => alice.store.apply(staged.changes);
  assert((await alice.suite.setVerified(bobPerson, bob.suite.identityKey, true, apply)).ok);
  const thief = await device(bobPerson, 1);
  await connect(thief, alice);
  const [message] = await send(thief, [alice], text('never meant to open'));
  const bytes = Uint8Array.from(message!.bytes);
  bytes[bytes.length - 12]! ^= 1;
  const outcome = await receive(alice, thief.suite.local, { ...message!, bytes });
  assert.equal(outcome.kind, 'refused');
  assert.notEqual(refusal(outcome), 'untrusted-identity');
  const state = await alice.suite.readIdentity(bobPerson);
  assert(state.ok && state.value.pending === undefined);
  await send(alice, [bob], text('goes on'));
});

test('a session that skipped messages make too large is ended, its message is asked for again, and the next session heals', async () => {
  const { alice, bob } = await pair();
  let outcome: DecryptOutcome | undefined;
  for (let round = 0; round < 5 && outcome?.kind !== 'refused'; round++) {
    let last: DeviceCiphertext | undefined;
    for (let i = 0; i < 1_900; i++) last = (await send(alice, [bob], text('skipped')))[0]!;
    outcome = await receive(bob, alice.suite.local, last!);
    if (outcome.kind === 'content') await receive(alice, bob.suite.local, (await send(bob, [alice], text('turn')))[0]!);
  }
  assert(outcome !== undefined);
  assert.equal(refusal(outcome), 'session-too-large');
  assert(outcome.kind === 'refused' && decryptErrorAction(outcome.error) === 'retry', 'it is sound, and said again');
  const [next] = await send(alice, [bob], text('lost'));
  assert.equal(refusal(await receive(bob, alice.suite.local, next!)), 'no-session');
  await connect(bob, alice);
  content(await receive(alice, bob.suite.local, (await send(bob, [alice], text('again')))[0]!));
  assert.equal(
    content(await receive(bob, alice.suite.local, (await send(alice, [bob], text('healed')))[0]!)),
    'healed',
  );
});

test("nobody adds a device to a person without that person's identity key", async () => {
  const alice = await device(alicePerson, 1);
  const ghost = await device(alicePerson, 2);
  const started = await alice.suite.startSession(ghost.takeBundle(), () => assert.fail('nothing to commit'));
  assert(!started.ok && started.error.code === 'untrusted-identity');
  await connect(ghost, alice).then(
    () => assert.fail('the ghost must refuse too'),
    () => {},
  );
});

test('safety numbers agree on both sides and differ when a key differs', async () => {
  const { alice, bob } = await pair();
  const atAlice = await alice.suite.safetyNumber(bobPerson);
  const atBob = await bob.suite.safetyNumber(alicePerson);
  assert(atAlice.ok && atBob.ok);
  assert.match(atAlice.value.digits, /^[0-9]{60}$/);
  assert.equal(atAlice.value.digits, atBob.value.digits);
  assert.deepEqual(compareScanned(atAlice.value, atBob.value.scannable), { ok: true, value: true });
  const mallory = await device(alicePerson, 1);
  await connect(mallory, bob);
  const atMallory = await mallory.suite.safetyNumber(bobPerson);
  assert(atMallory.ok);
  assert.notEqual(atMallory.value.digits, atBob.value.digits);
  assert.deepEqual(compareScanned(atMallory.value, atBob.value.scannable), { ok: true, value: false });
  assert.equal(compareScanned(atAlice.value, text('not a code')).ok, false);
  const unknown = await alice.suite.safetyNumber(`9-${'z'.repeat(26)}`);
  assert(!unknown.ok && unknown.error.code === 'unknown-identity');
});

test('a failing or corrupt store is told as such and never as a bad message', async () => {
  const { alice, bob } = await pair();
  const [message] = await send(alice, [bob], text('later'));
  const broken = new Error('no such disk');
  const failing = {
    ...bob.store,
    read: (...args: Parameters<MemoryStore['read']>) => {
      if (args[0] === 'session') throw broken;
      return bob.store.read(...args);
    },
  };
  const reopened = await openSignalSuite({ local: bob.suite.local, store: failing, nowMs: () => 0 });
  assert(reopened.ok);
  const failed = await reopened.value.decrypt({ from: alice.suite.local, ...message! }, () =>
    assert.fail('nothing to commit'),
  );
  assert(!failed.ok && failed.error.code === 'store-failed' && failed.error.cause === broken);
  const notSent = await reopened.value.encryptFor(
    [{ to: alicePerson, devices: [{ deviceId: 1 }], content: text('x') }],
    () => assert.fail(),
  );
  assert(!notSent.ok && notSent.error.code === 'store-failed');
  bob.store.apply([{ op: 'put', table: 'identity', key: alicePerson, value: text('not a record') }]);
  const corrupt = await bob.suite.decrypt({ from: alice.suite.local, ...message! }, () =>
    assert.fail('nothing to commit'),
  );
  assert(!corrupt.ok && corrupt.error.code === 'store-failed');
});

test('content up to its limit fits into a first message; more is refused', async () => {
  const alice = await device(alicePerson, 1);
  const bob = await device(bobPerson, 1);
  await connect(alice, bob);
  const [largest] = await send(alice, [bob], new Uint8Array(MAX_CONTENT_BYTES).fill(7));
  assert.equal(largest!.kind, 'prekey');
  assert(largest!.bytes.length <= maxCiphertextBytes);
  const outcome = await receive(bob, alice.suite.local, largest!);
  assert(outcome.kind === 'content' && outcome.content.length === MAX_CONTENT_BYTES);
  const target = { to: bobPerson, devices: [{ deviceId: 1 }], content: new Uint8Array(MAX_CONTENT_BYTES + 1) };
  const tooLarge = await alice.suite.encryptFor([target], () => assert.fail());
  assert(!tooLarge.ok && tooLarge.error.code === 'content-too-large');
});

test('both start a session at once and still understand each other', async () => {
  const alice = await device(alicePerson, 1);
  const bob = await device(bobPerson, 1);
  await Promise.all([connect(alice, bob), connect(bob, alice)]);
  const [[fromAlice], [fromBob]] = await Promise.all([send(alice, [bob], text('a')), send(bob, [alice], text('b'))]);
  assert.equal(content(await receive(bob, alice.suite.local, fromAlice!)), 'a');
  assert.equal(content(await receive(alice, bob.suite.local, fromBob!)), 'b');
  for (let i = 0; i < 3; i++) {
    assert.equal(
      content(await receive(bob, alice.suite.local, (await send(alice, [bob], text(`a${i}`)))[0]!)),
      `a${i}`,
    );
    assert.equal(
      content(await receive(alice, bob.suite.local, (await send(bob, [alice], text(`b${i}`)))[0]!)),
      `b${i}`,
    );
  }
});

test('lengths do not show: all ciphertexts of one step have one size', async () => {
  const { alice, bob } = await pair();
  const sizes = new Set<number>();
  await send(alice, [bob], text('warm'));
  for (const length of [0, 1, 80, 159]) sizes.add((await send(alice, [bob], new Uint8Array(length)))[0]!.bytes.length);
  assert.equal(sizes.size, 1);
});

test('an archived session encrypts nothing more, and still reads what is on its way', async () => {
  const alice = await device(alicePerson, 1);
  const bob = await device(bobPerson, 1);
  await connect(alice, bob);
  const [hello] = await send(alice, [bob], text('hello'));
  await receive(bob, alice.suite.local, hello!);
  const [answer] = await send(bob, [alice], text('on its way'));
  const archived = await alice.suite.archiveSessions([bob.suite.local, { interopId: bobPerson, deviceId: 9 }], staged =>
    alice.store.apply(staged.changes),
  );
  assert(archived.ok);
  const target = { to: bobPerson, devices: [{ deviceId: 1 }], content: text('no') };
  const refused = await alice.suite.encryptFor([target], () => assert.fail('nothing is encrypted'));
  assert(!refused.ok && refused.error.code === 'no-session');
  const read = await receive(alice, bob.suite.local, answer!);
  assert(read.kind === 'content' && words(read.content) === 'on its way');
  await connect(alice, bob);
  const [fresh] = await send(alice, [bob], text('in a new one'));
  assert.equal(fresh!.kind, 'prekey');
  const got = await receive(bob, alice.suite.local, fresh!);
  assert(got.kind === 'content' && words(got.content) === 'in a new one');
});
