// The connection against a transport and a clock that the test plays: login, loss, resumption, pauses, requests.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { attribute, type Element, element } from '@drawbridge/wire/element';
import {
  NS_BIND,
  NS_CLIENT,
  NS_REPORT,
  NS_KEYS,
  NS_SASL,
  NS_SM,
  NS_STREAM,
  NS_STREAMS,
} from '@drawbridge/wire/namespaces';
import { stanzaErrorElement } from '@drawbridge/wire/stanza-error';
import { connectionLimits, type ConnectionStatus } from './connection.ts';
import { ClientError } from '../errors.ts';
import {
  bindSession,
  domain,
  jid,
  message,
  play,
  type Played,
  type PlayedTransport,
  sasl,
  settle,
} from '../testing/played-gatekeeper.ts';
import { reconnectionLimits } from './reconnection.ts';
import { requestLimits, RequestRefused } from './requests.ts';

test('a login, a stanza, its acknowledgement', async () => {
  const played = play();
  played.connection.start();
  assert.equal(played.connection.send(message('early'), 'early'), false);
  await played.last().login();
  assert.deepEqual(played.connection.status, { kind: 'online', jid, resumed: false });
  assert.equal(played.connection.send(message('1'), 'one'), true);
  await settle();
  assert.deepEqual(played.last().log.slice(-2), ['message', 'r']);
  played.last().element(element('a', NS_SM, { h: '1' }));
  assert.deepEqual(played.delivered, ['one']);
});

test('a lost stream is resumed with a fresh proof; what was not acknowledged is sent again', async () => {
  let proofs = 0;
  const played = play(() => Promise.resolve(`proof${++proofs}`));
  played.connection.start();
  await played.last().login();
  played.connection.send(message('1'), 'one');
  played.last().context.emit({ kind: 'disconnected' });
  assert.equal(played.connection.status.kind, 'waiting');
  played.clock.advance(reconnectionLimits.firstPauseMs);
  assert.equal(played.transports.length, 2);
  await played.last().login(transport => transport.element(element('resumed', NS_SM, { previd: 's1', h: '0' })));
  assert.deepEqual(played.connection.status, { kind: 'online', jid, resumed: true });
  assert.deepEqual(played.last().log.slice(-3), ['resume', 'message', 'r']);
  assert.equal(proofs, 2);
});

test('what is sent as soon as the stream is up comes behind what is sent again', async () => {
  const played = play();
  played.onStatus = status => {
    if (status.kind === 'online' && status.resumed) played.connection.send(message('new'), 'new');
  };
  played.connection.start();
  await played.last().login();
  played.connection.send(message('old 1'), 'old 1');
  played.connection.send(message('old 2'), 'old 2');
  played.last().context.emit({ kind: 'disconnected' });
  played.clock.advance(reconnectionLimits.firstPauseMs);
  await played.last().login(transport => transport.element(element('resumed', NS_SM, { previd: 's1', h: '0' })));
  const ids = played.last().sent.flatMap(el => (el.name === 'message' ? [attribute(el, 'id')] : []));
  assert.deepEqual(ids, ['old 1', 'old 2', 'new']);
  played.last().element(element('a', NS_SM, { h: '2' }));
  assert.deepEqual(played.delivered, ['old 1', 'old 2']);
});

test('what comes before a session has begun is not held to what the session before had asked for', async () => {
  const played = play();
  const begin = (transport: PlayedTransport): void => {
    const bind = element('bind', NS_BIND, {}, [element('jid', NS_BIND, {}, [jid])]);
    if (transport.sent.some(el => el.name === 'resume')) transport.element(element('failed', NS_SM));
    transport.element(element('iq', NS_CLIENT, { type: 'result', id: 'bind' }, [bind]));
    transport.element(message('early'));
    transport.element(element('enabled', NS_SM, { id: 's1', resume: 'true' }, [element('stamps', NS_REPORT)]));
    transport.element(message('counted'));
  };
  played.connection.start();
  await played.last().login(begin);
  for (const { resolve } of played.messages) resolve();
  played.last().context.emit({ kind: 'disconnected' });
  const { status } = played.connection;
  assert.ok(status.kind === 'waiting');
  played.clock.advance(status.retryInMs);
  await played.last().login(begin);
  assert.deepEqual(
    played.messages.map(({ isStamped }) => isStamped),
    [false, true, false, true],
  );
});

test('a message that is answered from within its handler keeps the order of what was to be sent before', async () => {
  const played = play();
  played.onDelivered = () => void played.connection.send(message('answer'), 'answer');
  played.connection.start();
  await played.last().login();
  played.connection.send(message('1'), '1');
  await settle();
  played.connection.send(message('2'), '2');
  played.last().element(element('a', NS_SM, { h: '1' }));
  // The machine asks about `2` at once; what the handler sends comes after that.
  assert.deepEqual(played.last().log.slice(-3), ['message', 'r', 'message']);
});

test('a message is acknowledged when it is kept, also when that happens on the next stream', async () => {
  const played = play();
  played.connection.start();
  await played.last().login();
  played.last().element(message('in'));
  played.last().context.emit({ kind: 'disconnected' });
  played.messages[0]!.resolve();
  played.clock.advance(reconnectionLimits.firstPauseMs);
  await played.last().login(transport => transport.element(element('resumed', NS_SM, { previd: 's1', h: '0' })));
  const resume = played.last().sent.find(el => el.name === 'resume');
  assert.equal(resume === undefined ? undefined : attribute(resume, 'h'), '1');
});

test('reading stops while too much has still to be kept', async () => {
  const played = play();
  played.connection.start();
  await played.last().login();
  for (let i = 0; i < connectionLimits.maxUnresolved; i++) played.last().element(message(String(i)));
  assert.equal(played.last().paused, true);
  for (const { resolve } of played.messages.slice(0, connectionLimits.maxUnresolved / 2)) resolve();
  assert.equal(played.last().paused, false);
});

test('pauses grow to their bound with full jitter and are short again after a good stream', async () => {
  const played = play(undefined, 0.999_999);
  played.connection.start();
  const pauses: number[] = [];
  for (let i = 0; i < 10; i++) {
    played.last().context.emit({ kind: 'disconnected' });
    const { status } = played.connection;
    assert.ok(status.kind === 'waiting');
    pauses.push(status.retryInMs);
    played.clock.advance(status.retryInMs);
  }
  assert.deepEqual(pauses, [500, 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000, 60000]);
  await played.last().login();
  played.clock.advance(connectionLimits.stableMs);
  played.last().context.emit({ kind: 'disconnected' });
  const { status } = played.connection;
  assert.ok(status.kind === 'waiting' && status.retryInMs === 500);
  assert.equal(play(undefined, 0).connection.status.kind, 'idle');
});

test('a gatekeeper that goes down or is full is given time: the pause is drawn from a longer span', async () => {
  for (const condition of ['system-shutdown', 'resource-constraint']) {
    const played = play(undefined, 0.999_999);
    played.connection.start();
    await played.last().login();
    played.last().element(element('error', NS_STREAM, {}, [element(condition, NS_STREAMS)]));
    played.last().context.emit({ kind: 'disconnected' });
    const { status } = played.connection;
    assert.ok(status.kind === 'waiting', status.kind);
    assert.equal(status.retryInMs, reconnectionLimits.busyPauseMs);
  }
});

test('a login that hangs is given up', () => {
  const played = play();
  played.connection.start();
  played.last().context.emit({ kind: 'connected' });
  played.clock.advance(30_000);
  const { status } = played.connection;
  assert.ok(status.kind === 'waiting' || status.kind === 'connecting');
  assert.ok(played.transports[0]!.closed);
  assert.ok(played.statuses.some(each => each.kind === 'waiting' && each.error.code === 'timed-out'));
});

test('a stream of this device that takes over once is endured, for it may be an attempt that arrived late; again it is not', async () => {
  const played = play();
  const status = (): ConnectionStatus => played.connection.status;
  const conflict = element('error', NS_STREAM, {}, [element('conflict', NS_STREAMS)]);
  const isTakenOver = async (): Promise<void> => {
    await played.last().login();
    played.last().element(conflict);
    played.last().context.emit({ kind: 'disconnected' });
  };
  played.connection.start();
  await isTakenOver();
  const first = status();
  assert.ok(first.kind === 'waiting' && first.error.code === 'replaced');
  played.clock.advance(reconnectionLimits.busyPauseMs);
  await played.last().login();
  // Long after, it is as the first time.
  for (let goneMs = 0; goneMs < connectionLimits.takenOverAgainMs; goneMs += connectionLimits.stableMs) {
    played.clock.advance(connectionLimits.stableMs);
    played.last().element(message(String(goneMs)));
    played.messages.at(-1)!.resolve();
  }
  assert.equal(status().kind, 'online');
  played.last().element(conflict);
  played.last().context.emit({ kind: 'disconnected' });
  assert.equal(status().kind, 'waiting');
  played.clock.advance(reconnectionLimits.busyPauseMs);
  await isTakenOver();
  const last = status();
  assert.ok(last.kind === 'stopped' && last.error?.code === 'replaced');
  assert.equal(played.clock.waiting, 0);
});

test('a proof source that says no stops it, one that fails is asked again', async () => {
  const refused = play(() => Promise.reject(new ClientError('sign-in-refused')));
  refused.connection.start();
  await refused
    .last()
    .login(() => undefined)
    .catch(() => undefined);
  assert.ok(
    refused.connection.status.kind === 'stopped' && refused.connection.status.error?.code === 'sign-in-refused',
  );
  const failing = play(() => Promise.reject(new Error('boom')));
  failing.connection.start();
  await failing
    .last()
    .login(() => undefined)
    .catch(() => undefined);
  assert.ok(
    failing.connection.status.kind === 'waiting' && failing.connection.status.error.code === 'proof-source-failed',
  );
});

/** A login up to the proof, which this SASL failure answers. */
async function refuse(played: Played, condition: string): Promise<ConnectionStatus> {
  const transport = played.last();
  transport.context.emit({ kind: 'connected' });
  transport.header();
  transport.element(sasl);
  await settle();
  transport.element(element('failure', NS_SASL, {}, [element(condition, NS_SASL)]));
  return played.connection.status;
}

test('a proof that is refused again and again is tried slowly, and the client logs in when it is taken', async () => {
  const played = play();
  played.connection.start();
  for (let i = 1; i < 10; i++) {
    const status = await refuse(played, 'not-authorized');
    assert.ok(status.kind === 'waiting' && status.error.code === 'proof-refused');
    const { refusedPauseMs, maxPauseMs } = reconnectionLimits;
    if (i < connectionLimits.maxRefusals) assert.ok(status.retryInMs <= maxPauseMs);
    else assert.equal(status.retryInMs, refusedPauseMs * 0.75);
    played.clock.advance(status.retryInMs);
  }
  await played.last().login();
  assert.equal(played.connection.status.kind, 'online');
});

test('a proof that cannot be judged now is not a refusal: the pauses stay those of a gatekeeper that is not there', async () => {
  const played = play(undefined, 0.999_999);
  played.connection.start();
  for (let i = 0; i < 12; i++) {
    const status = await refuse(played, 'temporary-auth-failure');
    assert.ok(status.kind === 'waiting' && status.error.code === 'not-judged');
    assert.ok(status.retryInMs <= reconnectionLimits.maxPauseMs);
    played.clock.advance(status.retryInMs);
  }
  await played.last().login();
  assert.equal(played.connection.status.kind, 'online');
});

test('the first in line when the gatekeeper ends a stream is named; set aside, the next stream binds', async () => {
  const played = play();
  const end = async (condition: string): Promise<void> => {
    played.last().element(element('error', NS_STREAM, {}, [element(condition, NS_STREAMS)]));
    const { status } = played.connection;
    assert.ok(status.kind === 'waiting');
    played.clock.advance(status.retryInMs);
  };
  played.connection.start();
  await played.last().login();
  played.connection.send(message('1'), 'one');
  played.connection.send(message('2'), 'two');
  played.last().element(element('a', NS_SM, { h: '1' }));
  await end('policy-violation');
  assert.deepEqual(played.suspected, ['two policy-violation']);
  // A gatekeeper that goes down says nothing of a stanza.
  await played.last().login(transport => transport.element(element('resumed', NS_SM, { previd: 's1', h: '1' })));
  await end('system-shutdown');
  assert.equal(played.suspected.length, 1);
  played.setAside = true;
  await played.last().login(transport => transport.element(element('resumed', NS_SM, { previd: 's1', h: '1' })));
  await end('policy-violation');
  await played.last().login();
  assert.deepEqual(played.connection.status, { kind: 'online', jid, resumed: false });
  assert.ok(!played.last().log.includes('message'));
});

test('a pause is short again only after a stream that lived for 30 s', async () => {
  for (const [livedMs, pauseMs] of [
    [connectionLimits.stableMs - 1, 1_000],
    [connectionLimits.stableMs, 500],
  ] as const) {
    const played = play(undefined, 0.999_999);
    played.connection.start();
    played.last().context.emit({ kind: 'disconnected' });
    played.clock.advance(500);
    await played.last().login();
    played.clock.advance(livedMs);
    played.last().context.emit({ kind: 'disconnected' });
    const { status } = played.connection;
    assert.ok(status.kind === 'waiting' && status.retryInMs === pauseMs);
  }
});

test('requests: results, errors, time, loss; answers of others are not taken', async () => {
  const played = play();
  const count = element('count', NS_KEYS);
  await assert.rejects(played.connection.request('get', count), { code: 'not-connected' });
  played.connection.start();
  await played.last().login();
  const idOf = (): string => attribute(played.last().sent.findLast(el => el.name === 'iq')!, 'id')!;
  const answer = (type: string, child: Element, from?: string): void =>
    played.last().element(element('iq', NS_CLIENT, { type, id: idOf(), from }, [child]));

  const good = played.connection.request('get', count);
  answer('result', element('evil', NS_KEYS), `1-bbbbbbbbbbbbbbbbbbbbbbbbbb@${domain}`);
  answer('result', element('count', NS_KEYS, { prekeys: '1' }), domain);
  assert.equal(attribute((await good)!, 'prekeys'), '1');

  const bad = played.connection.request('get', count);
  answer('error', stanzaErrorElement('item-not-found'));
  await assert.rejects(bad, error => error instanceof RequestRefused && error.code === 'not-found');

  const late = played.connection.request('get', count, 5_000);
  played.clock.advance(5_000);
  await assert.rejects(late, { code: 'timed-out' });

  const lost = played.connection.request('get', count, 600_000);
  played.last().context.emit({ kind: 'disconnected' });
  played.clock.advance(reconnectionLimits.firstPauseMs);
  await played.last().login(transport => {
    transport.element(element('failed', NS_SM));
    bindSession(transport);
  });
  await assert.rejects(lost, { code: 'not-connected' });

  const requests = Array.from({ length: requestLimits.maxRequests }, () => played.connection.request('get', count));
  await assert.rejects(played.connection.request('get', count), { code: 'too-many-requests' });
  const closed = played.connection.close();
  played.last().context.emit({ kind: 'ended' });
  await closed;
  for (const request of requests) await assert.rejects(request, { code: 'closed' });
});

test('closing: in order when there is a stream, at once when there is none, never connecting again', async () => {
  const played = play();
  played.connection.start();
  await played.last().login();
  const closed = played.connection.close();
  assert.equal(played.last().log.at(-1), 'end');
  played.last().context.emit({ kind: 'ended' });
  await closed;
  assert.deepEqual(played.connection.status, { kind: 'stopped', error: undefined });
  assert.equal(played.clock.waiting, 0);
  const waiting = play();
  waiting.connection.start();
  waiting.last().context.emit({ kind: 'disconnected' });
  await waiting.connection.close();
  assert.equal(waiting.clock.waiting, 0);
  await waiting.connection.close();
});
