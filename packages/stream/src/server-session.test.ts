// The gatekeeper's session rules: what is acknowledged when, what comes back, what is sent again; by example and, for the
// acknowledgement rule, against a model of both ends with random steps.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { attribute, type Element, element } from '@drawbridge/wire/element';
import { NS_CLIENT, NS_PING, NS_SM } from '@drawbridge/wire/namespaces';
import * as fc from 'fast-check';
import { acknowledgeAtLatestMs, askIntervalMs, maxWaitingRequests, ServerSession } from './server-session.ts';

const domain = 'citadel.example';
const jid = `1-aaaaaaaaaaaaaaaaaaaaaaaaaa@${domain}/1`;
const message = (id: string): Element => element('message', NS_CLIENT, { id });
const request = element('r', NS_SM);
const answer = (h: number | string): Element => element('a', NS_SM, { h: String(h) });

function fresh(): ServerSession<string> {
  return new ServerSession<string>(domain, jid);
}

function managed(): ServerSession<string> {
  const session = fresh();
  session.enable('s1', true, 300);
  takeOutgoing(session);
  return session;
}

function takeOutgoing<T>(session: ServerSession<T>): Element[] {
  const { outgoing } = session;
  session.outgoing = [];
  return outgoing;
}

function takeDelivered<T>(session: ServerSession<T>): T[] {
  const { delivered } = session;
  session.delivered = [];
  return delivered;
}

/** Elements in one word each, as a person would read a trace. */
function words(elements: readonly Element[]): string[] {
  return elements.map(el => {
    const detail = attribute(el, 'h') ?? attribute(el, 'id');
    return detail === undefined ? el.name : `${el.name} ${detail}`;
  });
}

function receiveStanza<T>(session: ServerSession<T>, nowMs = 0): number {
  const received = session.receive(message('m'), nowMs);
  assert(received.kind === 'stanza');
  return received.sequence;
}

test('a count covers a stanza only when it and all before it are resolved', () => {
  const session = managed();
  const [first, second, third] = [receiveStanza(session), receiveStanza(session), receiveStanza(session)];
  session.resolve(third);
  assert.equal(session.handled, 0);
  session.resolve(first);
  assert.equal(session.handled, 1);
  session.resolve(second);
  assert.equal(session.handled, 3);
});

test('<r/> is answered at once when all is resolved, otherwise as soon as it is', () => {
  const session = managed();
  assert.deepEqual(session.receive(request, 0), { kind: 'consumed' });
  assert.deepEqual(words(takeOutgoing(session)), ['a 0']);

  const first = receiveStanza(session);
  session.receive(request, 0);
  const second = receiveStanza(session);
  assert.deepEqual(takeOutgoing(session), []);
  session.resolve(second);
  assert.deepEqual(takeOutgoing(session), []);
  session.resolve(first);
  assert.deepEqual(words(takeOutgoing(session)), ['a 2']);
});

test('<r/> is answered after five seconds with the count so far', () => {
  const session = managed();
  session.resolve(receiveStanza(session));
  receiveStanza(session);
  session.receive(request, 1_000);
  assert.equal(session.oldestRequestMs, 1_000);
  assert.equal(session.answerLate(1_000 + acknowledgeAtLatestMs - 1), 1_000 + acknowledgeAtLatestMs);
  assert.deepEqual(takeOutgoing(session), []);
  assert.equal(session.answerLate(1_000 + acknowledgeAtLatestMs), undefined);
  assert.deepEqual(words(takeOutgoing(session)), ['a 1']);
  assert.equal(session.oldestRequestMs, undefined);
});

test('more waiting requests than anybody needs close the stream', () => {
  const session = managed();
  receiveStanza(session);
  for (let i = 0; i < maxWaitingRequests; i++) assert.equal(session.receive(request, 0).kind, 'consumed');
  assert.deepEqual(session.receive(request, 0), { kind: 'close', condition: 'policy-violation' });
});

test('what the peer may not say closes the stream', () => {
  const cases: [string, ServerSession<string>, Element, string][] = [
    ['r before enable', fresh(), request, 'policy-violation'],
    ['a before enable', fresh(), answer(0), 'bad-format'],
    ['a without h', managed(), element('a', NS_SM), 'bad-format'],
    ['a with a bad h', managed(), answer('01'), 'bad-format'],
    ['a of 2^32', managed(), answer(2 ** 32), 'bad-format'],
    ['an unknown element', managed(), element('broadcast', NS_CLIENT, { id: 'x' }), 'unsupported-stanza-type'],
    ['an unknown management element', managed(), element('status', NS_SM), 'unsupported-stanza-type'],
    ['an unknown namespace', managed(), element('message', 'urn:other'), 'unsupported-stanza-type'],
  ];
  for (const [name, session, el, condition] of cases) {
    assert.deepEqual(session.receive(el, 0), { kind: 'close', condition }, name);
    assert.deepEqual(session.outgoing, [], name);
  }
});

test('enable says whether the client wants to resume', () => {
  for (const [value, resume] of [
    ['true', true],
    ['1', true],
    ['false', false],
    [undefined, false],
  ] as const) {
    const enable = element('enable', NS_SM, { resume: value });
    assert.deepEqual(fresh().receive(enable, 0), { kind: 'enable', resume, stamps: false });
  }
  const session = fresh();
  session.enable('id', false, 300);
  assert.equal(session.resumptionId, undefined);
  assert.equal(attribute(session.outgoing[0]!, 'resume'), undefined);
  assert.equal(managed().resumptionId, 's1');
});

test('with stream management the peer is asked once per batch, and again when something new was sent', () => {
  const session = managed();
  assert.equal(session.ask(0), undefined);
  assert.deepEqual(takeOutgoing(session), []);
  session.send(message('1'), 'one');
  // Right after <enabled/> nobody is asked: some clients start their count a moment after they have read it.
  assert.equal(session.ask(0), askIntervalMs);
  assert.deepEqual(words(takeOutgoing(session)), ['message 1']);
  const later = askIntervalMs;
  session.send(message('2'), 'two');
  session.ask(later);
  assert.deepEqual(words(takeOutgoing(session)), ['message 2', 'r']);
  assert.equal(session.askedSinceMs, later);
  session.send(message('3'), 'three');
  session.ask(later + 1);
  assert.deepEqual(words(takeOutgoing(session)), ['message 3']);
  session.receive(answer(2), later + 2);
  assert.deepEqual(takeDelivered(session), ['one', 'two']);
  assert.equal(session.askedSinceMs, undefined);
  session.ask(later + 2);
  assert.deepEqual(words(takeOutgoing(session)), ['r']);
});

test('a peer that answers without counting more is not asked in a tight loop', () => {
  const session = managed();
  session.send(message('1'), 'one');
  session.ask(100);
  takeOutgoing(session);
  session.receive(answer(0), 101);
  assert.equal(session.ask(101), 100 + askIntervalMs);
  assert.deepEqual(takeOutgoing(session), []);
  assert.equal(session.ask(100 + askIntervalMs), undefined);
  assert.deepEqual(words(takeOutgoing(session)), ['r']);
});

test('without stream management a ping asks, and its answer acknowledges what went before it', () => {
  const session = fresh();
  session.send(message('1'), 'one');
  assert.equal(session.ask(0), undefined);
  const ping = takeOutgoing(session).at(-1)!;
  assert.equal(ping.children.length, 1);
  assert.deepEqual(ping.children[0], element('ping', NS_PING));
  session.send(message('2'), 'two');
  const id = attribute(ping, 'id');
  assert.equal(session.receive(element('iq', NS_CLIENT, { type: 'result', id: 'db-ping-99' }), 1).kind, 'consumed');
  assert.deepEqual(takeDelivered(session), []);
  assert.equal(session.receive(element('iq', NS_CLIENT, { type: 'error', id }), 2).kind, 'consumed');
  assert.deepEqual(takeDelivered(session), ['one']);
  // The same answer again covers nothing.
  session.receive(element('iq', NS_CLIENT, { type: 'result', id }), 3);
  assert.deepEqual(takeDelivered(session), []);
  // Not sooner than one interval after the last ping.
  assert.equal(session.ask(3), askIntervalMs);
  assert.equal(session.ask(askIntervalMs), undefined);
  const next = takeOutgoing(session).at(-1)!;
  session.receive(element('iq', NS_CLIENT, { type: 'result', id: attribute(next, 'id') }), 20);
  assert.deepEqual(takeDelivered(session), ['two']);
  assert.equal(session.unacknowledgedCount, 0);
});

test('a stanza received before <enable/> resolves nothing of what comes after it', () => {
  const session = fresh();
  const before = receiveStanza(session);
  session.enable('s1', true, 300);
  const after = receiveStanza(session);
  session.resolve(before);
  assert.equal(session.handled, 0);
  session.resolve(after);
  assert.equal(session.handled, 1);
});

test('what was sent before <enable/> is acknowledged with the first count', () => {
  const session = fresh();
  session.send(message('1'), 'one');
  session.send(message('2'), 'two');
  session.ask(0);
  takeOutgoing(session);
  session.enable('s1', true, 300);
  assert.deepEqual(words(takeOutgoing(session)), ['enabled s1', 'iq db-ping-2']);
  session.send(message('3'), 'three');
  assert.equal(session.unacknowledgedCount, 4);
  // An answer to a ping from before says nothing in counts.
  session.receive(element('iq', NS_CLIENT, { type: 'result', id: 'db-ping-1' }), 1);
  assert.deepEqual(takeDelivered(session), []);
  session.receive(answer(1), 2);
  assert.deepEqual(takeDelivered(session), ['one', 'two']);
  session.receive(answer(2), 3);
  assert.deepEqual(takeDelivered(session), ['three']);
});

test('a count of 0 says nothing of what came before the counts: all of it is sent again, and counted', () => {
  const session = fresh();
  session.send(message('1'), 'one');
  session.enable('s1', true, 300);
  session.send(message('2'), 'two');
  takeOutgoing(session);
  assert.equal(session.resume(0), true);
  assert.deepEqual(session.delivered, []);
  assert.deepEqual(words(takeOutgoing(session)), ['message 1', 'iq db-ping-1', 'message 2']);
  session.receive(answer(1), 1);
  assert.deepEqual(takeDelivered(session), ['one']);
  session.receive(answer(3), 1);
  assert.deepEqual(takeDelivered(session), ['two']);
  assert.equal(session.unacknowledgedCount, 0);
});

test('an acknowledgement of more than was sent is told with both counts (XEP-0198 section 4)', () => {
  const session = managed();
  session.send(message('1'), 'one');
  const application = element('handled-count-too-high', NS_SM, { h: '3', 'send-count': '1' });
  const closed = { kind: 'close', condition: 'undefined-condition', application };
  assert.deepEqual(session.receive(answer(3), 0), closed);
});

test('what comes too late gets <failed/> and changes nothing; the third time closes', () => {
  const session = managed();
  session.send(message('1'), 'one');
  takeOutgoing(session);
  for (const name of ['resume', 'enable']) {
    assert.deepEqual(session.receive(element(name, NS_SM, { previd: 's1', h: '0' }), 0), { kind: 'consumed' });
    const [failed] = takeOutgoing(session);
    assert.equal(failed!.name, 'failed');
    assert.deepEqual(failed!.children, [element('unexpected-request', 'urn:ietf:params:xml:ns:xmpp-stanzas')]);
  }
  assert.equal(session.resumptionId, 's1');
  const third = session.receive(element('resume', NS_SM), 0);
  assert.deepEqual(third, { kind: 'close', condition: 'policy-violation' });
});

test('nothing that counts is in the read of <enabled/>, for clients that begin to count a moment later', () => {
  const session = fresh();
  session.send(message('1'), 'one');
  takeOutgoing(session);
  session.enable('s1', true, 300, true);
  session.send(message('2'), 'two');
  assert.equal(session.ask(100), 100 + askIntervalMs);
  assert.deepEqual(words(takeOutgoing(session)), ['enabled s1']);
  session.send(message('3'), 'three');
  assert.equal(session.ask(100 + askIntervalMs - 1), 100 + askIntervalMs);
  assert.deepEqual(takeOutgoing(session), []);
  session.ask(100 + askIntervalMs);
  assert.deepEqual(words(takeOutgoing(session)), ['iq db-ping-1', 'message 2', 'message 3', 'r']);
});

test('resumption sends again what the client lacks, in order, and nothing else', () => {
  const session = managed();
  for (const id of ['1', '2', '3']) session.send(message(id), id);
  session.ask(0);
  receiveStanza(session);
  session.receive(request, 0);
  assert.equal(session.resume(1), true);
  assert.deepEqual(takeDelivered(session), ['1']);
  assert.deepEqual(words(takeOutgoing(session)), ['message 2', 'message 3']);
  assert.equal(session.oldestRequestMs, undefined);
  assert.equal(session.resume(4), false);
});

test('after a resumption counts agree with the client, which sends again what was not resolved', () => {
  const session = managed();
  session.resolve(receiveStanza(session));
  const lost = receiveStanza(session);
  session.resume(0);
  assert.equal(session.handled, 1);
  const again = receiveStanza(session);
  session.resolve(lost);
  assert.equal(session.handled, 1, 'resolved on the old stream: the client counts the second one');
  session.resolve(again);
  assert.equal(session.handled, 2);
});

// A whole client: knows what it sent and what it saw acknowledged, counts what it received, loses what is in flight when
// the stream is cut.
type Step =
  | { readonly kind: 'client-sends' | 'client-requests' | 'client-acknowledges' | 'enable' | 'cut' }
  | { readonly kind: 'resolve'; readonly pick: number }
  | { readonly kind: 'send' | 'send-answer' }
  | { readonly kind: 'flush'; readonly lose: boolean }
  | { readonly kind: 'wait'; readonly ms: number };

const simple = (
  kind: 'client-sends' | 'client-requests' | 'client-acknowledges' | 'send' | 'send-answer' | 'enable' | 'cut',
) => fc.constant<Step>({ kind });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: simple('client-sends') },
  { weight: 6, arbitrary: fc.nat(1_000).map(pick => ({ kind: 'resolve' as const, pick })) },
  { weight: 3, arbitrary: simple('client-requests') },
  { weight: 6, arbitrary: simple('send') },
  { weight: 2, arbitrary: simple('send-answer') },
  { weight: 6, arbitrary: fc.boolean().map(lose => ({ kind: 'flush' as const, lose })) },
  { weight: 3, arbitrary: simple('client-acknowledges') },
  { weight: 1, arbitrary: simple('enable') },
  { weight: 1, arbitrary: simple('cut') },
  { weight: 2, arbitrary: fc.integer({ min: 1, max: 7_000 }).map(ms => ({ kind: 'wait' as const, ms })) },
);

test('the acknowledgement rule holds for every sequence of steps', () => {
  let resumptions = 0;
  let acknowledged = 0;
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200, size: 'max' }), steps => {
      const session = new ServerSession<number>(domain, jid);
      let nowMs = 0;
      let isManaged = false;
      // Client to gatekeeper: every stanza the client sent and has not seen acknowledged, oldest first.
      let clientQueue: { readonly stanza: number; sequence: number }[] = [];
      let clientSent = 0;
      let clientCounted = 0;
      const resolved = new Set<number>();
      const unresolved = new Map<number, number>();
      const sequences = new Set<number>();
      // Gatekeeper to client.
      let notes = 0;
      const returned: number[] = [];
      const seen = new Set<number>();
      const seenOrder: number[] = [];
      /** Sent again after a count of 0, though the client had it from before the counts. */
      const mayRepeat = new Set<number>();
      let clientReceived = 0;
      let wire: Element[] = [];

      const sendOne = (entry: { readonly stanza: number; sequence: number }): void => {
        const received = session.receive(message(String(entry.stanza)), nowMs);
        assert(received.kind === 'stanza');
        assert(!sequences.has(received.sequence), 'no sequence is given twice');
        sequences.add(received.sequence);
        entry.sequence = received.sequence;
        unresolved.set(received.sequence, entry.stanza);
      };
      /** The client reads what arrived, in order. */
      const clientReads = (elements: readonly Element[]): void => {
        for (const el of elements) {
          if (el.ns === NS_SM) {
            if (el.name !== 'a') continue;
            const h = Number(attribute(el, 'h'));
            assert(h >= clientCounted, 'counts never go back');
            assert(h - clientCounted <= clientQueue.length, 'never more than was sent');
            for (const { stanza, sequence } of clientQueue.splice(0, h - clientCounted)) {
              assert(resolved.has(stanza), 'only what is resolved is counted');
              unresolved.delete(sequence);
              acknowledged++;
            }
            clientCounted = h;
            continue;
          }
          clientReceived++;
          if (el.name !== 'message') continue;
          const note = Number(attribute(el, 'id'));
          if (mayRepeat.delete(note)) continue;
          assert(!seen.has(note), 'nothing else is delivered twice within a session');
          seen.add(note);
          seenOrder.push(note);
        }
      };
      const collect = (): void => {
        for (const note of session.delivered) {
          assert(seen.has(note), 'only what the client has comes back');
          returned.push(note);
        }
        session.delivered = [];
      };
      const flush = (lose: boolean): void => {
        session.ask(nowMs);
        wire.push(...session.outgoing);
        session.outgoing = [];
        if (lose) return;
        const arrived = wire;
        wire = [];
        clientReads(arrived);
        for (const el of arrived) {
          if (el.name === 'iq')
            session.receive(element('iq', NS_CLIENT, { type: 'result', id: attribute(el, 'id') }), nowMs);
          // A client that counts its own answers to pings.
          if (el.name === 'iq' && isManaged) clientQueue.push({ stanza: -1, sequence: -1 });
        }
      };

      resolved.add(-1);
      for (const each of steps) {
        switch (each.kind) {
          case 'client-sends': {
            const entry = { stanza: clientSent++, sequence: 0 };
            clientQueue.push(entry);
            sendOne(entry);
            break;
          }
          case 'resolve': {
            const sequence = [...unresolved.keys()][each.pick % Math.max(1, unresolved.size)];
            if (sequence === undefined) break;
            resolved.add(unresolved.get(sequence)!);
            unresolved.delete(sequence);
            session.resolve(sequence);
            break;
          }
          case 'client-requests':
            if (isManaged) assert.equal(session.receive(request, nowMs).kind, 'consumed');
            break;
          case 'send':
            session.send(message(String(notes)), notes);
            notes++;
            break;
          case 'send-answer':
            session.send(element('presence', NS_CLIENT), undefined);
            break;
          case 'flush':
            flush(each.lose);
            break;
          case 'client-acknowledges':
            if (!isManaged) break;
            assert.equal(session.receive(answer(clientReceived), nowMs).kind, 'consumed');
            break;
          case 'enable':
            if (isManaged) break;
            flush(false);
            isManaged = true;
            session.enable('s1', true, 300);
            clientQueue = [];
            clientCounted = 0;
            clientReceived = 0;
            break;
          case 'cut': {
            if (!isManaged) break;
            // What is in flight is lost; the client says what it has, and sends again what it has not seen counted.
            wire = [];
            assert(session.resume(clientReceived));
            resumptions++;
            const h = session.handled;
            assert(h - clientCounted <= clientQueue.length);
            for (const { stanza } of clientQueue.splice(0, h - clientCounted)) assert(resolved.has(stanza));
            clientCounted = h;
            const expected = Array.from({ length: notes }, (_, note) => note).filter(note => !seen.has(note));
            const again = session.outgoing.filter(el => el.name === 'message').map(el => Number(attribute(el, 'id')));
            if (clientReceived === 0) for (const note of again) if (seen.has(note)) mayRepeat.add(note);
            const lacked = clientReceived > 0 ? again : again.filter(note => !seen.has(note));
            assert.deepEqual(lacked, expected, 'exactly what the client lacks is sent again, in order');
            assert.deepEqual(
              again,
              again.toSorted((a, b) => a - b),
              'after a count of 0 also what came before counts',
            );
            for (const entry of clientQueue) {
              if (entry.stanza >= 0) sendOne(entry);
              else session.receive(element('iq', NS_CLIENT, { type: 'result', id: 'db-ping-0' }), nowMs);
            }
            break;
          }
          case 'wait':
            nowMs += each.ms;
            session.answerLate(nowMs);
        }
        collect();
      }

      // The end: everything is resolved, everything arrives, everything comes back, once and in order.
      for (const [sequence, stanza] of unresolved) {
        resolved.add(stanza);
        session.resolve(sequence);
      }
      for (let i = 0; i < 4; i++) {
        nowMs += askIntervalMs;
        flush(false);
        if (isManaged) session.receive(answer(clientReceived), nowMs);
        collect();
      }
      if (isManaged) {
        session.receive(request, nowMs);
        flush(false);
        assert.equal(clientQueue.length, 0, 'at rest the client sees everything counted');
      }
      assert.deepEqual(
        returned,
        Array.from({ length: notes }, (_, note) => note),
      );
      assert.deepEqual(seenOrder, returned);
      assert.equal(session.unacknowledgedCount, 0);
    }),
    { numRuns: 400 },
  );
  assert(resumptions > 50 && acknowledged > 500, 'the property was exercised');
});
