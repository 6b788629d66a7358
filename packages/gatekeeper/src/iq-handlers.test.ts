import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { attribute, childElements, type Element, element } from '@drawbridge/wire/element';
import { type DeviceManifest, encodeManifest, manifestSignedBytes } from '@drawbridge/wire/device-manifest';
import { NS_CONSENT, NS_DEVICES, NS_DIRECTORY, NS_KEYS } from '@drawbridge/wire/namespaces';
import * as fc from 'fast-check';
import type { Account, Device } from './enlistment/account.ts';
import { sampleDevice, type SampleIdentity, sampleOneTimeKeys } from './testing/sample-device.ts';
import { type IqAnswer, iqKey } from './routing/iq.ts';
import { domain, type Fixture, openFixture } from './testing/control-fixture.ts';

const opened: Fixture[] = [];
async function open(...options: Parameters<typeof openFixture>): Promise<Fixture> {
  const fixture = await openFixture(...options);
  opened.push(fixture);
  return fixture;
}
after(async () => {
  for (const fixture of opened) await fixture.close();
});

type Person = { account: Account; device: Device };

/** Asks as this person is now. */
async function ask(
  fixture: Fixture,
  { account, device }: Person,
  type: 'get' | 'set',
  payload: Element,
): Promise<IqAnswer> {
  const handler = fixture.control.iqHandlers.get(iqKey(type, payload.ns, payload.name));
  assert(handler !== undefined, payload.name);
  const now = (await fixture.control.accounts.find(account.interopId))!;
  return await handler({ type, payload, account: now, device, nowMs: fixture.clock.nowMs });
}
function result(answer: IqAnswer): Element {
  assert(answer.kind === 'result' && answer.payload !== undefined, JSON.stringify(answer));
  return answer.payload;
}
const jidOf = ({ account }: Person): string => `${account.interopId}@${domain}`;
const bundleOf = (person: Person, device?: number): Element =>
  element('bundle', NS_KEYS, { jid: jidOf(person), device: device === undefined ? undefined : String(device) });
const notFound = { kind: 'error', condition: 'item-not-found' };
const badRequest = { kind: 'error', condition: 'bad-request' };

function keyElement(name: string, key: { id: number; publicKey: string; signature?: string }): Element {
  const parts = [element('public', NS_KEYS, {}, [key.publicKey])];
  if (key.signature !== undefined) parts.push(element('signature', NS_KEYS, {}, [key.signature]));
  return element(name, NS_KEYS, { id: String(key.id) }, parts);
}
function publish(identity: SampleIdentity, prekeys: number, kemPrekeys: number, firstId: number): Element {
  const keys = sampleOneTimeKeys(identity, { prekeys, kemPrekeys, firstId });
  const list = [
    ...keys.prekeys.map(key => keyElement('prekey', key)),
    ...keys.kemPrekeys.map(key => keyElement('kem-prekey', key)),
  ];
  return element('publish', NS_KEYS, {}, list);
}

test('the last one-time key goes to one of two who ask at once; the other gets the last-resort key', async () => {
  const fixture = await open();
  const anna = await fixture.enlist(0, 'anna', { prekeys: 1, kemPrekeys: 1 });
  const bert = await fixture.enlist(0, 'bert');
  const cleo = await fixture.enlist(0, 'cleo');
  const answers = await Promise.all([bert, cleo].map(person => ask(fixture, person, 'get', bundleOf(anna))));
  const devices = answers.map(answer => childElements(result(answer))[0]!);
  assert.deepEqual(
    devices.map(device => childElements(device).map(each => each.name)),
    [
      ['identity', 'signed-prekey', 'prekey', 'kem-prekey'],
      ['identity', 'signed-prekey', 'kem-prekey'],
    ],
  );
  const kem = devices.map(device => childElements(childElements(device).at(-1)!)[0]!.children[0] as Uint8Array);
  assert.notDeepEqual(kem[0], kem[1]);
  assert.equal(Buffer.from(kem[1]!).toString('base64'), anna.sample.json.lastResortKemPrekey.publicKey);
  assert.deepEqual(childElements(devices[0]!)[0]!.children, [new Uint8Array(anna.sample.identity.publicKey)]);
  assert.equal(attribute(devices[0]!, 'registration'), String(anna.device.registrationId));
  assert.equal(fixture.notices.length, 2, 'the device hears that its keys run low');
  assert.deepEqual(fixture.notices[0]!.content, element('low', NS_KEYS, { prekeys: '0', 'kem-prekeys': '0' }));
});

test('keys are published, counted, given once and never taken back in', async () => {
  const fixture = await open();
  const anna = await fixture.enlist(0, 'anna');
  const bert = await fixture.enlist(0, 'bert');
  const upload = publish(anna.sample.identity, 50, 50, 100);
  assert.deepEqual(await ask(fixture, anna, 'set', upload), { kind: 'result' });
  const count = async () => result(await ask(fixture, anna, 'get', element('count', NS_KEYS))).attrs;
  assert.deepEqual(await count(), ['prekeys', '50', 'kem-prekeys', '50']);
  assert.deepEqual(await ask(fixture, anna, 'set', upload), { kind: 'result' }, 'a repeated upload is not a conflict');
  assert.deepEqual(await count(), ['prekeys', '50', 'kem-prekeys', '50']);
  assert.equal((await ask(fixture, bert, 'get', bundleOf(anna))).kind, 'result');
  assert.deepEqual(await ask(fixture, anna, 'set', upload), { kind: 'result' });
  assert.deepEqual(await count(), ['prekeys', '49', 'kem-prekeys', '49'], 'what was given out does not come back');
  const clash = publish(anna.sample.identity, 1, 0, 120);
  assert.deepEqual(await ask(fixture, anna, 'set', clash), { kind: 'error', condition: 'conflict' });
  for (const first of [1_000, 2_000, 3_000])
    await ask(fixture, anna, 'set', publish(anna.sample.identity, 50, 1, first));
  const full = await ask(fixture, anna, 'set', publish(anna.sample.identity, 50, 0, 4_000));
  assert.deepEqual(full, { kind: 'error', condition: 'resource-constraint', type: 'cancel' });
  assert.deepEqual(await count(), ['prekeys', '199', 'kem-prekeys', '52']);
});

test('keys of a folder that was restored take the place of all others; its count is told', async () => {
  const fixture = await open();
  const anna = await fixture.enlist(0, 'anna', { prekeys: 3, kemPrekeys: 3 });
  const only = publish(anna.sample.identity, 2, 2, 1);
  assert.deepEqual(await ask(fixture, anna, 'set', only), { kind: 'error', condition: 'conflict' });
  const alone: Element = { ...only, attrs: ['only', 'true'] };
  assert.deepEqual(await ask(fixture, anna, 'set', alone), { kind: 'result' });
  assert.deepEqual(await ask(fixture, anna, 'set', { ...only, attrs: ['only', 'yes'] }), badRequest);
  const counted = result(await ask(fixture, anna, 'get', element('count', NS_KEYS)));
  assert.deepEqual(counted.attrs, ['prekeys', '2', 'kem-prekeys', '2']);
  const count = (text: string) => ask(fixture, anna, 'set', element('store', NS_DEVICES, { count: text }));
  assert.equal(attribute(result(await count('7')), 'before'), '0');
  assert.equal(attribute(result(await count('3')), 'before'), '7');
  for (const text of ['', '-1', '07', '1e3', '1000000000000000']) assert.deepEqual(await count(text), badRequest);
  assert.deepEqual(await ask(fixture, anna, 'set', element('store', NS_DEVICES)), badRequest);
});

test('a new signed prekey and last-resort key replace the old ones', async () => {
  const fixture = await open();
  const anna = await fixture.enlist(0, 'anna');
  const bert = await fixture.enlist(0, 'bert');
  const next = sampleDevice({ identity: anna.sample.identity }).json;
  const upload = element('publish', NS_KEYS, {}, [
    keyElement('signed-prekey', { ...next.signedPrekey, id: 2 }),
    keyElement('last-resort-kem-prekey', { ...next.lastResortKemPrekey, id: 3 }),
  ]);
  assert.deepEqual(await ask(fixture, anna, 'set', upload), { kind: 'result' });
  const [device] = childElements(result(await ask(fixture, bert, 'get', bundleOf(anna))));
  const [, signed, kem] = childElements(device!);
  assert.deepEqual([signed!.name, attribute(signed!, 'id'), attribute(kem!, 'id')], ['signed-prekey', '2', '3']);
});

test('keys that the identity key did not sign, and payloads that are not as specified, are refused', async () => {
  const fixture = await open();
  const anna = await fixture.enlist(0, 'anna');
  const stranger = sampleDevice();
  const good = publish(anna.sample.identity, 1, 1, 5);
  const [prekey, kemPrekey] = childElements(good) as [Element, Element];
  const wrong: Element[] = [
    publish(stranger.identity, 0, 1, 5),
    publish(anna.sample.identity, 51, 0, 5),
    element('publish', NS_KEYS),
    element('publish', NS_KEYS, { to: 'x' }, good.children),
    element('publish', NS_KEYS, {}, ['text', ...good.children]),
    element('publish', NS_KEYS, {}, [prekey, prekey]),
    element('publish', NS_KEYS, {}, [{ ...prekey, name: 'session-key' }]),
    element('publish', NS_KEYS, {}, [{ ...prekey, ns: 'urn:other' }]),
    element('publish', NS_KEYS, {}, [{ ...prekey, name: 'kem-prekey' }]),
    element('publish', NS_KEYS, {}, [{ ...kemPrekey, attrs: ['id', '05'] }]),
    element('publish', NS_KEYS, {}, [{ ...kemPrekey, attrs: ['id', '16777216'] }]),
    element('publish', NS_KEYS, {}, [
      element('prekey', NS_KEYS, { id: '5' }, [element('public', NS_KEYS, {}, ['BQ=='])]),
    ]),
    element('publish', NS_KEYS, {}, [element('prekey', NS_KEYS, { id: '5' }, [element('public', NS_KEYS, {}, [])])]),
  ];
  for (const payload of wrong) assert.deepEqual(await ask(fixture, anna, 'set', payload), badRequest);
  assert.deepEqual(await ask(fixture, anna, 'set', good), { kind: 'result' });
});

test('the unknown and the unreachable look alike; consent opens exactly one provider', async () => {
  const fixture = await open();
  const anna = await fixture.enlist(0, 'anna');
  const sky = await fixture.enlist(1, 'sky');
  const otherSky = await fixture.enlist(1, 'other sky');
  const heron = await fixture.enlist(2, 'heron');
  const lookup = (provider: string, identifier: string) => element('lookup', NS_DIRECTORY, { provider, identifier });
  const nobody = `0-${'a'.repeat(26)}@${domain}`;
  const questions = (person: Person): Element[] => [
    bundleOf(person),
    element('devices', NS_KEYS, { jid: jidOf(person) }),
    element('identify', NS_DIRECTORY, { jid: jidOf(person) }),
  ];
  for (const payload of [
    ...questions(anna),
    ...questions(otherSky),
    ...questions(heron),
    lookup(domain, 'anna'),
    lookup(domain, 'nobody'),
    lookup('nowhere.example', 'anna'),
    element('identify', NS_DIRECTORY, { jid: nobody }),
    element('devices', NS_KEYS, { jid: nobody }),
    element('devices', NS_KEYS, { jid: `${anna.account.interopId}@elsewhere.example` }),
    element('bundle', NS_KEYS, { jid: nobody }),
    element('bundle', NS_KEYS, { jid: 'nonsense@@' }),
  ]) {
    assert.deepEqual(await ask(fixture, sky, 'get', payload), notFound, JSON.stringify(payload));
  }

  const optIn = element('opt-in', NS_CONSENT, { provider: '1' });
  assert.deepEqual(await ask(fixture, sky, 'set', optIn), { kind: 'error', condition: 'not-allowed' });
  assert.deepEqual(await ask(fixture, anna, 'set', element('opt-in', NS_CONSENT, { provider: '9' })), notFound);
  assert.deepEqual(await ask(fixture, anna, 'set', optIn), { kind: 'result' });
  const consent = result(await ask(fixture, anna, 'get', element('consent', NS_CONSENT)));
  assert.deepEqual(
    childElements(consent).map(each => each.attrs),
    [
      ['number', '1', 'name', 'skylark.example', 'opted-in', 'true'],
      ['number', '2', 'name', 'heron.example', 'opted-in', 'false'],
    ],
  );
  const found = result(await ask(fixture, sky, 'get', lookup(domain, 'anna')));
  assert.equal(attribute(found, 'jid'), jidOf(anna));
  const who = result(await ask(fixture, anna, 'get', element('identify', NS_DIRECTORY, { jid: jidOf(sky) })));
  assert.deepEqual(who.attrs, ['jid', jidOf(sky), 'provider', 'skylark.example', 'number', '1', 'identifier', 'sky']);
  assert.deepEqual(await ask(fixture, heron, 'get', lookup(domain, 'anna')), notFound);
  assert.equal((await ask(fixture, sky, 'get', bundleOf(anna))).kind, 'result');
  assert.deepEqual(await ask(fixture, anna, 'set', element('opt-out', NS_CONSENT, { provider: '1' })), {
    kind: 'result',
  });
  assert.deepEqual(await ask(fixture, sky, 'get', bundleOf(anna)), notFound);
});

test('a suspended provider is unreachable at once', async () => {
  const fixture = await open();
  const anna = await fixture.enlist(0, 'anna');
  const sky = await fixture.enlist(1, 'sky');
  await ask(fixture, anna, 'set', element('opt-in', NS_CONSENT, { provider: '1' }));
  const devices = element('devices', NS_KEYS, { jid: jidOf(sky) });
  assert.equal((await ask(fixture, anna, 'get', devices)).kind, 'result');
  await fixture.control.registry.setStatus(1, 'suspended', 'admin', fixture.clock.nowMs);
  assert.deepEqual(await ask(fixture, anna, 'get', devices), notFound);
});

test('beyond what all may take of a device, the last-resort key is given, also after enlisting again', async () => {
  const fixture = await openFixture({ config: { budgets: { bundlesPerTarget: { burst: 2, refillSeconds: 600 } } } });
  opened.push(fixture);
  const anna = await fixture.enlist(0, 'anna', { prekeys: 30, kemPrekeys: 30 });
  const askers = [];
  for (let i = 0; i < 4; i++) askers.push(await fixture.enlist(0, `asker ${i}`));
  const given = async (asker: Person): Promise<boolean> => {
    const answer = await ask(fixture, asker, 'get', bundleOf(anna));
    const [device] = childElements(result(answer));
    return childElements(device!).some(each => each.name === 'prekey');
  };
  const oneTime = [];
  for (const asker of askers) oneTime.push(await given(asker));
  assert.deepEqual(oneTime, [true, true, false, false]);
  // A person who withdraws and enlists again is the same to the budgets.
  await fixture.control.enlistment.withdraw(anna.account);
  const again = await fixture.enlist(0, 'anna', { prekeys: 30, kemPrekeys: 30 });
  const fresh = await fixture.enlist(0, 'asker 9');
  const [device] = childElements(result(await ask(fixture, fresh, 'get', bundleOf(again))));
  assert.equal(
    childElements(device!).some(each => each.name === 'prekey'),
    false,
  );
});

test('bundles are a budget of the pair, the same for people that are not there; with the time to wait', async () => {
  const fixture = await open();
  const anna = await fixture.enlist(0, 'anna', { prekeys: 30, kemPrekeys: 30 });
  const bert = await fixture.enlist(0, 'bert');
  const cleo = await fixture.enlist(0, 'cleo');
  for (let i = 0; i < 6; i++) assert.equal((await ask(fixture, bert, 'get', bundleOf(anna))).kind, 'result');
  const wait = await ask(fixture, bert, 'get', bundleOf(anna));
  assert(wait.kind === 'error' && wait.type === 'wait' && wait.condition === 'resource-constraint');
  assert.deepEqual(wait.application?.attrs, ['seconds', '600']);
  assert.equal((await ask(fixture, cleo, 'get', bundleOf(anna))).kind, 'result', 'others are not held up');
  assert.deepEqual(
    { ...fixture.store.reads.prepare('SELECT count(*) AS n FROM one_time_key WHERE kind = 0').get() },
    { n: 23 },
  );
  fixture.clock.nowMs += 600_000;
  assert.equal((await ask(fixture, bert, 'get', bundleOf(anna))).kind, 'result');

  const nobody = element('bundle', NS_KEYS, { jid: `0-${'a'.repeat(26)}@${domain}` });
  const answers = [];
  for (let i = 0; i < 120; i++) answers.push(await ask(fixture, cleo, 'get', nobody));
  assert.deepEqual(answers[0], notFound);
  const last = answers.at(-1)!;
  assert(last.kind === 'error' && last.condition === 'resource-constraint');
});

test('looking people up is a budget of the asker', async () => {
  const fixture = await open();
  const sky = await fixture.enlist(1, 'sky');
  const conditions = new Map<string, number>();
  for (let i = 0; i < 100; i++) {
    const payload = element('lookup', NS_DIRECTORY, { provider: domain, identifier: `user ${i}` });
    const answer = await ask(fixture, sky, 'get', payload);
    const condition = answer.kind === 'error' ? answer.condition : 'result';
    conditions.set(condition, (conditions.get(condition) ?? 0) + 1);
  }
  assert.deepEqual(
    [...conditions],
    [
      ['item-not-found', 60],
      ['resource-constraint', 40],
    ],
  );
});

function manifestOf(
  { account, device, sample }: Awaited<ReturnType<Fixture['enlist']>>,
  epoch: number,
  more: Partial<DeviceManifest> = {},
): { readonly text: string; readonly el: Element } {
  const entry = {
    id: device.id,
    registration: device.registrationId,
    deviceKeyThumbprint: device.thumbprint,
    addedAtMs: 1,
  };
  const text = encodeManifest({
    domain,
    provider: 'skylark.example',
    interopId: account.interopId,
    epoch,
    issuedAtMs: 1_790_000_000_000,
    freshUntilMs: 1_790_000_000_001,
    devices: [entry],
    ...more,
  });
  const signature = sample.identity.sign(manifestSignedBytes(text));
  return { text, el: signedElement(text, signature) };
}
const signedElement = (text: string, signature: Uint8Array): Element =>
  element('manifest', NS_KEYS, {}, [
    element('text', NS_KEYS, {}, [text]),
    element('signature', NS_KEYS, {}, [Buffer.from(signature).toString('base64')]),
  ]);

test("a device publishes its person's manifest; it is served beside the devices, and never goes back", async () => {
  const fixture = await open();
  const anna = await fixture.enlist(1, 'anna');
  const bert = await fixture.enlist(0, 'bert');
  await fixture.control.enlistment.setOptIn(bert.account, 1, true);
  const publishing = (el: Element) => ask(fixture, anna, 'set', el);
  const served = async (by: Person = bert) =>
    ask(fixture, by, 'get', element('manifest', NS_KEYS, { jid: jidOf(anna) }));
  const names = async () => childElements(result(await served())).map(each => each.name);
  assert.deepEqual(await names(), ['device']);
  const second = manifestOf(anna, 2);
  assert.deepEqual(await publishing(second.el), { kind: 'result' });
  assert.deepEqual(await publishing(second.el), { kind: 'result' }, 'a repeat');
  assert.deepEqual(await publishing(manifestOf(anna, 1).el), { kind: 'error', condition: 'conflict' });
  assert.deepEqual(await names(), ['device', 'text', 'signature']);
  const [listed, text] = childElements(result(await served()));
  assert.equal(attribute(listed!, 'jkt'), anna.device.thumbprint);
  assert.deepEqual(text?.children, [second.text]);

  const stranger = sampleDevice().identity;
  const third = manifestOf(anna, 3);
  assert.deepEqual(
    await publishing(signedElement(third.text, stranger.sign(manifestSignedBytes(third.text)))),
    badRequest,
  );
  assert.deepEqual(await publishing(manifestOf(anna, 3, { provider: 'heron.example' }).el), badRequest);
  assert.deepEqual(await publishing(manifestOf(anna, 3, { domain: 'other.example' }).el), badRequest);
  assert.deepEqual(await publishing(manifestOf(anna, 3, { interopId: bert.account.interopId }).el), badRequest);
  const ahead = fixture.clock.nowMs + 300_001;
  assert.deepEqual(await publishing(manifestOf(anna, 3, { issuedAtMs: ahead, freshUntilMs: ahead }).el), badRequest);
  assert.deepEqual(await ask(fixture, bert, 'set', third.el), badRequest, "somebody else's");
  const far = await fixture.enlist(2, 'far');
  assert.deepEqual(await served(far), notFound);
});

test('a device lets another join and removes it, but not itself', async () => {
  const fixture = await open();
  const anna = await fixture.enlist(1, 'anna');
  const second = sampleDevice({ identity: anna.sample.identity });
  const authorise = (jkt: string) => ask(fixture, anna, 'set', element('authorise', NS_DEVICES, { jkt }));
  assert.deepEqual(await authorise('short'), badRequest);
  assert.deepEqual(await authorise(second.jkt), { kind: 'result' });
  const joined = await fixture
    .enlist(1, 'anna', { identity: anna.sample.identity })
    .catch((error: Error) => error.message);
  assert.equal(joined, 'device-authorisation-required', 'another key was authorised');
  const remove = (device: string) => ask(fixture, anna, 'set', element('remove', NS_DEVICES, { device }));
  assert.deepEqual(await remove('1'), { kind: 'error', condition: 'not-allowed' });
  assert.deepEqual(await remove('2'), notFound);
  assert.deepEqual(await remove('0'), badRequest);
});

test('any payload gives an answer, never an exception', async () => {
  const fixture = await open({ config: { budgets: { unlimited: true } } });
  const anna = await fixture.enlist(0, 'anna');
  const names = [
    'publish',
    'manifest',
    'count',
    'devices',
    'bundle',
    'lookup',
    'identify',
    'consent',
    'opt-in',
    'opt-out',
    'authorise',
    'remove',
  ];
  const parts = ['prekey', 'kem-prekey', 'signed-prekey', 'public', 'signature', 'device', 'text'];
  const attrs = fc.dictionary(
    fc.constantFrom('jid', 'device', 'provider', 'identifier', 'jkt', 'id', 'x'),
    fc.oneof(fc.string(), fc.constantFrom('1', '0', jidOf(anna), domain, 'anna')),
    { maxKeys: 3 },
  );
  const child = fc.oneof(
    fc.string(),
    fc.uint8Array({ maxLength: 40 }),
    fc
      .tuple(fc.constantFrom(...parts), attrs, fc.array(fc.string(), { maxLength: 2 }))
      .map(([name, a, c]) => element(name, NS_KEYS, a, c)),
  );
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...names), attrs, fc.array(child, { maxLength: 4 }), async (name, a, children) => {
      for (const [key, handler] of fixture.control.iqHandlers) {
        const [type, ns, known] = key.split(' ') as ['get' | 'set', string, string];
        if (known !== name) continue;
        const { account, device } = anna;
        await handler({ type, payload: element(name, ns, a, children), account, device, nowMs: fixture.clock.nowMs });
      }
    }),
    { numRuns: 300 },
  );
});
