// Nothing goes to the gatekeeper before what it rests on is durable, and everything goes in its order.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { element } from '@drawbridge/wire/element';
import { ClientError } from '../errors.ts';
import { afterDurable } from './after-durable.ts';
import type { Transport } from './transport.ts';

function played(durable: () => Promise<void> | undefined): { transport: Transport; said: string[] } {
  const said: string[] = [];
  const inner: Transport = {
    carrier: 'starttls',
    failure: undefined,
    sendHeader: to => void said.push(`header ${to}`),
    send: ({ name }) => void said.push(name),
    sendEnd: () => void said.push('end'),
    startTls: () => void said.push('tls'),
    pause: () => void said.push('pause'),
    resume: () => void said.push('resume'),
    close: () => void said.push('close'),
  };
  const context = { domain: 'citadel.example', emit: () => {}, proof: () => Promise.resolve('') };
  return { transport: afterDurable(() => inner, durable)(context), said };
}

const stanza = (name: string) => element(name, 'jabber:client');

test('with a store that is durable at once everything goes at once', () => {
  const { transport, said } = played(() => undefined);
  transport.sendHeader('a');
  transport.send(stanza('b'));
  transport.startTls();
  transport.sendEnd();
  transport.close();
  assert.deepEqual(said, ['header a', 'b', 'tls', 'end', 'close']);
  assert.equal(transport.carrier, 'starttls');
});

test('what waits goes in order, and what is said meanwhile waits for what was done meanwhile', async () => {
  const writes: PromiseWithResolvers<void>[] = [];
  let dirty = true;
  const { transport, said } = played(() => {
    if (!dirty) return undefined;
    const write = Promise.withResolvers<void>();
    writes.push(write);
    return write.promise;
  });
  transport.send(stanza('first'));
  transport.send(stanza('second'));
  transport.pause();
  assert.deepEqual(said, ['pause'], 'reading does not wait');
  writes[0]!.resolve();
  await new Promise(setImmediate);
  transport.send(stanza('third'));
  assert.deepEqual(said, ['pause'], 'asked again: more may have been done since');
  writes[1]!.resolve();
  await new Promise(setImmediate);
  assert.deepEqual(said, ['pause', 'first', 'second']);
  dirty = false;
  writes[2]!.resolve();
  await new Promise(setImmediate);
  transport.close();
  assert.deepEqual(said, ['pause', 'first', 'second', 'third', 'close']);
});

test('what can not be kept is not sent: the connection ends', async () => {
  const { transport, said } = played(() => Promise.reject(new ClientError('store-failed')));
  transport.send(stanza('first'));
  transport.send(stanza('second'));
  await new Promise(setImmediate);
  transport.send(stanza('third'));
  assert.deepEqual(said, ['close']);
  assert.equal(transport.failure?.code, 'store-failed');
});
