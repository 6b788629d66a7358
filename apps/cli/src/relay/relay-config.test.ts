// What a relay's configuration may say, and the words for what it may not.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CommandError } from '../command-error.ts';
import { parsePlace, parseRelayConfig, placeText, readRelayConfig } from './relay-config.ts';

test('places are host and port, in one spelling', () => {
  for (const text of ['citadel.example:443', '192.0.2.7:1', '[2001:db8::7]:65535']) {
    assert.equal(placeText(parsePlace(text)!), text);
  }
  assert.equal(placeText(parsePlace('Citadel.Example:443')!), 'citadel.example:443');
  for (const text of [
    'citadel.example',
    ':443',
    'a:65536',
    'a:',
    'https://a:1',
    'a b:1',
    '[a]:1',
    '[192.0.2.7]:1',
    '2001:db8::7:1',
  ]) {
    assert.equal(parsePlace(text), undefined, text);
  }
});

test('a file is completed, and what is wrong in it is named', () => {
  const config = parseRelayConfig({ upstreams: ['citadel.example:443'] }, 'relay.json');
  assert.deepEqual(config.listen, { host: '::', port: 8444 });
  assert.equal(config.limits.connectionsPerAddress, 256);
  const upstreams = ['a.example:1'];
  for (const [value, words] of [
    [{}, /upstreams/],
    [{ upstreams: [] }, /upstreams/],
    [{ upstreams: ['a.example'] }, /upstream a\.example is not host:port/],
    [{ upstreams: ['a.example:0'] }, /has no port/],
    [{ upstreams, listen: '8444' }, /listen 8444 is not host:port/],
    [{ upstreams, outgoingAddress: 'a.example' }, /outgoingAddress a\.example is not an address/],
    [{ upstreams, upstream: 'a' }, /upstream is not known/],
    [{ upstreams, limits: { idleSeconds: 0 } }, /limits\.idleSeconds/],
    [[], /configuration/],
  ] as const) {
    assert.throws(
      () => parseRelayConfig(value, 'relay.json'),
      (error: unknown) => {
        return error instanceof CommandError && error.exitCode === 2 && words.test(error.message);
      },
      JSON.stringify(value),
    );
  }
});

test('options or a file, and not both', () => {
  const config = readRelayConfig({ upstream: ['a.example:1'], listen: '127.0.0.1:0', outgoingAddress: '192.0.2.7' });
  assert.deepEqual([config.listen.port, config.outgoingAddress], [0, '192.0.2.7']);
  assert.throws(() => readRelayConfig({}), { message: '--upstream is missing' });
  assert.throws(() => readRelayConfig({ config: 'relay.json', listen: 'a:1' }), /stands in place/);
});
