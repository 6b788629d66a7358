// A clock that is far ahead and not believed: what waits to be told to providers, and what they could not be told, grows no older.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createBelievedClock } from '@drawbridge/identity/believed-clock';
import { generateSigningKey } from '@drawbridge/identity/jwk';
import { systemAfter } from '@drawbridge/identity/timers';
import { Sweeps } from '../control-sweeps.ts';
import { issuers, openFixture } from '../testing/control-fixture.ts';
import type { WaitingEvent } from './event-outbox.ts';
import { createOutboundEvents } from './outbound-events.ts';

const dayMs = 86_400_000;
const in2090Ms = 64 * 365 * dayMs;
const event = {
  provider: 1,
  url: 'https://skylark.example/events',
  audience: 'https://skylark.example',
  tokenId: 'A'.repeat(24),
  subject: 'mia',
  event: 'urn:drawbridge:event:enlistment-suspended',
  payload: {},
} as const;

/** What becomes of an event whose first try failed and whose second fails when so much time is believed to have gone by. */
async function secondFailure(believedMs: number): Promise<string> {
  const startMs = 1_790_000_000_000;
  const waiting: WaitingEvent = { ...event, seq: 1, attempts: 1, occurredAtMs: startMs };
  const { promise: done, resolve } = Promise.withResolvers<string>();
  let isTaken = false;
  const outbound = createOutboundEvents({
    outbox: {
      due: async () => [1],
      take: async () => (isTaken ? [] : ((isTaken = true), [waiting])),
      remove: async () => resolve('removed'),
      postpone: async () => resolve('postponed'),
      bury: async () => resolve('buried'),
      list: async () => [],
      revive: async () => 0,
      counts: async () => [],
      sweep: async () => 0,
    },
    endpointOf: () => undefined,
    egressFetch: async () => ({ kind: 'failed', code: 'connect-failed' }),
    signingKey: generateSigningKey('ES256'),
    issuer: 'https://citadel.example',
    limits: { eventsAtOnce: 4, eventLifetimeHours: 72, deadEventsPerProvider: 9 } as never,
    random: () => 0.5,
    nowMs: () => startMs + in2090Ms,
    judgeMs: () => startMs + believedMs,
    stampMs: () => startMs + in2090Ms,
    monotonicMs: () => performance.now(),
    after: systemAfter,
    log: () => undefined,
  });
  // Its timers hold nobody.
  const alive = setInterval(() => undefined, 1_000);
  const outcome = await done;
  clearInterval(alive);
  await outbound.close();
  return outcome;
}

test('an event that waits is given up when its time was believed to go by, not when the clock says so', async () => {
  assert.equal(await secondFailure(3_600_000), 'postponed');
  assert.equal(await secondFailure(3 * dayMs + 1), 'buried');
});

test('a clock that is set back takes no time from what comes meanwhile, and an authorisation has no more by any', async t => {
  const fixture = await openFixture({ expiry: createBelievedClock });
  t.after(() => fixture.close());
  const { control, stores, clock } = fixture;
  const { account, device } = await fixture.enlist(1, 'anna');
  clock.setBackMs = 400 * dayMs;
  const own = (await fixture.enlist(0, 'vera')).account;
  control.wakeUps.hold();
  control.wakeUps.requestWakeUp(own);
  await control.enlistment.authorise(account, device, 'z'.repeat(43));
  clock.setBackMs = 0;
  await control.sweep();
  await new Promise(resolve => setImmediate(resolve));
  const [waiting] = await stores.wakeUps.page(0, 9);
  assert.equal(waiting?.requestedAtMs, clock.nowMs, 'it is not too old');
  assert.equal(await stores.accounts.sweepAuthorisations(clock.nowMs + 999 * dayMs, 9), 0, 'it was over at once');
  clock.setBackMs = -20 * 3_600_000;
  await control.enlistment.authorise(account, device, 'z'.repeat(43));
  const lifeMs = fixture.config.limits.authorisationLifetimeSeconds * 1000;
  assert.equal(
    await stores.accounts.sweepAuthorisations(clock.nowMs + lifeMs, 9),
    1,
    'a clock that is ahead gives no more',
  );
});

test('dead events and authorisations are deleted when their time was believed to go by, not when the clock says so', async t => {
  const fixture = await openFixture();
  t.after(() => fixture.close());
  const { stores, clock } = fixture;
  const { nowMs } = clock;
  const { account, device } = await fixture.enlist(1, 'anna');
  const authorisation = { account: account.row, by: device.row, judgeMs: nowMs, expiresAtMs: nowMs + dayMs, max: 1 };
  await stores.accounts.authoriseDevice({ ...authorisation, thumbprint: 'a' });
  const told = { ...event, occurredAtMs: nowMs, maxWaiting: 0, maxDead: 9 };
  await stores.providers.noteKeysRevoked({ number: 1, actor: 'rosa', nowMs, event: told });
  let believedMs = 0;
  const sweeps = new Sweeps({
    after: () => () => {},
    stores,
    lifecycle: { sweep: async () => undefined },
    integrity: { sweep: async () => undefined },
    reportDays: () => 180,
    deadEventDays: () => 30,
    seenTimes: { note: () => undefined, forgetBeforeMs: () => undefined } as never,
    nowMs: () => nowMs + in2090Ms,
    judgeMs: () => nowMs + believedMs,
    noteClock: async () => undefined,
    monotonicMs: () => 0,
    log: () => undefined,
  });
  t.after(() => sweeps.close());
  await sweeps.sweep();
  assert.deepEqual(await stores.outgoingEvents.counts(), [{ provider: 1, waiting: 0, dead: 1 }]);
  assert.equal(await stores.accounts.authoriseDevice({ ...authorisation, thumbprint: 'b' }), 'full');
  believedMs = 30 * dayMs + 1;
  await sweeps.sweep();
  assert.deepEqual(await stores.outgoingEvents.counts(), []);
  assert.equal(await stores.accounts.authoriseDevice({ ...authorisation, thumbprint: 'b' }), 'authorised');
});

test('by a clock that is not believed providers are told the time that is, ahead or behind', async t => {
  const place = { number: 1, name: 'skylark.example', issuer: issuers.skylark, eventsUrl: `${issuers.skylark}/events` };
  for (const setBackMs of [-400 * dayMs, 400 * dayMs]) {
    const fixture = await openFixture({ expiry: createBelievedClock, config: { providers: [place] } });
    t.after(() => fixture.close());
    const { control, clock, world, stores } = fixture;
    clock.setBackMs = setBackMs;
    await control.registry.setStatus(1, 'suspended', 'rosa', clock.nowMs - setBackMs);
    while (world.posted.length === 0) await new Promise(resolve => setTimeout(resolve, 20));
    const claims = JSON.parse(Buffer.from(world.posted[0]!.body.split('.')[1]!, 'base64url').toString());
    assert.deepEqual([claims.iat, claims.toe], [Math.floor(clock.nowMs / 1000), clock.nowMs / 1000]);
    // One that was written by the wrong clock is told as of now when it is ahead.
    const written = { ...event, url: place.eventsUrl, occurredAtMs: clock.nowMs + dayMs, maxWaiting: 9, maxDead: 9 };
    await stores.providers.noteKeysRevoked({ number: 1, actor: 'rosa', nowMs: clock.nowMs, event: written });
    while (world.posted.length === 1) await new Promise(resolve => setTimeout(resolve, 20));
    const late = JSON.parse(Buffer.from(world.posted[1]!.body.split('.')[1]!, 'base64url').toString());
    assert.equal(late.toe, clock.nowMs / 1000);
  }
});

test('a used proof is not forgotten by a clock that is ahead and not believed', async t => {
  const fixture = await openFixture({ expiry: createBelievedClock });
  t.after(() => fixture.close());
  const { control, clock, enlist, proof } = fixture;
  const { sample } = await enlist(1, 'anna');
  const tries = async (token: string): Promise<string> => {
    const nowMs = clock.nowMs - clock.setBackMs;
    const result = await control.login.authenticate(token, { transport: 'xmpp', nowMs });
    return result.kind === 'refused' ? result.code : result.kind;
  };
  // An issuer on this machine goes by the same clock.
  clock.setBackMs = -3_600_000;
  clock.nowMs += 3_600_000;
  const token = await proof(issuers.skylark, 'anna', sample.jkt);
  clock.nowMs -= 3_600_000;
  assert.equal(await tries(token), 'admitted');
  for (let minute = 0; minute < 40; minute++) {
    clock.nowMs += 60_000;
    await control.sweep();
  }
  clock.setBackMs = 0;
  clock.nowMs += 20 * 60_000;
  assert.equal(await tries(token), 'replayed');
});
