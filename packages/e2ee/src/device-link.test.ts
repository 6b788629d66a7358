import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createDevice } from './device-keys.ts';
import {
  answerCode,
  createLinkRequest,
  leftOutOfTicket,
  LINK_LIFETIME_MS,
  MAX_LINK_DECISIONS,
  MAX_LINK_PEOPLE,
  MAX_LINK_TICKET_CHARACTERS,
  openLinkTicket,
  readLinkRequest,
  sealLinkTicket,
} from './device-link.ts';

const nowMs = 1_800_000_000_000;

function setUp() {
  const old = createDevice({ nowMs });
  const fresh = createDevice({ nowMs });
  assert(old.ok && fresh.ok);
  const { thumbprint } = fresh.value.keys.deviceKey;
  const request = createLinkRequest(thumbprint, nowMs);
  const ticket = {
    identityKeyPair: old.value.keys.identityKeyPair,
    interopId: `1-${'b'.repeat(26)}`,
    domain: 'citadel.example',
    identifier: 'anna',
    provider: 'skylark.example',
    issuer: 'https://citadel.example',
    signingKey: '',
    people: [],
    deviceId: 1,
    peopleToFollow: 0,
    decisions: [],
  };
  return { old: old.value, fresh: fresh.value, thumbprint, request, ticket };
}

test('a new device gets the identity of the old one and nothing else does', () => {
  const { old, fresh, thumbprint, request, ticket } = setUp();
  assert.match(request.code, /^[A-Za-z0-9_-]+$/);
  const read = readLinkRequest(request.code, nowMs + 5_000);
  assert(read.ok);
  assert.equal(read.value.deviceKeyThumbprint, thumbprint);
  const sealed = sealLinkTicket(read.value, ticket, nowMs + 5_000);
  assert(sealed.ok);
  assert(!Buffer.from(sealed.value, 'base64url').includes(Buffer.from(old.keys.identityKeyPair).subarray(-32)));
  const opened = openLinkTicket(request.secret, sealed.value, nowMs + 9_000);
  assert(opened.ok);
  const code = answerCode(read.value.bytes, ticket);
  assert.match(code, /^\d{3} \d{3} \d{3}$/);
  assert.deepEqual(
    { ...opened.value, identityKeyPair: Buffer.from(opened.value.identityKeyPair) },
    { ...ticket, identityKeyPair: Buffer.from(ticket.identityKeyPair), answerCode: code },
  );
  const identityKeyPair = fresh.keys.identityKeyPair;
  for (const lie of [{ identityKeyPair }, { interopId: `1-${'c'.repeat(26)}` }, { signingKey: 'x' }, { issuer: 'y' }]) {
    assert.notEqual(answerCode(read.value.bytes, { ...ticket, ...lie }), code);
  }
  const linked = createDevice({ nowMs, identityKeyPair: opened.value.identityKeyPair });
  assert(linked.ok);
  assert.deepEqual(linked.value.keys.identityKey, old.keys.identityKey);

  const other = createLinkRequest(thumbprint, nowMs);
  assert.deepEqual(openLinkTicket(other.secret, sealed.value, nowMs), {
    ok: false,
    error: { code: 'ticket-not-for-this-device' },
  });
});

test('people beyond what a ticket holds are counted, verified ones last', () => {
  const { old, request, ticket } = setUp();
  const read = readLinkRequest(request.code, nowMs);
  assert(read.ok);
  const people = Array.from({ length: 2_000 }, (_, i) => ({
    interopId: `1-${'b'.repeat(26)}`,
    identityKey: old.keys.identityKey,
    verified: i >= 1_900,
    firstSeenAtMs: nowMs,
    provider: 'skylark.example',
    providerNumber: 1,
    identifier: 'x'.repeat(200),
  }));
  const sealed = sealLinkTicket(read.value, { ...ticket, people }, nowMs);
  assert(sealed.ok);
  const opened = openLinkTicket(request.secret, sealed.value, nowMs);
  assert(opened.ok, 'however many there are, it opens');
  const kept = opened.value.people;
  assert(kept.length > 200 && kept.length <= MAX_LINK_PEOPLE);
  assert.equal(kept.filter(({ verified }) => verified).length, 100);
  // The rest is counted, by its number and by its size, and with whom this device is still to learn of itself.
  assert.equal(opened.value.peopleToFollow, 2_000 - kept.length);
  const short = people.map(person => ({ ...person, identifier: 'x' }));
  assert.equal(leftOutOfTicket(short), 2_000 - MAX_LINK_PEOPLE);
  const long = people.map(person => ({ ...person, verified: true }));
  const unsure = sealLinkTicket(read.value, { ...ticket, people: long, peopleToFollow: 5 }, nowMs);
  assert(unsure.ok);
  const told = openLinkTicket(request.secret, unsure.value, nowMs);
  assert(told.ok);
  assert.equal(told.value.peopleToFollow, 2_005 - kept.length);
  // One of each provider goes along, verified or not.
  const rare = { ...people[0]!, verified: false, provider: 'rare.example', providerNumber: 2 };
  const withRare = sealLinkTicket(read.value, { ...ticket, people: [...long, rare] }, nowMs);
  assert(withRare.ok);
  const ofBoth = openLinkTicket(request.secret, withRare.value, nowMs);
  assert(ofBoth.ok);
  assert(ofBoth.value.people.some(({ provider }) => provider === 'rare.example'));
  // So do the keys that they had before: the latest go along, and have their share of the room.
  const formerIdentities = Array.from({ length: 20 }, (_, i) => Buffer.alloc(32, i));
  const changing = long.map(person => ({ ...person, formerIdentities }));
  const withFormer = sealLinkTicket(read.value, { ...ticket, people: changing }, nowMs);
  assert(withFormer.ok);
  const again = openLinkTicket(request.secret, withFormer.value, nowMs);
  assert(again.ok);
  assert.equal(again.value.peopleToFollow, 2_000 - again.value.people.length);
  assert.deepEqual(
    again.value.people[0]!.formerIdentities?.map(([first]) => first),
    [12, 13, 14, 15, 16, 17, 18, 19],
  );
});

test('decisions go along, blocks first, and beside as many people as a ticket holds', () => {
  const { old, request, ticket } = setUp();
  const read = readLinkRequest(request.code, nowMs);
  assert(read.ok);
  const interopId = `65535-${'b'.repeat(26)}`;
  const { identityKey } = old.keys;
  const person = { interopId, identityKey, verified: true, firstSeenAtMs: nowMs, provider: 'skylark.example' };
  const people = Array.from({ length: 500 }, () => ({ ...person, providerNumber: 1, identifier: 'x'.repeat(100) }));
  const messageId = new Uint8Array(16).fill(7);
  const decisions = Array.from({ length: 500 }, (_, at) =>
    at < 300
      ? ({ interopId, state: 'request', atMs: at, messageId: new Uint8Array() } as const)
      : ({ interopId, state: at < 400 ? 'denied' : 'blocked', atMs: nowMs + at, messageId } as const),
  );
  const words = { ...ticket, people, decisions, domain: 'd'.repeat(253), issuer: 'i'.repeat(2_048) };
  const sealed = sealLinkTicket(read.value, words, nowMs);
  assert(sealed.ok);
  assert(sealed.value.length <= MAX_LINK_TICKET_CHARACTERS);
  const opened = openLinkTicket(request.secret, sealed.value, nowMs);
  assert(opened.ok);
  const states = opened.value.decisions.map(({ state }) => state);
  assert.deepEqual(Map.groupBy(states, state => state).get('blocked')?.length, 100);
  assert.deepEqual(
    [states.length, states[0], states[99], states[100]],
    [MAX_LINK_DECISIONS, 'blocked', 'blocked', 'denied'],
  );
  assert.deepEqual(opened.value.decisions[0], { interopId, state: 'blocked', atMs: nowMs + 400, messageId });
  for (const wrong of [{ interopId: 'x' }, { messageId: new Uint8Array(15) }, { atMs: 2 ** 60 }]) {
    const odd = sealLinkTicket(read.value, { ...ticket, decisions: [{ ...decisions[0]!, ...wrong }] }, nowMs);
    assert(odd.ok);
    assert.deepEqual(openLinkTicket(request.secret, odd.value, nowMs), {
      ok: false,
      error: { code: 'invalid-link-code' },
    });
  }
});

test('a changed ticket, a swapped request and an old code are refused', () => {
  const { request, ticket, thumbprint } = setUp();
  const read = readLinkRequest(request.code, nowMs);
  assert(read.ok);
  const sealed = sealLinkTicket(read.value, ticket, nowMs);
  assert(sealed.ok);
  const bytes = Buffer.from(sealed.value, 'base64url');
  for (let i = 0; i < bytes.length; i += 7) {
    const changed = Buffer.from(bytes);
    changed[i]! ^= 1;
    assert.equal(openLinkTicket(request.secret, changed.toString('base64url'), nowMs).ok, false);
  }
  // The same seal key under another device key: the ticket is bound to the whole request.
  const forged = createLinkRequest(thumbprint, nowMs + 1);
  const swapped = Buffer.concat([request.secret.subarray(0, 32), forged.secret.subarray(32)]);
  assert.deepEqual(openLinkTicket(swapped, sealed.value, nowMs), {
    ok: false,
    error: { code: 'ticket-not-for-this-device' },
  });
  assert.deepEqual(readLinkRequest(request.code, nowMs + LINK_LIFETIME_MS + 1), {
    ok: false,
    error: { code: 'link-expired' },
  });
  assert.deepEqual(readLinkRequest(request.code, nowMs - 3_600_000), { ok: false, error: { code: 'link-expired' } });
  assert.deepEqual(openLinkTicket(request.secret, sealed.value, nowMs + LINK_LIFETIME_MS + 1), {
    ok: false,
    error: { code: 'link-expired' },
  });
});

test('anything a person may paste gives a refusal', () => {
  const { request } = setUp();
  for (const code of [
    '',
    'hello',
    `${request.code}=`,
    request.code.slice(0, -8),
    'A'.repeat(600),
    '🙂',
    request.code.replace(/^./, '!'),
  ]) {
    assert.deepEqual(readLinkRequest(code, nowMs), { ok: false, error: { code: 'invalid-link-code' } }, code);
    assert.equal(openLinkTicket(request.secret, code, nowMs).ok, false);
  }
});
