import assert from 'node:assert/strict';
import { createHmac, randomBytes } from 'node:crypto';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { attribute, type Element, element } from '@drawbridge/wire/element';
import { NS_REPORT } from '@drawbridge/wire/namespaces';
import * as fc from 'fast-check';
import { type IqAnswer, iqKey } from '../routing/iq.ts';
import { domain, type Fixture, openFixture } from '../testing/control-fixture.ts';
import { openStampSecret } from './stamp-secret.ts';
import { pastStampEpochs, stampEpochMs, Stamps } from './stamps.ts';
import { faultOf } from './verify-report.ts';

const opened: Fixture[] = [];
after(async () => {
  for (const fixture of opened) await fixture.close();
});

type Person = Awaited<ReturnType<Fixture['enlist']>>;
type World = { readonly fixture: Fixture; readonly anna: Person; readonly bob: Person; readonly carl: Person };

async function open(config: Record<string, unknown> = {}): Promise<World> {
  const fixture = await openFixture({ config });
  opened.push(fixture);
  const [bob, anna, carl] = [
    await fixture.enlist(0, 'bob'),
    await fixture.enlist(1, 'anna'),
    await fixture.enlist(0, 'carl'),
  ];
  return { fixture, anna, bob, carl };
}

type Said = {
  readonly id: string;
  readonly atMs: number;
  readonly content: Uint8Array;
  readonly salt: Uint8Array;
  readonly commitment: Uint8Array;
  readonly stamp: Uint8Array;
};

/** What Bob's device has of something that Anna said to Bob. */
function said({ fixture, anna, bob }: World, words: string, id = 'm1'): Said {
  const content = Buffer.from(words);
  const salt = randomBytes(16);
  const commitment = createHmac('sha256', salt).update(content).digest();
  const atMs = fixture.clock.nowMs;
  const message = { from: anna.account.interopId, to: bob.account.interopId, id, commitment };
  return { id, atMs, content, salt, commitment, stamp: fixture.control.stamps.stamp(message, atMs) };
}

function reportOf(reported: Person, messages: readonly Said[], comment?: string): Element {
  const words = comment === undefined ? [] : [element('comment', NS_REPORT, undefined, [comment])];
  const parts = ({ content, salt, commitment, stamp }: Said): Element[] =>
    Object.entries({ content, salt, commitment, stamp }).map(([name, bytes]) =>
      element(name, NS_REPORT, undefined, [bytes]),
    );
  const list = messages.map(each => element('message', NS_REPORT, { id: each.id, at: String(each.atMs) }, parts(each)));
  const jid = `${reported.account.interopId}@${domain}`;
  return element('report', NS_REPORT, { jid, category: 'abuse' }, [...words, ...list]);
}

async function send({ fixture }: World, reporter: Person, payload: Element): Promise<IqAnswer> {
  const handler = fixture.control.iqHandlers.get(iqKey('set', NS_REPORT, 'report'));
  return await handler!({ type: 'set', payload, ...reporter, nowMs: fixture.clock.nowMs });
}

/** The report's id, or the cause of the refusal. */
function outcomeOf(answer: IqAnswer): string {
  if (answer.kind === 'result') return attribute(answer.payload!, 'id') ?? '';
  return answer.application === undefined ? answer.condition : `${attribute(answer.application, 'cause')}`;
}

test('an honest report is kept with what was said, and is one report however often it is sent', async () => {
  const world = await open();
  const messages = [said(world, 'come here', 'm1'), said(world, 'or else', 'm2')];
  const id = outcomeOf(await send(world, world.bob, reportOf(world.anna, messages, 'threats')));
  assert.match(id, /^[A-Za-z0-9_-]{22}$/);
  assert.equal(outcomeOf(await send(world, world.bob, reportOf(world.anna, messages, 'again'))), id, 'replayed');
  const { reports } = world.fixture.stores;
  assert.equal((await reports.list({ limit: 10 })).length, 1);
  const kept = (await reports.find(id))!;
  assert.equal(kept.comment, 'threats');
  assert.deepEqual(
    kept.messages.map(each => Buffer.from(each.content).toString()),
    ['come here', 'or else'],
  );
  const way = { from: kept.reported, to: kept.reporter };
  const { stamps } = world.fixture.control;
  for (const message of kept.messages)
    assert.equal(faultOf(message, way, stamps, world.fixture.clock.nowMs), undefined);
  assert.ok(world.fixture.logLines.every(line => !line.includes('come here') && !line.includes(kept.reported)));
});

test('forged, edited, re-addressed and context-swapped reports are refused, and nothing of them is kept', async () => {
  const world = await open();
  const { anna, bob, carl, fixture } = world;
  const true1 = said(world, 'hello', 'm1');
  const true2 = said(world, 'I will hurt you', 'm2');
  const forgedCommitment = createHmac('sha256', true1.salt).update('never said').digest();
  const attacks: [string, Person, Person, Said, string][] = [
    ['an edited content', bob, anna, { ...true1, content: Buffer.from('hello!') }, 'other-content'],
    ['another salt', bob, anna, { ...true1, salt: randomBytes(16) }, 'other-content'],
    [
      'a forged content with its own commitment',
      bob,
      anna,
      { ...true1, content: Buffer.from('never said'), commitment: forgedCommitment },
      'not-stamped',
    ],
    ['a forged stamp', bob, anna, { ...true1, stamp: randomBytes(32) }, 'not-stamped'],
    ['the stamp of another message', bob, anna, { ...true1, stamp: true2.stamp }, 'not-stamped'],
    ['another stanza id', bob, anna, { ...true1, id: 'm2' }, 'not-stamped'],
    ['another time', bob, anna, { ...true1, atMs: true1.atMs + 1 }, 'not-stamped'],
    ['a time to come', bob, anna, { ...true1, atMs: true1.atMs + stampEpochMs * 3 }, 'not-stamped'],
    ['said by somebody else', bob, carl, true1, 'not-stamped'],
    ['reported by somebody to whom it was not said', carl, anna, true1, 'not-stamped'],
    ['turned round: reported by who said it', anna, bob, true1, 'not-stamped'],
    ['about oneself', bob, bob, true1, 'bad-request'],
  ];
  for (const [name, reporter, reported, message, expected] of attacks) {
    assert.equal(outcomeOf(await send(world, reporter, reportOf(reported, [message]))), expected, name);
    // A true message beside it doesn't carry it in.
    const both = reporter === bob && reported === anna ? [true2, message] : [message];
    assert.equal(outcomeOf(await send(world, reporter, reportOf(reported, both))), expected, name);
  }
  const edited = true1.content.with(0, 0x48);
  assert.equal(outcomeOf(await send(world, bob, reportOf(anna, [{ ...true1, content: edited }]))), 'other-content');
  fixture.clock.nowMs += (pastStampEpochs + 1) * stampEpochMs;
  assert.equal(outcomeOf(await send(world, bob, reportOf(anna, [true1]))), 'too-old');
  assert.deepEqual(await fixture.stores.reports.list({ limit: 10 }), []);
});

test('a report that is not as it should be changes nothing', async () => {
  const world = await open();
  const good = reportOf(world.anna, [said(world, 'hello')]);
  const bad: Element[] = [
    { ...good, children: [] },
    { ...good, attrs: [...good.attrs, 'x', 'y'] },
    { ...good, attrs: ['jid', `nobody@${domain}`, 'category', 'abuse'] },
    { ...good, attrs: [good.attrs[0]!, good.attrs[1]!, 'category', 'rude'] },
    { ...good, children: [...good.children, 'text'] },
    { ...good, children: Array.from({ length: 33 }, () => good.children[0]!) },
    reportOf(world.anna, [said(world, 'hello')], 'x'.repeat(1_001)),
    reportOf(world.anna, [{ ...said(world, 'hello'), stamp: new Uint8Array(31) }]),
    reportOf(world.anna, [{ ...said(world, 'hello'), id: 'no stanza id' }]),
  ];
  for (const payload of bad) assert.equal(outcomeOf(await send(world, world.bob, payload)), 'bad-request');
  assert.deepEqual(await world.fixture.stores.reports.list({ limit: 10 }), []);
});

test('what is kept is bounded for each person and in all, what one may send has a budget, and all of it ends', async () => {
  const world = await open({
    budgets: { reportsPerPerson: { burst: 4, refillSeconds: 60 } },
    limits: { reportsKeptPerPerson: 2, reportDays: 1 },
  });
  const { fixture, anna, bob } = world;
  const again = async (): Promise<string> => outcomeOf(await send(world, bob, reportOf(anna, [said(world, 'hello')])));
  for (let i = 0; i < 2; i++) assert.equal((await again()).length, 22);
  assert.equal(await again(), 'resource-constraint');
  assert.equal(await again(), 'resource-constraint');
  const spent = await send(world, bob, reportOf(anna, [said(world, 'hello')]));
  assert.ok(spent.kind === 'error' && spent.application?.name === 'retry-after');
  fixture.clock.nowMs += 86_400_001;
  await fixture.control.sweep();
  assert.deepEqual(await fixture.stores.reports.list({ limit: 10 }), []);
});

test('a report goes with the account of its reporter, and stays when the one who is reported goes', async () => {
  const world = await open();
  const { fixture, anna, bob } = world;
  const id = outcomeOf(await send(world, bob, reportOf(anna, [said(world, 'hello')])));
  const exported = (await fixture.stores.people.export(bob.account.interopId))!;
  assert.equal(exported.kept['report']?.length, 1);
  const about = (await fixture.stores.people.export(anna.account.interopId))!;
  assert.equal(about.kept['report'], undefined, 'who is reported does not learn by whom');
  await fixture.control.enlistment.withdraw(anna.account);
  assert.ok((await fixture.stores.reports.find(id)) !== undefined);
  await fixture.control.enlistment.withdraw(bob.account);
  assert.equal(await fixture.stores.reports.find(id), undefined);
});

test('an honest message always verifies; with any byte of it changed it never does', () => {
  const stamps = new Stamps(randomBytes(32));
  const from = '1-zyxwvutsrqponmlkjihgfedcba';
  const to = '0-abcdefghijklmnopqrstuvwxya';
  const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
  fc.assert(
    fc.property(
      fc.record({
        content: fc.uint8Array({ minLength: 1, maxLength: 300 }),
        salt: bytes(16),
        id: fc.stringMatching(/^[A-Za-z0-9._~:+/=-]{1,64}$/),
        atMs: fc.integer({ min: 1_700_000_000_000, max: 1_900_000_000_000 }),
        laterMs: fc.nat((pastStampEpochs - 1) * stampEpochMs),
        part: fc.constantFrom('content', 'salt', 'commitment', 'stamp'),
        at: fc.nat(),
        bit: fc.nat(7),
      }),
      ({ content, salt, id, atMs, laterMs, part, at, bit }) => {
        const commitment = new Uint8Array(createHmac('sha256', salt).update(content).digest());
        const stamp = Uint8Array.from(stamps.stamp({ from, to, id, commitment }, atMs));
        const honest = { stanzaId: id, acceptedAtMs: atMs, content, salt, commitment, stamp };
        const nowMs = atMs + laterMs;
        assert.equal(faultOf(honest, { from, to }, stamps, nowMs), undefined);
        const changed = Uint8Array.from(honest[part as 'content']);
        changed[at % changed.length]! ^= 1 << bit;
        assert.notEqual(faultOf({ ...honest, [part]: changed }, { from, to }, stamps, nowMs), undefined);
        assert.notEqual(faultOf(honest, { from: to, to: from }, stamps, nowMs), undefined);
        assert.notEqual(faultOf({ ...honest, acceptedAtMs: atMs - 1 }, { from, to }, stamps, nowMs), undefined);
        assert.notEqual(faultOf(honest, { from, to }, new Stamps(randomBytes(32)), nowMs), undefined);
      },
    ),
    { numRuns: 500, seed: 71 },
  );
});

test('epochs are bound before their keys are used, and another secret binds to others', () => {
  const secret = randomBytes(32);
  const nowMs = 1_800_000_000_000;
  const [next, now] = new Stamps(secret).epochCommitments(nowMs);
  assert.equal(next!.epoch, now!.epoch + 1);
  const later = new Stamps(secret).epochCommitments(nowMs + stampEpochMs);
  assert.deepEqual(later[1], next, 'what was published ahead is what is used');
  assert.notEqual(new Stamps(randomBytes(32)).epochCommitments(nowMs)[0]!.commitment, next!.commitment);
});

test('the secret outlives a restart, is nobody else to read, and is not made again when it is damaged', async () => {
  const { fixture } = await open();
  const file = join(fixture.folder, 'stamp-secret');
  assert.equal(statSync(file).mode & 0o777, 0o600);
  assert.deepEqual(openStampSecret(fixture.folder), openStampSecret(fixture.folder));
  writeFileSync(file, readFileSync(file, 'utf8').slice(1));
  assert.throws(() => openStampSecret(fixture.folder), { code: 'stamp-secret-unusable' });
});

test('a report is kept from the later of two clocks', async () => {
  const dayMs = 86_400_000;
  const aheadMs = 5 * dayMs;
  const fixture = await openFixture({
    expiry: wallMs => ({ stampMs: () => wallMs() + aheadMs, judgeMs: wallMs }),
    config: { limits: { reportDays: 2 } },
  });
  opened.push(fixture);
  const [bob, anna] = [await fixture.enlist(0, 'bob'), await fixture.enlist(1, 'anna')];
  const world = { fixture, bob, anna, carl: bob };
  const { control, clock, stores } = fixture;
  assert.notEqual(outcomeOf(await send(world, bob, reportOf(anna, [said(world, 'come here')]))), '');
  clock.nowMs += aheadMs + 2 * dayMs;
  await control.sweep();
  assert.equal((await stores.reports.list({ limit: 9 })).length, 1);
  clock.nowMs += 1;
  await control.sweep();
  assert.equal((await stores.reports.list({ limit: 9 })).length, 0);
});
