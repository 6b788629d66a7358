// Security event tokens: verified once, and refused when anything about them differs.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generateSigningKey, verificationKey } from './jwk.ts';
import { signJws } from './jws.ts';
import { localKeySource } from './key-set.ts';
import { issueOwnershipProof } from './issue-ownership-proof.ts';
import {
  gatekeeperEvents,
  isAboutProvider,
  isEventPayload,
  providerEvents,
  type SecurityEventKind,
} from './security-event-kinds.ts';
import {
  claimedIssuer,
  issueSecurityEvent,
  type SecurityEventContext,
  type SecurityEventErrorCode,
  securityEventErrors,
  verifySecurityEvent,
} from './security-event.ts';

const nowSeconds = 1_795_000_000;
const citadel = 'https://citadel.example';
const skylark = 'https://id.skylark.example';
const key = generateSigningKey('EdDSA');
const other = generateSigningKey('ES256');
const wakeUp = 'urn:drawbridge:event:wake-up';
const payload = {
  iss: citadel,
  aud: skylark,
  jti: 'AAAAAAAAAAAAAAAAAAAAAA',
  iat: nowSeconds - 5,
  sub_id: { format: 'opaque', id: 'mia' },
  events: { [wakeUp]: {} },
};

function context(change: Partial<SecurityEventContext> = {}): SecurityEventContext {
  const taken = new Set<string>();
  return {
    issuer: citadel,
    audience: skylark,
    keys: localKeySource(() => [verificationKey(key), verificationKey(other)]),
    nowMs: nowSeconds * 1000,
    accepts: [wakeUp],
    takeEventId: async id => !taken.has(id.jti) && taken.add(id.jti).size > 0,
    ...change,
  };
}

const signed = (body: object): string => signJws(key, 'secevent+jwt', body as Record<string, unknown>);
const codeOf = async (token: string, where = context()): Promise<string> => {
  const verdict = await verifySecurityEvent(token, where);
  return verdict.kind === 'refused' ? verdict.code : verdict.kind;
};

test('an event is verified, once', async () => {
  const where = context();
  const token = await issueSecurityEvent(key, {
    issuer: citadel,
    audience: skylark,
    jti: payload.jti,
    issuedAtSeconds: payload.iat,
    subject: 'mia',
    event: wakeUp,
  });
  assert.deepEqual(await verifySecurityEvent(token, where), {
    kind: 'verified',
    event: {
      issuer: citadel,
      jti: payload.jti,
      issuedAtMs: payload.iat * 1000,
      occurredAtMs: payload.iat * 1000,
      usableUntilMs: (payload.iat + 600) * 1000,
      subject: 'mia',
      event: wakeUp,
      payload: {},
    },
  });
  assert.equal(await codeOf(token, where), 'repeated');
});

const { jti: _jti, ...withoutId } = payload;
const refusals: readonly (readonly [string, SecurityEventErrorCode, string])[] = [
  ['nothing', 'not-compact', ''],
  ['too much', 'too-large', 'A'.repeat(8193)],
  ['padding', 'encoding-refused', `${signed(payload)}=`],
  ['a list', 'json-refused', `${signed(payload).split('.')[0]}.W10.AAAA`],
  ['another typ', 'type-refused', signJws(key, 'JWT', payload)],
  ['alg none', 'algorithm-refused', `${Buffer.from('{"alg":"none"}').toString('base64url')}.e30.AAAA`],
  [
    'a header with more',
    'header-refused',
    `${Buffer.from('{"alg":"EdDSA","kid":"k","typ":"secevent+jwt","crit":[]}').toString('base64url')}.e30.AAAA`,
  ],
  ['no jti', 'claim-set-refused', signed(withoutId)],
  ['exp', 'claim-set-refused', signed({ ...payload, exp: nowSeconds + 60 })],
  ['sub', 'claim-set-refused', signed({ ...payload, sub: 'mia' })],
  ['another issuer', 'issuer-unknown', signed({ ...payload, iss: `${citadel}/` })],
  ['another audience', 'audience-refused', signed({ ...payload, aud: 'https://heron.example' })],
  ['an audience list', 'audience-refused', signed({ ...payload, aud: [skylark] })],
  ['an old one', 'times-refused', signed({ ...payload, iat: nowSeconds - 600 })],
  ['one of tomorrow', 'times-refused', signed({ ...payload, iat: nowSeconds + 61 })],
  ['iat as text', 'times-refused', signed({ ...payload, iat: String(nowSeconds) })],
  ['a short jti', 'token-id-refused', signed({ ...payload, jti: 'A' })],
  ['an email subject', 'subject-refused', signed({ ...payload, sub_id: { format: 'email', email: 'mia' } })],
  ['a subject with more', 'subject-refused', signed({ ...payload, sub_id: { ...payload.sub_id, x: 1 } })],
  [
    'a subject with a control character',
    'subject-refused',
    signed({ ...payload, sub_id: { format: 'opaque', id: 'a\n' } }),
  ],
  ['no event', 'event-refused', signed({ ...payload, events: {} })],
  ['an unknown event', 'event-refused', signed({ ...payload, events: { 'urn:other': {} } })],
  ['two events', 'event-refused', signed({ ...payload, events: { [wakeUp]: {}, 'urn:other': {} } })],
  ['an event with content', 'event-refused', signed({ ...payload, events: { [wakeUp]: { from: 'otto' } } })],
  ['a wake-up that says when it occurred', 'claim-set-refused', signed({ ...payload, toe: nowSeconds })],
  ['a list of events', 'event-refused', signed({ ...payload, events: [wakeUp] })],
  ['an unknown key', 'key-unknown', signJws({ ...key, kid: 'nobody' }, 'secevent+jwt', payload)],
  ['a key of the other kind', 'algorithm-key-mismatch', signJws({ ...key, kid: other.kid }, 'secevent+jwt', payload)],
  [
    "a stranger's signature",
    'signature-refused',
    signJws({ ...generateSigningKey('EdDSA'), kid: key.kid }, 'secevent+jwt', payload),
  ],
];

for (const [what, code, token] of refusals) {
  test(`refused: ${what}`, async () => {
    const takeEventId = (): Promise<boolean> => assert.fail('nothing is used up by a refused token');
    assert.equal(await codeOf(token, context({ takeEventId })), code);
  });
}

test('an ownership proof is not an event', async () => {
  const proof = await issueOwnershipProof(key, {
    issuer: citadel,
    audience: skylark,
    subject: 'mia',
    jkt: 'A'.repeat(43),
    jti: payload.jti,
    issuedAtSeconds: nowSeconds,
    expiresAtSeconds: nowSeconds + 60,
  });
  assert.equal(await codeOf(proof), 'type-refused');
});

test('keys or a store that cannot be had ask for a retry', async () => {
  const keys = { findKey: async () => ({ kind: 'unavailable' }) as const };
  assert.equal(await codeOf(signed(payload), context({ keys })), 'key-set-unavailable');
  const takeEventId = (): Promise<boolean> => Promise.reject(new Error('disk'));
  assert.equal(await codeOf(signed(payload), context({ takeEventId })), 'replay-check-failed');
  assert.ok(securityEventErrors['key-set-unavailable'].retry && securityEventErrors['replay-check-failed'].retry);
});

test('edges of time', async () => {
  assert.equal(await codeOf(signed({ ...payload, iat: nowSeconds - 599 })), 'verified');
  assert.equal(await codeOf(signed({ ...payload, iat: nowSeconds + 60 })), 'verified');
});

const risc = 'https://schemas.openid.net/secevent/risc/event-type';
const happened = { ...payload, iss: skylark, aud: citadel, toe: nowSeconds - 4_000 };
const toGatekeeper = (change: Partial<SecurityEventContext> = {}): SecurityEventContext =>
  context({ issuer: skylark, audience: citadel, accepts: providerEvents, provider: skylark, ...change });
const ofProvider = { format: 'uri', uri: skylark };

test('every event can be issued and is read as it was meant, with its time to the millisecond', async () => {
  const payloads: Partial<Record<SecurityEventKind, object>> = {
    [`${risc}/account-disabled`]: { reason: 'hijacking' },
    [`${risc}/identifier-changed`]: { 'new-value': 'mia.new' },
    [`${risc}/credential-compromise`]: { credential_type: 'password', reason_admin: 'found in a list' },
    'urn:drawbridge:event:keys-compromised': { reason: 'a laptop was stolen' },
    'urn:drawbridge:event:provider-step': { step: 'suspended', reason: 'spam' },
    'urn:drawbridge:event:enlistment-ended': { by: 'operator' },
    'urn:drawbridge:event:report-upheld': { report: 'r1', category: 'spam' },
  };
  for (const event of [...providerEvents, ...gatekeeperEvents]) {
    const says = (payloads[event] ?? {}) as Record<string, unknown>;
    const subject = isAboutProvider(event) ? skylark : 'mia';
    const occurredAtMs = nowSeconds * 1000 - 86_400_000 + 123;
    const token = await issueSecurityEvent(key, {
      ...{ issuer: skylark, audience: citadel, jti: payload.jti, issuedAtSeconds: nowSeconds, subject, event },
      payload: says,
      ...(event === wakeUp ? {} : { occurredAtMs }),
    });
    const verdict = await verifySecurityEvent(token, toGatekeeper({ accepts: [event] }));
    assert.ok(verdict.kind === 'verified', `${event}: ${JSON.stringify(verdict)}`);
    assert.deepEqual([verdict.event.subject, verdict.event.payload], [subject, says]);
    assert.equal(verdict.event.occurredAtMs, event === wakeUp ? nowSeconds * 1000 : occurredAtMs);
    assert.equal(await codeOf(token, toGatekeeper({ accepts: [] })), 'event-refused');
  }
});

const lies: readonly (readonly [string, SecurityEventErrorCode, object])[] = [
  ['no time', 'claim-set-refused', { toe: undefined }],
  ['a time that is ahead', 'times-refused', { toe: nowSeconds + 61 }],
  ['a time as text', 'times-refused', { toe: '1' }],
  ['a time that is none', 'times-refused', { toe: -1 }],
  ["another provider's person", 'subject-refused', { sub_id: { format: 'iss_sub', iss: citadel, sub: 'mia' } }],
  ['what the receiver does not take', 'event-refused', { events: { [wakeUp]: {} } }],
  ['a new name that is none', 'event-refused', { events: { [`${risc}/identifier-changed`]: { 'new-value': '' } } }],
  ['no new name', 'event-refused', { events: { [`${risc}/identifier-changed`]: {} } }],
  ['an unknown reason', 'event-refused', { events: { [`${risc}/account-disabled`]: { reason: 'mood' } } }],
  ['no credential', 'event-refused', { events: { [`${risc}/credential-compromise`]: {} } }],
  ['keys of a person', 'subject-refused', { events: { 'urn:drawbridge:event:keys-rotated': {} } }],
  [
    "another provider's keys",
    'subject-refused',
    { events: { 'urn:drawbridge:event:keys-rotated': {} }, sub_id: { format: 'uri', uri: 'https://heron.example' } },
  ],
  ['a person that is a provider', 'subject-refused', { sub_id: ofProvider }],
];

for (const [what, code, change] of lies) {
  test(`refused of a provider: ${what}`, async () => {
    const body = { ...happened, events: { [`${risc}/account-purged`]: {} }, ...change };
    const { toe, ...withoutTime } = body;
    assert.equal(await codeOf(signed(toe === undefined ? withoutTime : body), toGatekeeper()), code);
  });
}

test('a reason has 500 characters, also those that are two code units, as interfaces for operators count them', () => {
  const kind = 'urn:drawbridge:event:keys-compromised';
  for (const character of ['x', '\u{1f600}']) {
    assert(isEventPayload(kind, { reason: character.repeat(500) }));
    assert(!isEventPayload(kind, { reason: character.repeat(501) }));
  }
  for (const reason of ['', 'a\nb', 'a\u0085']) assert(!isEventPayload(kind, { reason }));
});

test('the issuer that a token claims can be asked for before anything is proven', () => {
  assert.equal(claimedIssuer(signed(happened)), skylark);
  for (const none of ['', 'x.y.z', signed({ ...payload, iss: 7 })]) assert.equal(claimedIssuer(none), undefined);
});

test('every code of the table is met by a test', () => {
  const met = new Set<string>([
    ...refusals.map(([, code]) => code),
    'repeated',
    'key-set-unavailable',
    'replay-check-failed',
  ]);
  assert.deepEqual([...met].sort(), Object.keys(securityEventErrors).sort());
});
