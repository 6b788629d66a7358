import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { generateSigningKey } from '@drawbridge/identity/jwk';
import { type Fixture, issuers, openFixture } from '../testing/control-fixture.ts';

const opened: Fixture[] = [];
async function open(config: Record<string, unknown> = {}): Promise<Fixture> {
  const fixture = await openFixture({ config });
  opened.push(fixture);
  return fixture;
}
after(async () => {
  for (const fixture of opened) await fixture.close();
});

test('a proof admits its device on both transports', async () => {
  const { control, clock, enlist, proof, world } = await open();
  const { account, device, sample } = await enlist(1, 'anna');
  const xmpp = await control.login.authenticate(await proof(issuers.skylark, 'anna', sample.jkt), {
    transport: 'xmpp',
    nowMs: clock.nowMs,
  });
  assert.deepEqual(xmpp, {
    kind: 'admitted',
    account,
    device,
    keyThumbprint: world.keys.get(issuers.skylark)!.kid,
    proofExpiresAtMs: clock.nowMs + 120_000,
  });
  const compact = await control.login.authenticate(
    await proof(issuers.skylark, 'anna', sample.jkt, { lifetimeSeconds: 600 }),
    { transport: 'compact', deviceKeyThumbprint: sample.jkt, nowMs: clock.nowMs },
  );
  assert.equal(compact.kind, 'admitted');
});

test('of fifty logins at once with one proof, one is admitted, also after a restart', async () => {
  const first = await open();
  const { sample } = await first.enlist(1, 'anna');
  const token = await first.proof(issuers.skylark, 'anna', sample.jkt);
  const context = { transport: 'xmpp', nowMs: first.clock.nowMs } as const;
  const results = await Promise.all(Array.from({ length: 50 }, () => first.control.login.authenticate(token, context)));
  const codes = results.map(result => (result.kind === 'refused' ? result.code : 'admitted')).sort();
  assert.deepEqual(codes, ['admitted', ...Array<string>(49).fill('replayed')]);
  const second = await first.restart();
  opened.push(second);
  assert.deepEqual(await second.control.login.authenticate(token, context), { kind: 'refused', code: 'replayed' });
  await second.control.sweep();
  assert.deepEqual({ ...second.store.reads.prepare('SELECT count(*) AS n FROM proof_id').get() }, { n: 1 });
  // One look at the clock is not enough to forget: it may have been set ahead.
  second.clock.nowMs += 600_000;
  await second.control.sweep();
  second.clock.nowMs -= 600_000;
  assert.deepEqual(await second.control.login.authenticate(token, context), { kind: 'refused', code: 'replayed' });
  for (let minutes = 0; minutes < 30; minutes++) {
    second.clock.nowMs += 60_000;
    await second.control.sweep();
  }
  assert.deepEqual({ ...second.store.reads.prepare('SELECT count(*) AS n FROM proof_id').get() }, { n: 0 });
});

test('every wrong proof is refused with its code, and none names a person in the log', async () => {
  const fixture = await open();
  const { control, clock, enlist, proof, logLines } = fixture;
  const { sample, account } = await enlist(1, 'anna-the-person');
  const other = await enlist(1, 'bert');
  const own = await enlist(0, 'anna-the-person');
  const jkt = sample.jkt;
  const skylark = issuers.skylark;
  const stranger = generateSigningKey('ES256');
  const cases: [string, string, { transport: 'xmpp' | 'compact'; deviceKeyThumbprint?: string }][] = [
    [
      'lifetime-too-long',
      await proof(skylark, 'anna-the-person', jkt, { lifetimeSeconds: 121 }),
      { transport: 'xmpp' },
    ],
    ['audience-refused', await proof(skylark, 'anna-the-person', jkt, { audience: skylark }), { transport: 'xmpp' }],
    ['key-unknown', await proof(skylark, 'anna-the-person', jkt, { key: stranger }), { transport: 'xmpp' }],
    ['account-unknown', await proof(skylark, 'nobody', jkt), { transport: 'xmpp' }],
    // Heron's word about Skylark's user: the subject is Heron's own, whom nobody enlisted.
    ['account-unknown', await proof(issuers.heron, 'anna-the-person', jkt), { transport: 'xmpp' }],
    ['device-unknown', await proof(skylark, 'anna-the-person', other.sample.jkt), { transport: 'xmpp' }],
    ['device-unknown', await proof(skylark, 'anna-the-person', own.sample.jkt), { transport: 'xmpp' }],
    ['device-key-mismatch', await proof(skylark, 'anna-the-person', jkt), { transport: 'compact' }],
    [
      'device-key-mismatch',
      await proof(skylark, 'anna-the-person', jkt),
      { transport: 'compact', deviceKeyThumbprint: other.sample.jkt },
    ],
    ['not-compact', 'nonsense', { transport: 'xmpp' }],
    ['too-large', 'x'.repeat(10_000), { transport: 'xmpp' }],
  ];
  for (const [code, token, context] of cases) {
    assert.deepEqual(await control.login.authenticate(token, { ...context, nowMs: clock.nowMs }), {
      kind: 'refused',
      code,
    });
  }
  const late = await proof(skylark, 'anna-the-person', jkt);
  const afterwards = { transport: 'xmpp', nowMs: clock.nowMs + 181_000 } as const;
  assert.deepEqual(await control.login.authenticate(late, afterwards), { kind: 'refused', code: 'expired' });

  const now = { transport: 'xmpp', nowMs: clock.nowMs } as const;
  await control.enlistment.setStatus(account.interopId, 'suspended', 'admin', clock.nowMs);
  const asSuspended = await control.login.authenticate(await proof(skylark, 'anna-the-person', jkt), now);
  assert.deepEqual(asSuspended, { kind: 'refused', code: 'account-suspended' });
  await control.registry.setStatus(1, 'suspended', 'admin', clock.nowMs);
  const ofSuspended = await control.login.authenticate(await proof(skylark, 'bert', other.sample.jkt), now);
  assert.deepEqual(ofSuspended, { kind: 'refused', code: 'issuer-unknown' });
  assert.deepEqual(fixture.events.at(-1), { kind: 'provider-suspended', provider: 1 });

  const log = logLines.join('\n');
  assert.match(log, /account-unknown/);
  for (const secret of ['anna-the-person', 'bert', jkt, account.interopId, late.slice(0, 20)]) {
    assert(!log.includes(secret), 'the log names nobody');
  }
});

test('a suspension that comes while the proof is being used up is not missed', async () => {
  const { control, clock, enlist, proof } = await open();
  const { account, sample } = await enlist(1, 'anna');
  const token = await proof(issuers.skylark, 'anna', sample.jkt);
  const suspended = control.enlistment.setStatus(account.interopId, 'suspended', 'admin', clock.nowMs);
  // It reads before it writes: behind another read, the write is on its way.
  await control.accounts.findAfresh(account.interopId, account);
  const result = await control.login.authenticate(token, { transport: 'xmpp', nowMs: clock.nowMs });
  await suspended;
  assert.deepEqual(result, { kind: 'refused', code: 'account-suspended' });
});

test('no proof, no jti and no thumbprint of a refused device is on the disk', async () => {
  const { control, clock, enlist, proof, folder } = await open();
  const { sample } = await enlist(1, 'anna');
  const jti = 'plainly-visible-jti-0001';
  const token = await proof(issuers.skylark, 'anna', sample.jkt, { jti });
  await control.login.authenticate(token, { transport: 'xmpp', nowMs: clock.nowMs });
  const files = readdirSync(folder).filter(name => name.startsWith('gatekeeper.sqlite'));
  assert(files.length > 0);
  for (const name of files) {
    const bytes = readFileSync(join(folder, name));
    assert(name !== 'gatekeeper.sqlite-wal' || bytes.includes('anna'), 'the scan sees what was written');
    for (const secret of [jti, token, token.split('.')[1]!, token.split('.')[2]!])
      assert(!bytes.includes(secret), name);
  }
});

test('a suspended provider stays suspended over a restart, and a number never changes hands', async () => {
  const first = await open();
  await first.control.registry.setStatus(1, 'suspended', 'admin', first.clock.nowMs);
  const second = await first.restart();
  opened.push(second);
  assert.equal(second.control.registry.find(1)?.status, 'suspended');
  assert.equal(second.control.registry.isLive(1), false);
  assert.equal(await second.control.registry.setStatus(1, 'live', 'admin', 1), 'changed');
  assert.equal(await second.control.registry.setStatus(9, 'live', 'admin', 1), 'unknown');
  await second.stop();
  const other = { number: 1, name: 'other.example', issuer: 'https://other.example' };
  await assert.rejects(openFixture({ folder: second.folder, config: { providers: [other] } }), {
    code: 'provider-renamed',
    message: /number 1 as skylark\.example/,
  });
});

test('that the keys of a provider are not at hand is told to its own people, and strangers hear what a forger hears', async () => {
  const first = await open({
    mode: 'production',
    tls: { certFile: 'server.pem', keyFile: 'server-key.pem' },
    listeners: { http: { port: 443 }, admin: { port: 9320 } },
  });
  const anna = await first.enlist(1, 'anna');
  const { world } = first;
  const own = world.keys.get(issuers.skylark)!;
  const forged = { ...generateSigningKey('ES256'), kid: own.kid };
  const rotated = generateSigningKey('ES256');
  const ask = async (
    { control, proof, clock }: Fixture,
    subject: string,
    jkt: string,
    more: Asked = {},
  ): Promise<string> => {
    const token = await proof(issuers.skylark, subject, jkt, more.key === undefined ? {} : { key: more.key });
    const proven = more.proven === undefined ? {} : { deviceKeyThumbprint: more.proven };
    const transport = more.proven === undefined ? 'xmpp' : 'compact';
    const result = await control.login.authenticate(token, { transport, nowMs: clock.nowMs, ...proven });
    return result.kind === 'refused' ? result.code : result.kind;
  };
  const { jkt } = anna.sample;
  const strangers = async (fixture: Fixture): Promise<string[]> => [
    await ask(fixture, 'anna', 'A'.repeat(43), { key: rotated }),
    await ask(fixture, 'nobody', jkt, { key: rotated }),
    await ask(fixture, 'anna', jkt, { key: rotated, proven: 'A'.repeat(43) }),
  ];
  const isForged = 'signature-refused';
  assert.equal(await ask(first, 'anna', jkt, { key: own }), 'admitted');
  assert.equal(await ask(first, 'anna', jkt, { key: forged }), isForged);
  const asEver = await strangers(first);
  assert.deepEqual(asEver, ['key-unknown', 'key-unknown', 'key-unknown']);
  world.published.set(issuers.skylark, []);
  for (const isRestarted of [false, true]) {
    const fixture = isRestarted ? await first.restart() : first;
    opened.push(fixture);
    fixture.clock.nowMs += 25 * 3_600_000;
    assert.deepEqual(await strangers(fixture), asEver);
    assert.equal(await ask(fixture, 'anna', jkt, { key: forged }), isForged);
    // A key of the last set, of whoever it speaks; and an enlisted device, by whatever key.
    assert.equal(await ask(fixture, 'nobody', 'A'.repeat(43), { key: own }), 'key-set-unavailable');
    assert.equal(await ask(fixture, 'anna', jkt, { key: rotated }), 'key-set-unavailable');
    assert.equal(await ask(fixture, 'anna', jkt, { key: rotated, proven: jkt }), 'key-set-unavailable');
  }
});

type Asked = { readonly key?: ReturnType<typeof generateSigningKey>; readonly proven?: string };
