// A capture of a connection is read with the keys that either end logged, and with no others.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CipherName } from '@drawbridge/noise/crypto';
import { generateKeyPair, nodeSuite } from '@drawbridge/noise/node-crypto';
import { element } from '@drawbridge/wire/element';
import { NS_CLIENT } from '@drawbridge/wire/namespaces';
import { CompactCapture, type CaptureEvent } from './compact-capture.ts';
import { CompactKeyRecorder, type CompactSessionKeys, parseKeyLog } from './compact-key-log.ts';
import { CompactPair, domain, type PairOptions } from './testing/compact-pair.ts';

const suiteOf = (cipher: CipherName) => nodeSuite(cipher, 'SHA256');
const suite = suiteOf('AESGCM');
const known = generateKeyPair();
const patterns: Readonly<Record<string, PairOptions>> = {
  XX: {},
  IK: { staticKeyPairs: [known], client: { knownStaticKey: known.publicKey } },
  XXfallback: { staticKeyPairs: [generateKeyPair(), generateKeyPair()], client: { knownStaticKey: known.publicKey } },
};
const message = (id: string, size = 10) =>
  element('message', NS_CLIENT, { id }, [element('body', NS_CLIENT, {}, ['~'.repeat(size)])]);

/** One connection whose suite is recorded on that side, with stanzas both ways; and what it logged. */
function recorded(options: PairOptions, side: 'client' | 'server') {
  const recorder = new CompactKeyRecorder();
  const clientSuite = side === 'client' ? recorder.watch(suite) : suite;
  const pair = new CompactPair({
    ...options,
    suite: side === 'server' ? recorder.watch(suite) : suite,
    client: { ...options.client, suite: clientSuite },
  }).run();
  pair.clientSends([message('c1'), message('c2', 70_000)]);
  pair.serverSends([message('s1', 200_000)]);
  pair.clientSendsBytes(pair.client.keepAlive());
  pair.clientSends([message('c3')]);
  for (const { from, bytes } of pair.sent) if (from === 'client') recorder.clientSent(bytes);
  return { pair, line: recorder.line(domain, pair.login?.pattern === 'XXfallback') };
}

function read(pair: CompactPair, keys: readonly CompactSessionKeys[]): CaptureEvent[] {
  const capture = new CompactCapture(suiteOf, ephemeral =>
    keys.find(each => Buffer.compare(each.clientEphemeral, ephemeral) === 0),
  );
  return pair.sent.flatMap(({ from, bytes }) => capture.feed(from, bytes));
}

for (const [pattern, options] of Object.entries(patterns)) {
  for (const side of ['client', 'server'] as const) {
    test(`${pattern}, keys logged by the ${side}`, () => {
      const { pair, line } = recorded(options, side);
      assert.equal(pair.login?.pattern, pattern);
      const events = read(pair, parseKeyLog(`# a comment\n${line}\n`));
      const ids = events.flatMap(event =>
        event.kind === 'stanzas' ? event.elements.map(el => `${event.from} ${el.attrs[1]}`) : [],
      );
      assert.deepEqual(ids, ['client c1', 'client c2', 'server s1', 'client c3']);
      assert.equal(events.filter(event => event.kind === 'keep-alive').length, 1);
      assert.equal(events.filter(event => event.kind === 'login').length, pattern === 'IK' ? 0 : 1);
      assert.deepEqual(
        events.filter(event => event.kind === 'unreadable'),
        [],
      );
    });
  }
}

test("another session's keys, or none, read nothing", () => {
  const { pair } = recorded(patterns['IK']!, 'client');
  const other = parseKeyLog(recorded(patterns['IK']!, 'client').line);
  for (const keys of [[], other]) {
    const events = read(pair, keys);
    assert.deepEqual(
      events.filter(event => event.kind === 'stanzas'),
      [],
    );
    assert.ok(events.some(event => event.kind === 'unreadable' && event.code === 'keys-missing'));
  }
});

test('what is not compact is said to be that', () => {
  const capture = new CompactCapture(suiteOf, () => undefined);
  assert.deepEqual(capture.feed('client', Buffer.from('GET / HTTP/1.1')), [
    { kind: 'unreadable', from: 'client', code: 'not-compact' },
  ]);
  assert.deepEqual(capture.feed('client', Buffer.from('more')), []);
});

test('lines of other kinds, and damaged ones, are skipped', () => {
  assert.deepEqual(parseKeyLog(''), []);
  assert.deepEqual(parseKeyLog('CLIENT_RANDOM 00 11\nCOMPACT x\nCOMPACT citadel.example 00 11 22\n'), []);
});
