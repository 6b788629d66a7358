// Personal links, and people who are met by them alone: what strangers learn, over a real store.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { after, test } from 'node:test';
import { attribute, childElements, type Element, element } from '@drawbridge/wire/element';
import { NS_CONSENT, NS_DIRECTORY, NS_KEYS } from '@drawbridge/wire/namespaces';
import { type IqAnswer, iqKey } from '../routing/iq.ts';
import { domain, type Fixture, openFixture } from '../testing/control-fixture.ts';
import { linkLimits } from './link-iq.ts';

const opened: Fixture[] = [];
after(async () => {
  for (const fixture of opened) await fixture.close();
});
type Person = Awaited<ReturnType<Fixture['enlist']>>;

async function open(config: Record<string, unknown> = {}) {
  const fixture = await openFixture({ config: { policy: { requests: 'across-providers', ...config } } });
  opened.push(fixture);
  const [bob, anna, hans] = [
    await fixture.enlist(0, 'bob'),
    await fixture.enlist(1, 'anna'),
    await fixture.enlist(2, 'hans'),
  ];
  for (const provider of [1, 2]) await fixture.control.enlistment.setOptIn(bob.account, provider, true);
  return { fixture, bob, anna, hans };
}

async function ask({ control, clock }: Fixture, who: Person, type: 'get' | 'set', payload: Element): Promise<IqAnswer> {
  const account = (await control.accounts.find(who.account.interopId))!;
  const handler = control.iqHandlers.get(iqKey(type, payload.ns, payload.name))!;
  return await handler({ type, payload, account, device: who.device, nowMs: clock.nowMs });
}

const consent = (name: string, attributes: Record<string, string> = {}): Element =>
  element(name, NS_CONSENT, attributes);
const newSecret = (): string => randomBytes(16).toString('base64url');
const digestOf = (secret: string): string => createHash('sha256').update(secret).digest('base64url');
const makeLink = (fixture: Fixture, who: Person, secret: string, uses = '1', seconds = '60'): Promise<IqAnswer> =>
  ask(fixture, who, 'set', consent('link', { digest: digestOf(secret), uses, seconds }));
const redeem = (fixture: Fixture, who: Person, secret: string): Promise<IqAnswer> =>
  ask(fixture, who, 'set', consent('redeem', { secret }));
/** Everything that tells whether somebody is there. */
async function seen(fixture: Fixture, by: Person, name: string, jid: string): Promise<IqAnswer[]> {
  return [
    await ask(fixture, by, 'get', element('lookup', NS_DIRECTORY, { provider: domain, identifier: name })),
    await ask(fixture, by, 'get', element('identify', NS_DIRECTORY, { jid })),
    await ask(fixture, by, 'get', element('devices', NS_KEYS, { jid })),
    await ask(fixture, by, 'get', element('manifest', NS_KEYS, { jid })),
    await ask(fixture, by, 'get', element('bundle', NS_KEYS, { jid })),
    await ask(fixture, by, 'set', consent('accept', { jid })),
  ];
}
const nobody = `0-${'z'.repeat(26)}@${domain}`;

for (const how of ['by their own choice', 'by their provider’s rule'] as const) {
  test(`whoever is met by links alone (${how}) is nobody to strangers, and somebody to whom a link lets in`, async () => {
    const { fixture, bob, anna, hans } = await open(how === 'by their own choice' ? {} : { linkOnly: [0] });
    const jid = `${bob.account.interopId}@${domain}`;
    if (how === 'by their own choice') {
      const lookup = element('lookup', NS_DIRECTORY, { provider: domain, identifier: 'bob' });
      assert.equal((await ask(fixture, anna, 'get', lookup)).kind, 'result');
      await ask(fixture, bob, 'set', consent('require-link', { required: 'true' }));
    }
    assert.deepEqual(await seen(fixture, anna, 'bob', jid), await seen(fixture, anna, 'nobody', nobody));
    const secret = newSecret();
    assert.equal((await makeLink(fixture, bob, secret)).kind, 'result');
    const answer = await redeem(fixture, anna, secret);
    assert.equal(answer.kind === 'result' && attribute(answer.payload!, 'jid'), jid);
    assert.ok((await seen(fixture, anna, 'bob', jid)).every(each => each.kind === 'result'));
    assert.deepEqual(await seen(fixture, hans, 'bob', jid), await seen(fixture, hans, 'nobody', nobody));
    const contacts = fixture.notices.filter(({ content }) => content.name === 'contact');
    const told = contacts.map(({ account, content }) => `${account.identifier} ${attribute(content, 'state')}`);
    assert.deepEqual(
      told,
      ['bob accepted', 'anna accepted'],
      'the link lets anna in, and she has accepted bob herself',
    );
    // Own users are no strangers.
    const carl = await fixture.enlist(0, 'carl');
    assert.equal((await seen(fixture, carl, 'bob', jid))[0]!.kind, 'result');
  });
}

test('a wrong, used, expired, revoked or foreign secret, and one of somebody out of reach, get one answer', async () => {
  const { fixture, bob, anna, hans } = await open();
  const [used, expired, revoked, own, far] = Array.from({ length: 5 }, newSecret) as [
    string,
    string,
    string,
    string,
    string,
  ];
  for (const secret of [used, revoked, own]) await makeLink(fixture, bob, secret);
  await makeLink(fixture, bob, expired, '1', '1');
  await makeLink(fixture, anna, far);
  await redeem(fixture, hans, used);
  fixture.clock.nowMs += 1_000;
  await ask(fixture, bob, 'set', consent('unlink', { digest: digestOf(revoked) }));
  const answers = [
    await redeem(fixture, anna, newSecret()),
    await redeem(fixture, anna, used),
    await redeem(fixture, anna, expired),
    await redeem(fixture, anna, revoked),
    await redeem(fixture, hans, far),
    await redeem(fixture, bob, own),
  ];
  const lookup = element('lookup', NS_DIRECTORY, { provider: domain, identifier: 'nobody' });
  for (const answer of answers) assert.deepEqual(answer, await ask(fixture, anna, 'get', lookup));
  const list = await ask(fixture, bob, 'get', consent('links'));
  assert.ok(list.kind === 'result');
  assert.deepEqual(
    childElements(list.payload!).map(el => [attribute(el, 'digest'), attribute(el, 'uses')]),
    [[digestOf(own), '1']],
  );
});

test('whoever was blocked gets in by no link, and is answered as anybody', async () => {
  const { fixture, bob, anna } = await open();
  const secret = newSecret();
  await ask(fixture, bob, 'set', consent('block', { jid: `${anna.account.interopId}@${domain}` }));
  await makeLink(fixture, bob, secret);
  assert.equal((await redeem(fixture, anna, secret)).kind, 'result');
  const owner = (await fixture.control.accounts.find(bob.account.interopId))!;
  const stranger = (await fixture.control.accounts.find(anna.account.interopId))!;
  assert.notEqual(fixture.control.contacts.judge(stranger, owner, true).kind, 'open');
  assert.equal((await redeem(fixture, anna, secret)).kind, 'error', 'a use is gone');
});

test('what is no link is refused, and bounds are met exactly', async () => {
  const { fixture, bob } = await open();
  const digest = digestOf(newSecret());
  const { uses, seconds, links } = linkLimits;
  const bad: Record<string, string>[] = [
    { digest: 'short', uses: '1', seconds: '1' },
    { digest, uses: '0', seconds: '1' },
    { digest, uses: String(uses + 1), seconds: '1' },
    { digest, uses: '1', seconds: String(seconds + 1) },
    { digest, uses: '1' },
    { digest, uses: '1', seconds: '1', more: '1' },
  ];
  for (const attributes of bad) {
    const answer = await ask(fixture, bob, 'set', consent('link', attributes));
    assert.deepEqual(answer, { kind: 'error', condition: 'bad-request' }, JSON.stringify(attributes));
  }
  for (const secret of ['', 'x'.repeat(21), `${'x'.repeat(21)}!`]) {
    assert.deepEqual(await redeem(fixture, bob, secret), { kind: 'error', condition: 'bad-request' });
  }
  for (let i = 0; i < links; i++) {
    fixture.clock.nowMs += 60_000;
    assert.equal((await makeLink(fixture, bob, newSecret(), String(uses), String(seconds))).kind, 'result');
  }
  fixture.clock.nowMs += 60_000;
  assert.deepEqual(await makeLink(fixture, bob, newSecret()), {
    kind: 'error',
    condition: 'resource-constraint',
    type: 'cancel',
  });
});
