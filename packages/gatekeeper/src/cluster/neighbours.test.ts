// A node among others, with a bus and a storage that the test holds in its hand: what it hears, what it makes of strange words,
// and what it does when it was taken for dead.
import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import { type TestContext, test } from 'node:test';
import type { AuditEntry } from '../audit/audit-log.ts';
import type { AccountEvent } from '../enlistment/account.ts';
import type { Bus } from './bus.ts';
import type { ClusterStore, OwnClaim } from './cluster-store.ts';
import { beatEveryMs, lookEveryMs, Neighbours } from './neighbours.ts';

const node = 'd9428888-122b-41e1-b85c-61800d6c7c4a';
const other = 'e9428888-122b-41e1-b85c-61800d6c7c4a';
const interopId = `1-${'a'.repeat(26)}`;

async function open(t: TestContext) {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const did: string[] = [];
  const subscribers = new Map<string, (message: Uint8Array) => void>();
  const bus: Bus = {
    publish: subject => void did.push(`told ${subject}`),
    subscribe(subject, hear) {
      subscribers.set(subject, hear);
      return () => subscribers.delete(subject);
    },
    isConnected: true,
    lost: 0,
    close: async () => undefined,
  };
  const world = {
    beat: 'known' as 'known' | 'new',
    claims: [] as OwnClaim[],
    over: [] as OwnClaim[],
    waiting: [] as { device: number; lastSeq: number }[],
    audit: [] as AuditEntry[],
    isAway: false,
    areKeysFetched: true,
  };
  const ask = <T>(answer: () => T): Promise<T> =>
    world.isAway ? Promise.reject(new Error('away')) : Promise.resolve(answer());
  const store: ClusterStore = {
    beat: () => ask(() => world.beat),
    endDeadClaims: () => ask(() => []),
    renewClaims: (_, claims) => ask(() => void did.push(`renewed ${claims.map(claim => claim.device).join(' ')}`)),
    claimsOver: () => ask(() => world.over),
    waitingHere: (_, after, limit) =>
      ask(() => {
        did.push(`asked after ${after}`);
        return world.waiting.filter(head => head.device > after).slice(0, limit);
      }),
  };
  const neighbours = new Neighbours({
    node,
    store,
    bus,
    audit: {
      head: () => ask(() => ({ seq: 4, digest: '', lastSeq: 4 })),
      page: (after, limit) => ask(() => world.audit.filter(entry => entry.seq > after).slice(0, limit)),
    },
    mail: () => ({
      claims: () => world.claims,
      nudge: device => void did.push(`nudge ${device}`),
      nudgeBehind: device => void did.push(`behind ${device}`),
      claimedElsewhere: (device, epoch) => void did.push(`elsewhere ${device} ${epoch}`),
      deliverPassedOn: (device, stanza) => void did.push(`passed on ${device} ${stanza.length}`),
    }),
    hear: (event: AccountEvent) => {
      did.push(`heard ${event.kind}`);
      neighbours.tellEvent(event);
    },
    recheck: async person => void did.push(`recheck ${person}`),
    providersChanged: () => ask(() => void did.push('providers')),
    keysRevoked: async provider => {
      did.push(`keys ${provider}`);
      return world.areKeysFetched;
    },
    deserted: () => undefined,
    failed: what => void did.push(`failed ${what}`),
    notUnderstood: () => void did.push('not understood'),
  });
  await neighbours.start();
  t.after(() => neighbours.stop());
  const pass = async (ms: number): Promise<string[]> => {
    t.mock.timers.tick(ms);
    for (let i = 0; i < 30; i++) await turn();
    return did.splice(0);
  };
  assert.equal(beatEveryMs, lookEveryMs);
  await pass(beatEveryMs);
  return {
    neighbours,
    world,
    pass,
    did,
    hear: (subject: string, text: string) => subscribers.get(subject)!(Buffer.from(text)),
  };
}

const entry = (seq: number, action: AuditEntry['action'], subject: string): AuditEntry => ({
  seq,
  atMs: 0,
  actor: 'admin',
  action,
  subject,
  digest: '',
});

test('strange words on the bus are counted and throw nothing; one’s own are passed over', async t => {
  const { neighbours, hear, did } = await open(t);
  neighbours.came(7);
  for (const text of ['null', '5', '{', '', '{"node":"x","event":{}}']) hear('events', text);
  for (const text of ['', '\x01', '\x01x', '\x01-1e999', '\x09']) hear('device.7', text);
  assert.deepEqual(did.splice(0), Array<string>(10).fill('not understood'));
  hear('events', JSON.stringify({ node, event: { kind: 'account-changed', interopId } }));
  assert.deepEqual(did, []);
  hear('events', JSON.stringify({ node: other, event: { kind: 'account-changed', interopId } }));
  assert.deepEqual(did, ['heard account-changed'], 'and it is not told again');
});

test('a node that was taken for dead has its claims again, and ends the streams that others have', async t => {
  const { world, pass } = await open(t);
  world.claims = Array.from({ length: 1_001 }, (_, i) => ({ device: i + 1, epoch: 3 }));
  world.over = [{ device: 1_001, epoch: 3 }];
  assert(!(await pass(beatEveryMs)).some(each => each.startsWith('renewed')), 'it is known');
  world.beat = 'new';
  const pages = [world.claims.slice(0, 1_000), world.claims.slice(1_000)];
  const renewed = pages.map(page => `renewed ${page.map(claim => claim.device).join(' ')}`);
  const did = await pass(beatEveryMs);
  assert.deepEqual(
    did.filter(each => each.startsWith('renewed')),
    renewed,
  );
  assert(did.includes('elsewhere 1001 4'));
});

test('a renewal that failed is tried again until it is done', async t => {
  const { world, pass } = await open(t);
  world.claims = [{ device: 1, epoch: 1 }];
  world.beat = 'new';
  world.isAway = true;
  assert((await pass(beatEveryMs)).includes('failed beat'));
  world.isAway = false;
  assert((await pass(beatEveryMs)).includes('renewed 1'));
  world.beat = 'known';
  assert(!(await pass(beatEveryMs)).includes('renewed 1'));
});

test('what waits is read in pages, all of it', async t => {
  const { world, pass } = await open(t);
  world.waiting = Array.from({ length: 5_001 }, (_, i) => ({ device: i + 1, lastSeq: 1 }));
  const did = await pass(lookEveryMs);
  assert.deepEqual(
    did.filter(each => each.startsWith('asked')),
    ['asked after 0', 'asked after 5000'],
  );
  assert.equal(did.filter(each => each.startsWith('behind')).length, 5_001);
});

test('claims that are over are found without a word on the bus', async t => {
  const { world, pass } = await open(t);
  world.claims = [{ device: 1, epoch: 5 }];
  world.over = [{ device: 1, epoch: 5 }];
  const did: string[] = [];
  for (let look = 1; look <= 15; look++) did.push(...(await pass(lookEveryMs)));
  assert(did.includes('elsewhere 1 6'));
});

test('what operators did elsewhere is acted on once, and again only when that failed', async t => {
  const { world, pass } = await open(t);
  const acted = async (): Promise<string[]> =>
    (await pass(lookEveryMs)).filter(each => /^(heard|recheck|providers|keys|failed look)/.test(each));
  assert.deepEqual(await acted(), [], 'nothing has happened');
  world.audit = [
    entry(4, 'provider-suspended', '9'),
    entry(5, 'enlistment-suspended', interopId),
    entry(6, 'enlistment-looked-up', interopId),
    entry(8, 'provider-keys-revoked', '1'),
    entry(9, 'provider-resumed', '2'),
  ];
  world.areKeysFetched = false;
  assert.deepEqual(await acted(), ['providers', 'heard account-changed', `recheck ${interopId}`, 'keys 1']);
  world.areKeysFetched = true;
  assert.deepEqual(await acted(), ['keys 1']);
  assert.deepEqual(await acted(), []);
  world.isAway = true;
  assert.deepEqual(await acted(), ['failed look']);
  world.isAway = false;
  world.audit = [...world.audit, entry(10, 'provider-admitted', '3')];
  assert.deepEqual(await acted(), ['providers']);
});

test('each step that other nodes keep something of is acted on', async t => {
  const { world, pass } = await open(t);
  const acted = async (action: AuditEntry['action'], subject: string): Promise<string[]> => {
    world.audit = [...world.audit, entry(world.audit.length + 5, action, subject)];
    return (await pass(lookEveryMs)).filter(each => /^(recheck|providers|keys)/.test(each));
  };
  await pass(lookEveryMs);
  for (const step of [
    'suspended',
    'resumed',
    'disabled',
    'enabled',
    'renamed',
    'credentials-compromised',
    'deleted',
  ] as const)
    assert.deepEqual(await acted(`enlistment-${step}`, interopId), [`recheck ${interopId}`], step);
  for (const step of ['suspended', 'resumed', 'admitted', 'went-live', 'withdrawn', 'terms-changed'] as const)
    assert.deepEqual(await acted(`provider-${step}`, '1'), ['providers'], step);
  assert.deepEqual(await acted('report-upheld', 'r1'), []);
  assert.deepEqual(await acted('of-a-newer-node' as AuditEntry['action'], '1'), []);
});

test('keys that can never be fetched are left to their own timer after a while', async t => {
  const { world, pass } = await open(t);
  world.areKeysFetched = false;
  world.audit = [entry(5, 'provider-keys-revoked', '1')];
  let asked = 0;
  for (let look = 1; look <= 40; look++) asked += (await pass(lookEveryMs)).filter(each => each === 'keys 1').length;
  assert.equal(asked, 30);
});
