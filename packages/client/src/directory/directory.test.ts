// The directory's answers: what a sound one gives, and that nothing else passes for one.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Element, element } from '@drawbridge/wire/element';
import { NS_CONSENT, NS_DIRECTORY, NS_KEYS } from '@drawbridge/wire/namespaces';
import { parseXmlDocument } from '@drawbridge/wire/xml-decoder';
import { encodeElement } from '@drawbridge/wire/xml-encoder';
import { xmlLimitsAfterLogin } from '@drawbridge/wire/limits';
import * as fc from 'fast-check';
import {
  countKeys,
  fetchBundle,
  fetchConsent,
  fetchDeviceList,
  identify,
  lookUp,
  publishKeys,
  type Request,
} from './directory.ts';
import { RequestRefused } from '../connection/requests.ts';
import { ClientError } from '../errors.ts';
import { needUserName } from './user-name.ts';

const interopId = `1-${'a'.repeat(26)}`;
const jid = `${interopId}@citadel.example`;
const anna = needUserName('skylark.example', 'anna');
const answers =
  (answer: Element | undefined): Request =>
  () =>
    Promise.resolve(answer);
const key = (name: string, id: string, publicBytes: number, signed: boolean): Element =>
  element(name, NS_KEYS, { id }, [
    element('public', NS_KEYS, {}, [Buffer.alloc(publicBytes, 5)]),
    ...(signed ? [element('signature', NS_KEYS, {}, [Buffer.alloc(64, 7)])] : []),
  ]);
const bundle = (device: Element): Element => element('bundle', NS_KEYS, { jid }, [device]);
const device = (id: string, children: Element[]): Element =>
  element('device', NS_KEYS, { id, registration: '815' }, children);
const identity = element('identity', NS_KEYS, {}, [Buffer.alloc(33, 5)]);
const complete = [
  identity,
  key('signed-prekey', '2', 33, true),
  key('prekey', '7', 33, false),
  key('kem-prekey', '9', 1569, true),
];

test('a bundle is read the same from raw bytes and from base64, with and without a one-time key', async () => {
  const raw = bundle(device('2', complete));
  const text = parseXmlDocument(encodeElement(raw, ''), xmlLimitsAfterLogin);
  assert.ok('name' in text);
  const fromRaw = await fetchBundle(answers(raw), jid, 2);
  const fromText = await fetchBundle(answers(text), jid, 2);
  assert.deepEqual(
    [fromText.address, fromText.registrationId, fromText.prekey?.id, [...fromText.kemPrekey.publicKey]],
    [{ interopId, deviceId: 2 }, 815, 7, [...fromRaw.kemPrekey.publicKey]],
  );
  const without = await fetchBundle(
    answers(
      bundle(
        device(
          '2',
          complete.filter(el => el.name !== 'prekey'),
        ),
      ),
    ),
    jid,
    2,
  );
  assert.equal(without.prekey, undefined);
});

const unsound: Record<string, Element | undefined> = {
  nothing: undefined,
  'another device': bundle(device('3', complete)),
  'no identity': bundle(device('2', complete.slice(1))),
  'no KEM key': bundle(device('2', complete.slice(0, 3))),
  'a signed prekey without signature': bundle(
    device('2', [identity, key('signed-prekey', '2', 33, false), complete[3]!]),
  ),
  'a key id of zero leading digits': bundle(
    device('2', [identity, key('signed-prekey', '02', 33, true), complete[3]!]),
  ),
  'base64 that is not canonical': bundle(
    device('2', [element('identity', NS_KEYS, {}, ['BQ=']), complete[1]!, complete[3]!]),
  ),
};
for (const [name, answer] of Object.entries(unsound)) {
  test(`a bundle is refused: ${name}`, async () => {
    await assert.rejects(fetchBundle(answers(answer), jid, 2), { code: 'protocol-error' });
  });
}

test('a list of devices that names one twice is refused', async () => {
  const one = element('device', NS_KEYS, { id: '1', registration: '7' });
  const list = (...devices: Element[]) => answers(element('manifest', NS_KEYS, { jid }, devices));
  assert.deepEqual(await fetchDeviceList(list(one), jid), {
    devices: [{ id: 1, registration: 7 }],
    manifest: undefined,
    servesManifests: true,
  });
  await assert.rejects(fetchDeviceList(list(one, one), jid), { code: 'protocol-error' });
});

test('a gatekeeper of 0.1.0 is asked for the devices alone', async () => {
  const one = element('device', NS_KEYS, { id: '1', registration: '7' });
  const request: Request = (_, payload) => {
    if (payload.name === 'devices') return Promise.resolve(element('devices', NS_KEYS, { jid }, [one]));
    return Promise.reject(
      new RequestRefused({ condition: 'service-unavailable', type: 'cancel', text: undefined, application: undefined }),
    );
  };
  assert.deepEqual(await fetchDeviceList(request, jid), {
    devices: [{ id: 1, registration: 7 }],
    manifest: undefined,
    servesManifests: false,
  });
});

test('an address of another gatekeeper does not pass as found', async () => {
  const found = element('lookup', NS_DIRECTORY, { jid: `${interopId}@bastion.example` });
  await assert.rejects(lookUp(answers(found), anna, 'citadel.example'), {
    code: 'protocol-error',
  });
  const here = element('lookup', NS_DIRECTORY, { jid });
  assert.equal(await lookUp(answers(here), anna, 'citadel.example'), interopId);
});

test('a name that no provider may give is refused', async () => {
  const named = (provider: string, identifier: string) =>
    identify(answers(element('identify', NS_DIRECTORY, { provider, number: '1', identifier })), jid);
  assert.equal((await named('skylark.example', 'Дарья')).name.identifier, 'Дарья');
  for (const identifier of ['an\u200bna', 'anna\u202e', 'anna\ufdd0', ' anna', 'anna\n', '', 'a'.repeat(129)]) {
    await assert.rejects(named('skylark.example', identifier), { code: 'protocol-error' }, JSON.stringify(identifier));
  }
  for (const provider of ['', 'skylark.exa\u200bmple', 'sky lark']) {
    await assert.rejects(named(provider, 'anna'), { code: 'protocol-error' });
  }
});

test('any answer gives a value or a protocol error', async () => {
  const name = fc.constantFrom(
    'bundle',
    'device',
    'devices',
    'manifest',
    'text',
    'signature',
    'count',
    'identify',
    'lookup',
    'consent',
    'public',
    'kem-prekey',
  );
  const ns = fc.constantFrom(NS_KEYS, NS_DIRECTORY, NS_CONSENT);
  const attrs = fc.dictionary(
    fc.constantFrom('jid', 'id', 'device', 'registration', 'number', 'prekeys'),
    fc.string({ maxLength: 12 }),
  );
  const { tree } = fc.letrec<{ tree: Element }>(tie => ({
    tree: fc
      .tuple(
        name,
        ns,
        attrs,
        fc.array(fc.oneof({ depthSize: 'small' }, fc.base64String(), tie('tree')), { maxLength: 4 }),
      )
      .map(([n, s, a, c]) => element(n, s, a, c)),
  }));
  await fc.assert(
    fc.asyncProperty(tree, async answer => {
      const request = answers(answer);
      const calls = [
        fetchBundle(request, jid, 2),
        fetchDeviceList(request, jid),
        countKeys(request),
        identify(request, jid),
        lookUp(request, anna, 'citadel.example'),
        fetchConsent(request),
      ];
      for (const result of await Promise.allSettled(calls)) {
        if (result.status === 'rejected')
          assert.ok(result.reason instanceof ClientError && result.reason.code === 'protocol-error');
      }
    }),
    { numRuns: 200 },
  );
});

test('keys are published as the specification writes them', async () => {
  let sent: Element | undefined;
  const request: Request = (type, payload) => {
    assert.equal(type, 'set');
    sent = payload;
    return Promise.resolve(undefined);
  };
  const publicKey = Buffer.alloc(3, 1);
  const signature = Buffer.alloc(3, 2);
  await publishKeys(request, {
    signedPrekey: { id: 2, publicKey, signature },
    prekeys: [{ id: 7, publicKey }],
    kemPrekeys: [{ id: 9, publicKey, signature }],
  });
  assert.equal(
    encodeElement(sent!, ''),
    "<publish xmlns='urn:drawbridge:keys:1'><signed-prekey id='2'><public>AQEB</public><signature>AgIC</signature></signed-prekey>" +
      "<prekey id='7'><public>AQEB</public></prekey><kem-prekey id='9'><public>AQEB</public><signature>AgIC</signature></kem-prekey></publish>",
  );
});
