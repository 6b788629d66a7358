// Events: every listener gets all, none slows another, a slow one is told what it missed.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ClientEvent, EventHub, maxWaitingEvents } from './events.ts';

const event = (seconds: number): ClientEvent => ({ kind: 'expiry-timer', chat: 'x', from: 'x', seconds });

test('each listener gets every event from when it began, in order', async () => {
  const hub = new EventHub();
  const first = hub.listen();
  hub.emit(event(1));
  const second = hub.listen();
  hub.emit(event(2));
  hub.close();
  const collect = async (events: AsyncIterable<ClientEvent>): Promise<ClientEvent[]> => {
    const got: ClientEvent[] = [];
    for await (const each of events) got.push(each);
    return got;
  };
  assert.deepEqual(await collect(first), [event(1), event(2)]);
  assert.deepEqual(await collect(second), [event(2)]);
  assert.deepEqual(await collect(hub.listen()), []);
});

test('a slow listener loses the oldest and is told how many', async () => {
  const hub = new EventHub();
  const events = hub.listen();
  for (let i = 0; i < maxWaitingEvents + 5; i++) hub.emit(event(i));
  assert.deepEqual((await events.next()).value, { kind: 'missed', count: 5 });
  assert.deepEqual((await events.next()).value, event(5));
});

test('a listener that waits is woken by an event, by its own end, and by the close', async () => {
  const hub = new EventHub();
  const events = hub.listen();
  const next = events.next();
  hub.emit(event(1));
  assert.deepEqual((await next).value, event(1));
  const ended = events.next();
  await events.return?.();
  assert.equal((await ended).done, true);
  const closed = hub.listen().next();
  hub.close();
  assert.equal((await closed).done, true);
});
