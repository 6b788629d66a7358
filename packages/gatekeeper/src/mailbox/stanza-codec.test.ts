// The stored form of a stanza.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { childElement, element } from '@drawbridge/wire/element';
import { NS_CLIENT, NS_DELAY, NS_E2EE } from '@drawbridge/wire/namespaces';
import { createStanzaCodec } from './stanza-codec.ts';

const codec = createStanzaCodec('citadel.example');
const stanza = element('message', NS_CLIENT, { from: '1-aaaaaaaaaaaaaaaaaaaaaaaaaa@citadel.example/1', id: 'm1' }, [
  element('envelope', NS_E2EE, { suite: 'signal-1', 'from-device': '1' }, [
    element('ciphertext', NS_E2EE, { device: '2', kind: 'session' }, ['AAECAwQFBgc=']),
  ]),
]);

test('a stored stanza comes back as it was, with the time at which it came', () => {
  const decoded = codec.decode(codec.encode(stanza), Date.UTC(2026, 10, 23, 9, 30));
  assert.deepEqual(decoded?.attrs, stanza.attrs);
  const delay = childElement(decoded, 'delay', NS_DELAY);
  assert.deepEqual(delay, element('delay', NS_DELAY, { from: 'citadel.example', stamp: '2026-11-23T09:30:00.000Z' }));
  const { children: _, ...envelope } = childElement(decoded, 'envelope', NS_E2EE)!;
  const { children: __, ...expected } = childElement(stanza, 'envelope', NS_E2EE)!;
  assert.deepEqual(envelope, expected);
});

test('damaged stored bytes are undefined, never an exception', () => {
  const bytes = codec.encode(stanza);
  assert.equal(codec.decode(new Uint8Array(0), 0), undefined);
  assert.equal(codec.decode(Buffer.concat([bytes, Buffer.from([1])]), 0), undefined);
  for (let cut = 0; cut < bytes.length; cut++) assert.equal(codec.decode(bytes.subarray(0, cut), 0), undefined);
  for (let at = 0; at < bytes.length; at++) {
    const damaged = Uint8Array.from(bytes);
    damaged[at]! ^= 0xff;
    codec.decode(damaged, 0);
  }
});
