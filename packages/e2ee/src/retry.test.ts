import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Content, decodeContent, encodeContent } from './content/content.ts';
import { createDevice, type NewDevice } from './device-keys.ts';
import { decryptErrorAction } from './errors.ts';
import { createMemoryStore, type MemoryStore } from './memory-store.ts';
import {
  decideRetry,
  isRetryRowOver,
  makeDecryptionError,
  makePlaintextRetry,
  MAX_RETRIES_PER_DEVICE,
  MAX_RETRIES_PER_STANZA,
  readDecryptionError,
  retryKey,
  RETRY_WINDOW_MS,
  stanzaTag,
} from './retry.ts';
import { openSignalSuite } from './sessions.ts';
import type { StoreChange } from './stores.ts';
import type { DecryptOutcome, E2eeSuite } from './suite.ts';

type End = {
  suite: E2eeSuite;
  store: MemoryStore;
  made: NewDevice;
  apply: (staged: { changes: readonly StoreChange[] }) => void;
};

async function end(interopId: string): Promise<End> {
  const store = createMemoryStore();
  const made = createDevice({ nowMs: 1 });
  assert(made.ok);
  store.apply(made.value.changes);
  const opened = await openSignalSuite({ local: { interopId, deviceId: 1 }, store, nowMs: () => 1 });
  assert(opened.ok);
  return { suite: opened.value, store, made: made.value, apply: staged => store.apply(staged.changes) };
}

async function connect(from: End, to: End, oneTime: number): Promise<void> {
  const { keys, publication } = to.made;
  const started = await from.suite.startSession(
    {
      address: to.suite.local,
      registrationId: keys.registrationId,
      identityKey: keys.identityKey,
      signedPrekey: publication.signedPrekey!,
      prekey: publication.prekeys[oneTime]!,
      kemPrekey: publication.kemPrekeys[oneTime]!,
    },
    from.apply,
  );
  assert(started.ok);
}

async function send(from: End, to: End, content: Uint8Array) {
  const sent = await from.suite.encryptFor(
    [{ to: to.suite.local.interopId, devices: [{ deviceId: 1 }], content }],
    from.apply,
  );
  assert(sent.ok, JSON.stringify(sent));
  return sent.value.ciphertexts[0]!;
}

async function receive(
  at: End,
  from: End,
  message: { kind: 'prekey' | 'session' | 'plaintext-retry'; bytes: Uint8Array },
): Promise<DecryptOutcome> {
  const got = await at.suite.decrypt({ from: from.suite.local, kind: message.kind, bytes: message.bytes }, at.apply);
  assert(got.ok);
  return got.value;
}

async function lostSession() {
  const alice = await end(`0-${'a'.repeat(26)}`);
  const bob = await end(`1-${'b'.repeat(26)}`);
  await connect(alice, bob, 0);
  await receive(bob, alice, await send(alice, bob, new Uint8Array([1])));
  await receive(alice, bob, await send(bob, alice, new Uint8Array([2])));
  await bob.suite.endSessions(alice.suite.local.interopId, 'all', bob.apply);
  const lost = await send(alice, bob, new TextEncoder().encode('lost'));
  const outcome = await receive(bob, alice, lost);
  assert(outcome.kind === 'refused' && outcome.error.code === 'no-session');
  assert.equal(decryptErrorAction(outcome.error), 'retry');
  const failed = { from: alice.suite.local, kind: lost.kind, bytes: lost.bytes, stanzaId: 's-7' };
  const decryptionError = makeDecryptionError(failed);
  assert(decryptionError.ok);
  return { alice, bob, decryptionError: decryptionError.value };
}

test('a lost message comes again after a retry request inside a fresh session', async () => {
  const { alice, bob, decryptionError } = await lostSession();
  await connect(bob, alice, 0);
  const request: Content = {
    messageId: new Uint8Array(16),
    sentAtMs: 1,
    body: { kind: 'retry-request', stanzaId: 's-7', decryptionError, attempt: 1 },
  };
  const encoded = encodeContent(request);
  assert(encoded.ok);
  const asked = await receive(alice, bob, await send(bob, alice, encoded.value));
  assert.equal(asked.kind, 'content');
  const read = asked.kind === 'content' && decodeContent(asked.content);
  assert(read && read.ok && read.value.body.kind === 'retry-request');
  assert.deepEqual(readDecryptionError(read.value.body.decryptionError), {
    ok: true,
    value: { tag: stanzaTag('s-7'), deviceId: 1 },
  });
  const again = await receive(bob, alice, await send(alice, bob, new TextEncoder().encode('lost')));
  assert.equal(again.kind === 'content' && Buffer.from(again.content).toString(), 'lost');
});

test('a plaintext retry names stanza, device and ratchet key, and nothing of the text', async () => {
  const { alice, bob, decryptionError } = await lostSession();
  const bytes = makePlaintextRetry(decryptionError);
  const asked = await receive(alice, bob, { kind: 'plaintext-retry', bytes });
  assert(asked.kind === 'retry-request');
  assert.deepEqual(asked.request, { tag: stanzaTag('s-7'), deviceId: 1, ratchetKeyIsCurrent: true });
  await alice.suite.endSessions(bob.suite.local.interopId, [1], alice.apply);
  await connect(alice, bob, 1);
  const late = await receive(alice, bob, { kind: 'plaintext-retry', bytes });
  assert(
    late.kind === 'retry-request' && !late.request.ratchetKeyIsCurrent,
    'a repeated request does not end the new session',
  );
  const again = await receive(bob, alice, await send(alice, bob, new TextEncoder().encode('lost')));
  assert.equal(again.kind === 'content' && Buffer.from(again.content).toString(), 'lost');
});

test('bytes that are not a request are refused; nothing answers an error', async () => {
  const { alice, bob, decryptionError } = await lostSession();
  const lost = await send(alice, bob, new Uint8Array([3]));
  const elsewhere = makeDecryptionError({
    from: { ...alice.suite.local, deviceId: 2 },
    kind: lost.kind,
    bytes: lost.bytes,
    stanzaId: 's-8',
  });
  assert(elsewhere.ok);
  for (const bytes of [
    makePlaintextRetry(elsewhere.value),
    new Uint8Array(),
    new Uint8Array([0xc0]),
    new TextEncoder().encode('hello'),
    decryptionError,
  ]) {
    const outcome = await receive(alice, bob, { kind: 'plaintext-retry', bytes });
    assert(outcome.kind === 'refused' && decryptErrorAction(outcome.error) === 'lose');
  }
  assert.deepEqual(readDecryptionError(new Uint8Array([1, 2, 3])), {
    ok: false,
    error: { code: 'invalid-decryption-error' },
  });
  const foreign = makeDecryptionError({
    from: alice.suite.local,
    kind: 'session',
    bytes: new Uint8Array(4),
    stanzaId: 'x',
  });
  assert.deepEqual(foreign, { ok: false, error: { code: 'not-a-message' } });
});

test('retries end: per stanza, and per device within an hour', () => {
  const rows = new Map<string, Uint8Array>();
  const device = { interopId: `0-${'a'.repeat(26)}`, deviceId: 1 };
  const ask = (attempt: number, nowMs: number, purpose: 'request' | 'resend' = 'request') => {
    const decision = decideRetry(purpose, device, attempt, nowMs, rows.get(retryKey(purpose, device)));
    rows.set(decision.row.key, decision.row.value);
    return decision;
  };
  const first = Array.from({ length: 5 }, (_, i) => ask(i + 1, 1_000));
  assert.deepEqual(
    first.map(each => [each.allowed, each.isBeyond, each.row.isFirst]),
    [
      [true, false, true],
      [true, false, false],
      [true, false, false],
      [false, true, false],
      [false, false, false],
    ],
  );
  assert.equal(MAX_RETRIES_PER_STANZA, 3);
  rows.clear();
  const many = Array.from({ length: MAX_RETRIES_PER_DEVICE + 5 }, () => ask(1, 1_000));
  assert.equal(many.filter(({ allowed }) => allowed).length, MAX_RETRIES_PER_DEVICE);
  assert.equal(many.filter(({ hasQuota }) => hasQuota).length, MAX_RETRIES_PER_DEVICE);
  assert.equal(ask(1, 1_000, 'resend').allowed, true, 'asking and answering are counted apart');
  const { row } = ask(1, 1_000);
  assert.equal(isRetryRowOver(row.value, 1_000 + RETRY_WINDOW_MS - 1), false);
  assert.equal(isRetryRowOver(row.value, 1_000 + RETRY_WINDOW_MS), true);
  assert.equal(ask(1, 1_000 + RETRY_WINDOW_MS).allowed, true);
  assert.equal(ask(1, 0).allowed, true, 'a clock that was set back');
});
