// The client's stream machine against a scripted peer: whole logins, acknowledgements, resumption, and every state with
// every input.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { attribute, type Element, element } from '@drawbridge/wire/element';
import { NS_CLIENT, NS_PING, NS_SASL, NS_SM, NS_STANZAS, NS_TLS } from '@drawbridge/wire/namespaces';
import * as fc from 'fast-check';
import { ClientStream, clientStreamLimits, type Resumption, type Ticket } from './client-stream.ts';
import { parseOauthBearer } from './oauthbearer.ts';
import {
  acknowledge,
  bindFeatures,
  bound,
  domain,
  type Effect,
  enabled,
  header,
  type Input,
  jid,
  message,
  peer,
  play,
  request,
  resumed,
  saslFeatures,
  send,
  streamError,
  tlsFeatures,
  toEstablished,
  toSasl,
  toSuccess,
} from './testing/client-script.ts';

function established(nowMs = 0): ClientStream<string> {
  const stream = new ClientStream<string>({ domain, carrier: 'secured' }, nowMs);
  play(stream, toEstablished, nowMs);
  assert.equal(stream.state, 'established');
  return stream;
}

/** An effect in one word, as a person would read a protocol trace. */
function words(effects: readonly Effect[]): string[] {
  return effects.map(effect => {
    switch (effect.kind) {
      case 'send': {
        const { name } = effect.element;
        const h = attribute(effect.element, 'h');
        const type = name === 'iq' ? ` ${attribute(effect.element, 'type')}` : '';
        return `<${name}${type}${h === undefined ? '' : ` h=${h}`}>`;
      }
      case 'delivered':
        return `delivered ${effect.handles.join(' ')}`;
      case 'established':
        return effect.resumed ? 'resumed' : 'established';
      case 'failed':
        return `failed ${effect.failure.code}${effect.failure.condition === undefined ? '' : ` ${effect.failure.condition}`}`;
      case 'not-sent':
        return `not-sent ${effect.code}`;
      default:
        return effect.kind;
    }
  });
}

function ticketOf(effects: readonly Effect[]): Ticket {
  const stanza = effects.find(effect => effect.kind === 'stanza');
  assert.ok(stanza);
  return stanza.ticket;
}

test('a login over TCP: TLS is started, the proof goes only inside it, the device is bound, stream management is on', () => {
  const stream = new ClientStream<string>({ domain, carrier: 'starttls' }, 0);
  assert.deepEqual(words(play(stream, [{ kind: 'connected' }, header])), ['send-header']);
  assert.deepEqual(words(play(stream, [tlsFeatures])), ['<starttls>']);
  assert.deepEqual(words(play(stream, [peer(element('proceed', NS_TLS))])), ['start-tls']);
  assert.deepEqual(words(play(stream, [{ kind: 'secured' }, header])), ['send-header']);
  assert.deepEqual(words(play(stream, [saslFeatures])), ['need-proof']);
  const auth = play(stream, [{ kind: 'proof', token: 'a.b.c' }])[0];
  assert.ok(auth?.kind === 'send' && auth.element.children[0] instanceof Uint8Array);
  assert.deepEqual(parseOauthBearer(auth.element.children[0]), { token: 'a.b.c' });
  assert.deepEqual(words(play(stream, [peer(element('success', NS_SASL)), header])), ['send-header']);
  assert.deepEqual(words(play(stream, [bindFeatures])), ['<iq set>']);
  assert.deepEqual(words(play(stream, [bound])), ['<enable>']);
  assert.deepEqual(play(stream, [enabled]), [{ kind: 'established', jid, resumed: false }]);
  assert.deepEqual(
    { ...stream.resumption, management: undefined },
    { id: 's1', jid, management: undefined, fruitless: { out: 0, in: 0 } },
  );
});

test('a carrier that authenticated by itself begins with binding and stream management in one go', () => {
  const stream = new ClientStream<string>({ domain, carrier: 'authenticated' }, 0);
  assert.deepEqual(words(play(stream, [{ kind: 'connected' }])), ['<iq set>', '<enable>']);
  assert.deepEqual(words(play(stream, [bound, enabled])), ['established']);
});

test('without an offer of TLS the client goes no further, and sends no proof', () => {
  const stream = new ClientStream<string>({ domain, carrier: 'starttls' }, 0);
  assert.deepEqual(words(play(stream, [{ kind: 'connected' }, header, saslFeatures])), [
    'send-header',
    'failed tls-not-offered',
    'send-end',
    'close',
  ]);
});

test('a refused proof: the challenge is answered, then the failure is final for this stream', () => {
  const stream = new ClientStream<string>({ domain, carrier: 'secured' }, 0);
  play(stream, [...toSasl, { kind: 'proof', token: 'a.b.c' }]);
  assert.deepEqual(words(play(stream, [peer(element('challenge', NS_SASL, {}, ['e30=']))])), ['<response>']);
  assert.deepEqual(words(play(stream, [peer(element('failure', NS_SASL, {}, [element('not-authorized', NS_SASL)]))])), [
    'failed not-authorized not-authorized',
    'send-end',
    'close',
  ]);
});

test('a token that could break out of the message is not sent', () => {
  const stream = new ClientStream<string>({ domain, carrier: 'secured' }, 0);
  play(stream, toSasl);
  assert.deepEqual(words(play(stream, [{ kind: 'proof', token: 'a\u0001host=x' }]))[0], 'failed proof-unusable');
});

test('a proof that cannot be judged now is another word than a refused one', () => {
  const stream = new ClientStream<string>({ domain, carrier: 'secured' }, 0);
  play(stream, [...toSasl, { kind: 'proof', token: 'a.b.c' }]);
  const failure = element('failure', NS_SASL, {}, [element('temporary-auth-failure', NS_SASL)]);
  assert.equal(words(play(stream, [peer(failure)]))[0], 'failed temporary-auth-failure temporary-auth-failure');
});

test("another host's header is refused", () => {
  const stream = new ClientStream<string>({ domain, carrier: 'secured' }, 0);
  play(stream, [{ kind: 'connected' }]);
  assert.equal(
    words(play(stream, [{ kind: 'header', from: 'bastion.example', version: '1.0' }]))[0],
    'failed protocol-error host-unknown',
  );
});

test('acknowledgements are asked for once per burst, and again for what the answer left open', () => {
  const stream = established();
  assert.deepEqual(words(play(stream, [send('1'), send('2'), { kind: 'flushed' }])), ['<message>', '<message>', '<r>']);
  assert.deepEqual(words(play(stream, [send('3'), { kind: 'flushed' }])), ['<message>']);
  assert.deepEqual(words(play(stream, [acknowledge(1)])), ['delivered 1', '<r>']);
  assert.deepEqual(words(play(stream, [acknowledge(2)], 10)), ['delivered 2']);
  assert.equal(stream.deadlineMs, 10 + clientStreamLimits.askAgainMs);
  assert.deepEqual(words(stream.handle({ kind: 'time' }, 10 + clientStreamLimits.askAgainMs)), ['<r>']);
  assert.deepEqual(words(play(stream, [acknowledge(3)])), ['delivered 3']);
  assert.equal(stream.unacknowledgedCount, 0);
});

test('a long burst asks in between', () => {
  const stream = established();
  const sent = Array.from({ length: clientStreamLimits.askEvery }, (_, i) => send(String(i)));
  assert.equal(words(play(stream, sent)).at(-1), '<r>');
});

test('the queue of unacknowledged stanzas is bounded', () => {
  const stream = established();
  for (let i = 0; i < clientStreamLimits.maxUnacknowledged; i++) stream.handle(send(String(i)), 0);
  assert.deepEqual(stream.handle(send('x'), 0), [{ kind: 'not-sent', handle: 'x', code: 'queue-full' }]);
});

test('a stanza is acknowledged only when it and all before it are kept', () => {
  const stream = established();
  const first = ticketOf(play(stream, [peer(message('a'))]));
  const second = ticketOf(play(stream, [peer(message('b'))]));
  assert.equal(stream.unresolvedCount, 2);
  assert.deepEqual(words(play(stream, [request])), []);
  assert.deepEqual(words(play(stream, [{ kind: 'resolved', ticket: second }])), []);
  assert.deepEqual(words(play(stream, [{ kind: 'resolved', ticket: first }])), ['<a h=2>']);
  assert.deepEqual(words(play(stream, [request])), ['<a h=2>']);
});

test('a slow application: the peer is told the count so far', () => {
  const stream = established();
  const first = ticketOf(play(stream, [peer(message('a'))]));
  play(stream, [{ kind: 'resolved', ticket: first }, peer(message('b')), request]);
  assert.equal(stream.deadlineMs, clientStreamLimits.keepMs);
  assert.deepEqual(words(stream.handle({ kind: 'time' }, clientStreamLimits.keepMs)), ['<a h=1>']);
});

test('resumption: delivered ones are told, the rest is sent again, and what was not kept is awaited again', () => {
  const old = established();
  play(old, [send('1'), send('2'), send('3')]);
  const kept = ticketOf(play(old, [peer(message('a'))]));
  const late = ticketOf(play(old, [peer(message('b'))]));
  play(old, [{ kind: 'resolved', ticket: kept }, { kind: 'disconnected' }]);
  const stream = new ClientStream<string>({ domain, carrier: 'secured' }, 0, old.resumption);
  assert.equal(words(play(stream, [...toSuccess, bindFeatures])).at(-1), '<resume h=1>');
  assert.deepEqual(words(play(stream, [resumed(1)])), ['delivered 1', '<message>', '<message>', 'resumed', '<r>']);
  // `b` is kept now by the work begun on the old stream; the peer repeats it: it is the same stanza, counted once.
  play(stream, [{ kind: 'resolved', ticket: late }]);
  assert.deepEqual(words(play(stream, [peer(message('b')), request])), ['<a h=2>']);
  const third = ticketOf(play(stream, [peer(message('c'))]));
  assert.equal(third.sequence, 3);
});

test('a session that is gone: what had arrived is told, then a new one; old tickets mean nothing', () => {
  const old = established();
  play(old, [send('1'), send('2')]);
  const late = ticketOf(play(old, [peer(message('a'))]));
  play(old, [{ kind: 'disconnected' }]);
  const stream = new ClientStream<string>({ domain, carrier: 'secured' }, 0, old.resumption);
  play(stream, [...toSuccess, bindFeatures]);
  const gone = element('failed', NS_SM, { h: '1' }, [element('item-not-found', NS_STANZAS)]);
  assert.deepEqual(words(play(stream, [peer(gone)])), ['delivered 1', '<iq set>']);
  assert.equal(stream.resumption, undefined);
  assert.deepEqual(words(play(stream, [bound, enabled])), ['<enable>', 'established']);
  play(stream, [peer(message('b')), { kind: 'resolved', ticket: late }]);
  assert.equal(stream.unresolvedCount, 1);
});

test('a count beyond what was sent ends the stream and the session', () => {
  const stream = established();
  play(stream, [send('1')]);
  assert.equal(words(play(stream, [acknowledge(2)]))[0], 'failed handled-count-ahead');
  assert.equal(stream.resumption, undefined);
});

test('pings are answered, other requests refused, answers passed on, errors never answered', () => {
  const stream = established();
  const iq = (type: string, child?: Element): Input =>
    peer(element('iq', NS_CLIENT, { type, id: 'q', from: domain }, child === undefined ? [] : [child]));
  assert.deepEqual(words(play(stream, [iq('get', element('ping', NS_PING))])), ['<iq result>']);
  assert.deepEqual(words(play(stream, [iq('get', element('time', 'urn:xmpp:time'))])), ['<iq error>']);
  assert.deepEqual(words(play(stream, [iq('set', element('ping', NS_PING))])), ['<iq error>']);
  assert.deepEqual(words(play(stream, [iq('result')])), ['answer']);
  assert.deepEqual(words(play(stream, [iq('error')])), ['answer']);
  assert.deepEqual(words(play(stream, [iq('other')])), []);
  assert.equal(stream.unresolvedCount, 0);
});

test('a quiet peer is asked, and given up when it stays quiet', () => {
  const stream = established();
  assert.equal(stream.deadlineMs, clientStreamLimits.idleMs);
  assert.deepEqual(words(stream.handle({ kind: 'time' }, clientStreamLimits.idleMs)), ['<r>']);
  const until = clientStreamLimits.idleMs + clientStreamLimits.answerMs;
  assert.equal(stream.deadlineMs, until);
  assert.deepEqual(words(stream.handle({ kind: 'time' }, until)), ['failed peer-silent', 'send-end', 'close']);
  assert.ok(stream.resumption, 'the session may still be resumed');
});

test('a gatekeeper that acknowledges nothing for too long: the session is given up for a new one', () => {
  const { progressMs, idleMs } = clientStreamLimits;
  const stream = established();
  play(stream, [send('1'), send('2'), acknowledge(1)], 1_000);
  // It speaks, and answers every question, but its count stands.
  for (let nowMs = 1_000; nowMs < 1_000 + progressMs; nowMs += idleMs / 10) {
    assert.deepEqual(words(play(stream, [{ kind: 'time' }, acknowledge(1)], nowMs)).includes('close'), false);
  }
  const effects = words(stream.handle({ kind: 'time' }, 1_000 + progressMs));
  assert.deepEqual(effects, ['failed not-acknowledged', 'send-end', 'close']);
  assert.equal(stream.resumption, undefined);
});

test('an application that keeps nothing for too long: the session is given up, so that everything comes again', () => {
  const { progressMs, keepMs } = clientStreamLimits;
  const stream = established();
  const first = ticketOf(play(stream, [peer(message('a'))]));
  ticketOf(play(stream, [peer(message('b')), request], 10));
  play(stream, [{ kind: 'resolved', ticket: first }], 1_000);
  play(stream, [{ kind: 'time' }], 1_000 + keepMs);
  play(stream, [request, acknowledge(0)], progressMs);
  const effects = words(stream.handle({ kind: 'time' }, 1_000 + progressMs));
  assert.deepEqual(effects, ['failed not-kept', 'send-end', 'close']);
  assert.equal(stream.resumption, undefined);
});

test('a stream with nothing open is not given up', () => {
  const stream = established();
  const ticket = ticketOf(play(stream, [peer(message('a')), send('1')]));
  play(stream, [{ kind: 'resolved', ticket }, acknowledge(1)]);
  for (let nowMs = 0; nowMs < 600_000; nowMs += 10_000) play(stream, [{ kind: 'time' }, acknowledge(1)], nowMs);
  assert.equal(stream.state, 'established');
});

// Whatever a gatekeeper says to <resume/> in place of an answer: the second time, the next stream binds.
const oddAnswers: Record<string, Input[]> = {
  'a stream error': [streamError('internal-server-error')],
  'its end': [{ kind: 'ended' }],
  'a cut': [{ kind: 'disconnected' }],
  '<enabled/>': [enabled],
  'another session': [peer(element('resumed', NS_SM, { previd: 'other', h: '0' }))],
  '<resumed/> without a count': [peer(element('resumed', NS_SM, { previd: 's1' }))],
  'a stanza': [peer(message('m'))],
  nonsense: [peer(element('x', 'urn:x'))],
  bytes: [{ kind: 'undecodable' }],
  silence: [],
};

for (const [name, odd] of Object.entries(oddAnswers)) {
  for (const carrier of ['secured', 'authenticated'] as const) {
    test(`<resume/> answered by ${name} (${carrier}): asked once more, then bound`, () => {
      const login: readonly Input[] = carrier === 'secured' ? [...toSuccess, bindFeatures] : [{ kind: 'connected' }];
      let { resumption } = established();
      const last: (string | undefined)[] = [];
      for (let attempt = 0; attempt < 3; attempt++) {
        const stream = new ClientStream<string>({ domain, carrier }, 0, resumption);
        last.push(words(play(stream, login)).find(word => word.startsWith('<resume') || word === '<iq set>'));
        play(stream, odd);
        stream.handle({ kind: 'time' }, clientStreamLimits.loginMs);
        assert.equal(stream.state, 'closed');
        resumption = stream.resumption;
      }
      assert.deepEqual(last, ['<resume h=0>', '<resume h=0>', '<iq set>']);
    });
  }
}

test('resumptions that bring nothing are given up too, those that bring something are not', () => {
  for (const brings of [false, true]) {
    const first = established();
    play(first, [send('1'), send('2'), send('3'), send('4')]);
    let { resumption } = first;
    for (let attempt = 1; attempt < 4; attempt++) {
      const stream = new ClientStream<string>({ domain, carrier: 'authenticated' }, 0, resumption);
      const asked = words(play(stream, [{ kind: 'connected' }]));
      assert.equal(asked[0], brings || attempt < 3 ? '<resume h=0>' : '<iq set>');
      play(stream, [resumed(brings ? attempt - 1 : 0), ...(brings ? [acknowledge(attempt)] : [])]);
      play(stream, [{ kind: 'disconnected' }]);
      resumption = stream.resumption;
    }
  }
});

test('what moves one way does not hide that the other stands still: after two such resumptions the next stream binds', () => {
  for (const stuck of ['out', 'in'] as const) {
    const first = established();
    play(first, [send('mine'), peer(message('theirs'))]);
    let { resumption } = first;
    let resumptions = 0;
    for (; resumption !== undefined && resumptions < 10; resumptions++) {
      const stream = new ClientStream<string>({ domain, carrier: 'authenticated' }, 0, resumption);
      play(stream, [{ kind: 'connected' }, resumed(stuck === 'out' ? 0 : resumptions)]);
      if (stuck === 'in') play(stream, [peer(message('theirs')), send('one more'), acknowledge(resumptions + 1)]);
      else play(stream, [{ kind: 'resolved', ticket: ticketOf(play(stream, [peer(message('theirs'))])) }]);
      play(stream, [{ kind: 'disconnected' }]);
      resumption = stream.resumption;
    }
    assert.equal(resumptions, 2, stuck);
  }
});

test('a login that takes too long is given up', () => {
  const stream = new ClientStream<string>({ domain, carrier: 'secured' }, 5);
  play(stream, toSasl, 5);
  assert.equal(stream.deadlineMs, 5 + clientStreamLimits.loginMs);
  assert.equal(words(stream.handle({ kind: 'time' }, 5 + clientStreamLimits.loginMs))[0], 'failed login-timeout');
});

test('conflict is final, see-other-host is only an error', () => {
  const replaced = established();
  assert.deepEqual(words(play(replaced, [streamError('conflict')])), ['failed replaced conflict', 'send-end', 'close']);
  assert.equal(replaced.resumption, undefined);
  const moved = established();
  assert.equal(words(play(moved, [streamError('see-other-host')]))[0], 'failed stream-error see-other-host');
});

test('closing in order: what was kept is told, acknowledgements still count, the peer has its time to answer', () => {
  const stream = established();
  const ticket = ticketOf(play(stream, [peer(message('a')), send('1')]));
  play(stream, [{ kind: 'resolved', ticket }]);
  assert.deepEqual(words(play(stream, [{ kind: 'close' }])), ['<a h=1>', 'send-end']);
  assert.deepEqual(words(play(stream, [acknowledge(1)])), ['delivered 1']);
  assert.deepEqual(words(play(stream, [{ kind: 'ended' }])), ['close']);
  assert.equal(stream.resumption, undefined);
  const silent = established();
  play(silent, [{ kind: 'close' }]);
  assert.deepEqual(words(silent.handle({ kind: 'time' }, clientStreamLimits.closeMs)), ['close']);
});

test('messages that come before stream management is on are handed over uncounted', () => {
  const stream = new ClientStream<string>({ domain, carrier: 'secured' }, 0);
  play(stream, [...toSuccess, bindFeatures, bound]);
  const ticket = ticketOf(play(stream, [peer(message('early'))]));
  play(stream, [enabled, { kind: 'resolved', ticket }]);
  assert.deepEqual(words(play(stream, [request])), ['<a h=0>']);
});

test('what came before stream management is acknowledged by the first count: nothing counts before it is kept', () => {
  const stream = new ClientStream<string>({ domain, carrier: 'secured' }, 0);
  play(stream, [...toSuccess, bindFeatures, bound]);
  const early = [ticketOf(play(stream, [peer(message('early'))])), ticketOf(play(stream, [peer(message('too'))]))];
  const ping = element('iq', NS_CLIENT, { type: 'get', id: 'p' }, [element('ping', NS_PING)]);
  play(stream, [enabled, peer(ping)]);
  const counted = ticketOf(play(stream, [peer(message('counted'))]));
  play(stream, [
    { kind: 'resolved', ticket: counted },
    { kind: 'resolved', ticket: early[0]! },
  ]);
  assert.deepEqual(words(play(stream, [request])), []);
  // They would be repeated, and counted: it begins again in place of a resumption.
  assert.equal(stream.resumption, undefined);
  assert.deepEqual(words(play(stream, [{ kind: 'resolved', ticket: early[1]! }])), ['<a h=2>']);
  assert.notEqual(stream.resumption, undefined);
});

// Every state with every input: what is not expected there ends the stream with a named failure, or is ignored.

const paths: Record<string, Input[]> = {
  connecting: [],
  'header before TLS': [{ kind: 'connected' }],
  'features before TLS': [{ kind: 'connected' }, header],
  'tls-asked': [{ kind: 'connected' }, header, tlsFeatures],
  'tls-starting': [{ kind: 'connected' }, header, tlsFeatures, peer(element('proceed', NS_TLS))],
};
const startTls: Input[] = [...paths['tls-starting']!, { kind: 'secured' }];
paths['features before SASL'] = [...startTls, header];
paths['awaiting-proof'] = [...startTls, header, saslFeatures];
paths['proof-sent'] = [...paths['awaiting-proof'], { kind: 'proof', token: 't' }];
paths['features after SASL'] = [...paths['proof-sent'], peer(element('success', NS_SASL)), header];
paths['binding'] = [...paths['features after SASL'], bindFeatures];
paths['enabling'] = [...paths['binding'], bound];
paths['established'] = [...paths['enabling'], enabled];
paths['closing'] = [...paths['established'], { kind: 'close' }];
paths['closed'] = [...paths['established'], { kind: 'disconnected' }];

const inputs: Record<string, Input> = {
  connected: { kind: 'connected' },
  header,
  tlsFeatures,
  saslFeatures,
  bindFeatures,
  proceed: peer(element('proceed', NS_TLS)),
  secured: { kind: 'secured' },
  proof: { kind: 'proof', token: 't' },
  success: peer(element('success', NS_SASL)),
  resumed: resumed(0),
  bound,
  enabled,
  message: peer(message('m')),
  a: acknowledge(0),
  r: request,
  unknown: peer(element('x', 'urn:x')),
  undecodable: { kind: 'undecodable' },
  ended: { kind: 'ended' },
  disconnected: { kind: 'disconnected' },
  send: send('s'),
  close: { kind: 'close' },
};

/** What goes on; everything else in these states is `protocol-error`, except the inputs of `everywhere`. */
const expected: Record<string, Record<string, string>> = {
  connecting: {
    connected: 'awaiting-header',
    proof: 'connecting',
    close: 'closed',
    disconnected: 'closed disconnected',
  },
  'header before TLS': { header: 'awaiting-features' },
  'features before TLS': {
    tlsFeatures: 'tls-asked',
    saslFeatures: 'closed tls-not-offered',
    bindFeatures: 'closed tls-not-offered',
  },
  'tls-asked': { proceed: 'tls-starting', tlsFeatures: 'closed protocol-error' },
  'tls-starting': { secured: 'awaiting-header', close: 'closed' },
  'features before SASL': {
    saslFeatures: 'awaiting-proof',
    tlsFeatures: 'closed mechanism-not-offered',
    bindFeatures: 'closed mechanism-not-offered',
  },
  'awaiting-proof': { proof: 'proof-sent' },
  'proof-sent': { success: 'awaiting-header' },
  'features after SASL': {
    bindFeatures: 'binding',
    saslFeatures: 'closed management-refused',
    tlsFeatures: 'closed management-refused',
  },
  binding: { bound: 'enabling' },
  enabling: {
    enabled: 'established',
    message: 'enabling',
    bound: 'enabling',
    resumed: 'closed management-refused',
    a: 'closed management-refused',
    r: 'closed management-refused',
  },
  established: {
    message: 'established',
    bound: 'established',
    a: 'established',
    r: 'established',
    send: 'established',
    unknown: 'closed protocol-error unsupported-stanza-type',
    tlsFeatures: 'closed protocol-error unsupported-stanza-type',
    saslFeatures: 'closed protocol-error unsupported-stanza-type',
    bindFeatures: 'closed protocol-error unsupported-stanza-type',
    proceed: 'closed protocol-error unsupported-stanza-type',
    success: 'closed protocol-error unsupported-stanza-type',
  },
  closing: Object.fromEntries(Object.keys(inputs).map(name => [name, 'closing'])),
  closed: Object.fromEntries(Object.keys(inputs).map(name => [name, 'closed'])),
};
Object.assign(expected['closing']!, {
  ended: 'closed',
  disconnected: 'closed',
  connected: 'closed protocol-error',
  secured: 'closed protocol-error',
  undecodable: 'closed protocol-error',
});
const everywhere: Record<string, string> = {
  ended: 'closed ended-by-peer',
  disconnected: 'closed disconnected',
  close: 'closing',
};

for (const [state, path] of Object.entries(paths)) {
  for (const [name, input] of Object.entries(inputs)) {
    test(`${state} × ${name}`, () => {
      const stream = new ClientStream<string>({ domain, carrier: 'starttls' }, 0);
      play(stream, path);
      const before = stream.state;
      const effects = stream.handle(input, 0);
      const failure = words(effects).find(word => word.startsWith('failed '));
      const happened = stream.state + (failure === undefined ? '' : failure.slice('failed'.length));
      const unsolicited = name === 'send' || name === 'proof' ? before : 'closed protocol-error';
      assert.equal(happened, expected[state]?.[name] ?? everywhere[name] ?? unsolicited);
      if (name === 'send' && state !== 'established') assert.deepEqual(words(effects), ['not-sent not-established']);
      if (stream.state === 'closed' && before !== 'closed') assert.equal(effects.at(-1)?.kind, 'close');
    });
  }
}

test('any order of inputs: no exception, one close at most, nothing after it', () => {
  const any = fc.array(fc.constantFrom(...Object.values(inputs), { kind: 'time' } as Input), { maxLength: 40 });
  fc.assert(
    fc.property(any, fc.nat(Object.keys(paths).length - 1), (sequence, at) => {
      const stream = new ClientStream<string>({ domain, carrier: 'starttls' }, 0);
      const effects = play(stream, Object.values(paths)[at]!);
      sequence.forEach((input, i) => effects.push(...stream.handle(input, i * 5_000)));
      const close = effects.findIndex(effect => effect.kind === 'close');
      if (close >= 0) assert.ok(effects.slice(close + 1).every(effect => effect.kind === 'not-sent'));
    }),
    { numRuns: 300 },
  );
});

test('a resumption is typed by what it names, so that it can be handed to the next stream', () => {
  const resumption: Resumption<string> | undefined = established().resumption;
  assert.equal(resumption?.management.handled, 0);
});
