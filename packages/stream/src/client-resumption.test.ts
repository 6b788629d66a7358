// The client's counts over cuts and resumptions, against a played gatekeeper that keeps its own books: what the client
// acknowledges is exactly what was kept without a gap, nothing is lost, and nothing counts twice.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { attribute, type Element, element } from '@drawbridge/wire/element';
import { NS_CLIENT, NS_PING, NS_SM, NS_STANZAS } from '@drawbridge/wire/namespaces';
import * as fc from 'fast-check';
import { ClientStream, clientStreamLimits, type Ticket } from './client-stream.ts';
import {
  bindFeatures,
  bound,
  domain,
  type Effect,
  enabled,
  type Input,
  message,
  peer,
  play,
  request,
  resumed,
  toSuccess,
} from './testing/client-script.ts';

type Carrier = 'secured' | 'authenticated';
/** One managed session as the gatekeeper sees it. */
type Session = {
  readonly id: string;
  /** Everything it has sent; places in here are counts. */
  readonly sent: { readonly el: Element; kept: boolean }[];
  acknowledged: number;
  /** Stanzas of the client that arrived. */
  received: string[];
};
type OpenTicket = { readonly session: Session; readonly place: number; readonly ticket: Ticket };

/** A gatekeeper, its line to the client, and an application that keeps what it is given when the test says so. */
class Played {
  readonly #carrier: Carrier;
  #stream: ClientStream<string>;
  #session: Session | undefined;
  #sessions = 0;
  #clientSent = 0;
  /** `cut`: no line. `asked`: the client's `<resume/>` is on its way. */
  line: 'cut' | 'asked' | 'up' = 'cut';
  /** What is on its way to the client: elements, with their place when they are counted. */
  #wire: { readonly el: Element; readonly place: number | undefined }[] = [];
  #asksToResume = false;
  /** The count that the client resumes with, while it waits for the answer. */
  #asksAfter = 0;
  readonly open: OpenTicket[] = [];
  /** Messages that must reach the application, in order. */
  readonly due: string[] = [];
  readonly handed = new Set<string>();
  readonly delivered = new Set<string>();
  resumptions = 0;
  lateKept = 0;
  nowMs = 0;

  constructor(carrier: Carrier) {
    this.#carrier = carrier;
    this.#stream = new ClientStream<string>({ domain, carrier }, 0);
    this.connect();
    this.answerResume(true);
  }

  sendMessage(): void {
    const id = `m${this.due.length}`;
    this.due.push(id);
    this.#sendCounted(message(id));
  }

  sendIq(type: 'get' | 'result'): void {
    this.#sendCounted(element('iq', NS_CLIENT, { type, id: 'q' }, type === 'get' ? [element('ping', NS_PING)] : []));
  }

  ask(): void {
    if (this.line === 'up') this.#wire.push({ el: element('r', NS_SM), place: undefined });
  }

  /** The client reads this many elements. */
  arrive(count: number): void {
    if (this.line !== 'up') return;
    for (const { el, place } of this.#wire.splice(0, count)) {
      const effects = this.#input(peer(el));
      if (place === undefined) {
        this.#check(effects);
        continue;
      }
      const entry = this.#session!.sent[place]!;
      const handed = effects.find(effect => effect.kind === 'stanza');
      if (el.name === 'iq') entry.kept = true;
      if (entry.kept) assert(handed === undefined, 'what is kept is not handed out again');
      else if (el.name === 'message') {
        assert(handed !== undefined, 'what is not kept is handed out');
        this.handed.add(attribute(el, 'id')!);
        this.open.push({ session: this.#session!, place, ticket: handed.ticket });
      }
      this.#check(effects);
    }
  }

  keep(pick: number): void {
    if (this.open.length === 0) return;
    const [{ session, place, ticket }] = this.open.splice(pick % this.open.length, 1) as [OpenTicket];
    session.sent[place]!.kept = true;
    if (this.line !== 'up') this.lateKept++;
    this.#check(this.#input({ kind: 'resolved', ticket }));
  }

  clientSends(): void {
    const id = `c${this.#clientSent++}`;
    this.#check(this.#input({ kind: 'send', stanza: message(id), handle: id }));
  }

  acknowledgeClient(): void {
    if (this.line !== 'up') return;
    const el = element('a', NS_SM, { h: String(this.#session!.received.length) });
    this.#wire.push({ el, place: undefined });
  }

  wait(ms: number): void {
    this.nowMs += ms;
    this.#check(this.#input({ kind: 'time' }));
  }

  /** What is on its way to the client is lost. */
  cut(): void {
    this.#wire = [];
    this.line = 'cut';
    this.#input({ kind: 'disconnected' });
  }

  connect(): void {
    const { resumption } = this.#stream;
    this.#stream = new ClientStream<string>({ domain, carrier: this.#carrier }, this.nowMs, resumption);
    const login: readonly Input[] =
      this.#carrier === 'secured' ? [...toSuccess, bindFeatures] : [{ kind: 'connected' }];
    this.line = 'asked';
    this.#asksToResume = resumption !== undefined;
    this.#check(login.flatMap(input => this.#input(input)));
  }

  /** The gatekeeper answers the login: the session goes on, or it is gone and there is a new one. */
  answerResume(agrees: boolean): void {
    if (this.line !== 'asked') return;
    this.line = 'up';
    const session = this.#session;
    if (session !== undefined && this.#asksToResume && agrees) {
      this.resumptions++;
      session.acknowledged = Math.max(session.acknowledged, this.#asksAfter);
      this.#wire = session.sent.flatMap((sent, place) => (place < this.#asksAfter ? [] : [{ el: sent.el, place }]));
      const attrs = { previd: session.id, h: String(session.received.length) };
      return this.#check(this.#input(peer(element('resumed', NS_SM, attrs))));
    }
    const failed = element('failed', NS_SM, {}, [element('item-not-found', NS_STANZAS)]);
    const fresh: Session = { id: `s${++this.#sessions}`, sent: [], acknowledged: 0, received: [] };
    this.#session = fresh;
    const managed = element('enabled', NS_SM, { id: fresh.id, resume: 'true' });
    const answers = [...(this.#asksToResume ? [peer(failed)] : []), bound, peer(managed)];
    this.#check(answers.flatMap(input => this.#input(input)));
    // The mailbox gives again what was not acknowledged; the application knows what it has already.
    for (const { el } of session?.sent.slice(session.acknowledged) ?? []) {
      if (el.name === 'message') this.#sendCounted(el);
    }
  }

  get unresolvedCount(): number {
    return this.#stream.unresolvedCount;
  }

  get isAtRest(): boolean {
    return this.#session!.acknowledged === this.#session!.sent.length && this.#wire.length === 0;
  }

  #sendCounted(el: Element): void {
    const place = this.#session!.sent.push({ el, kept: false }) - 1;
    if (this.line === 'up') this.#wire.push({ el, place });
  }

  #input(input: Input): readonly Effect[] {
    return this.#stream.handle(input, this.nowMs);
  }

  /** Reads what the client says, as the gatekeeper does. */
  #check(effects: readonly Effect[]): void {
    for (const effect of effects) {
      if (effect.kind === 'delivered') {
        for (const handle of effect.handles) {
          assert(this.#session!.received.includes(handle) && !this.delivered.has(handle), 'told once, when it arrived');
          this.delivered.add(handle);
        }
      }
      assert(effect.kind !== 'failed', 'a gatekeeper that keeps to the protocol is not given up');
      if (effect.kind !== 'send' || this.#session === undefined) continue;
      const { element: el } = effect;
      const session = this.#session;
      if (el.name === 'message') assert(!session.received.includes(attribute(el, 'id')!), 'sent once');
      if (el.ns === NS_CLIENT && attribute(el, 'id') !== 'bind') session.received.push(attribute(el, 'id')!);
      if (el.name !== 'a' && el.name !== 'resume') continue;
      const gap = session.sent.findIndex(({ kept }) => !kept);
      const h = Number(attribute(el, 'h'));
      assert.equal(h, gap < 0 ? session.sent.length : gap, 'the count is what was kept without a gap');
      assert(h >= session.acknowledged, 'a count does not go back');
      if (el.name === 'a') session.acknowledged = h;
      else this.#asksAfter = h;
    }
  }
}

type Step = { readonly kind: string; readonly run: (played: Played) => void };
const one = (weight: number, kind: string, run: (played: Played, pick: number) => void) => ({
  weight,
  arbitrary: fc.nat(1_000).map((pick): Step => ({ kind: `${kind} ${pick}`, run: played => run(played, pick) })),
});
const step: fc.Arbitrary<Step> = fc.oneof(
  one(8, 'message', played => played.sendMessage()),
  one(2, 'ping', played => played.sendIq('get')),
  one(2, 'iq result', played => played.sendIq('result')),
  one(8, 'arrive', (played, pick) => played.arrive(1 + (pick % 7))),
  one(10, 'keep', (played, pick) => played.keep(pick)),
  one(3, 'ask', played => played.ask()),
  one(2, 'client acknowledged', played => played.acknowledgeClient()),
  one(1, 'wait', (played, pick) => played.wait(pick * 2)),
  one(3, 'cut', played => played.cut()),
  one(5, 'connect', played => {
    if (played.line === 'cut') played.connect();
  }),
  one(5, 'resumed', played => played.answerResume(true)),
  one(1, 'gone', played => played.answerResume(false)),
  one(3, 'client sends', played => played.clientSends()),
);

/** The line heals: everything arrives, is kept and is acknowledged. */
function heal(played: Played): void {
  if (played.line === 'cut') played.connect();
  played.answerResume(true);
  played.acknowledgeClient();
  played.arrive(Number.POSITIVE_INFINITY);
  while (played.open.length > 0) played.keep(0);
  played.ask();
  played.arrive(Number.POSITIVE_INFINITY);
  assert(played.isAtRest, 'everything is acknowledged');
  assert.equal(played.unresolvedCount, 0);
  assert.deepEqual([...played.handed].toSorted(), played.due.toSorted(), 'nothing is lost');
}

test('whatever happens when, the client acknowledges exactly what was kept without a gap', () => {
  let resumptions = 0;
  let lateKept = 0;
  fc.assert(
    fc.property(
      fc.constantFrom<Carrier>('secured', 'authenticated'),
      fc.array(step, { maxLength: 150, size: 'max' }),
      (carrier, steps) => {
        const played = new Played(carrier);
        for (const { run } of steps) run(played);
        heal(played);
        resumptions += played.resumptions;
        lateKept += played.lateKept;
      },
    ),
    { numRuns: 400 },
  );
  assert(resumptions > 400 && lateKept > 400, 'the property was exercised');
});

/** Established, with this many messages handed out and all of them kept. */
function keptTickets(count: number): { readonly stream: ClientStream<string>; readonly tickets: Ticket[] } {
  const stream = new ClientStream<string>({ domain, carrier: 'authenticated' }, 0);
  play(stream, [{ kind: 'connected' }, bound, enabled]);
  return { stream, tickets: receiveMany(stream, count) };
}

/** What is handed out of this many messages. */
function receiveMany(stream: ClientStream<string>, count: number, from = 1): Ticket[] {
  const inputs = Array.from({ length: count }, (_, i) => peer(message(`m${from + i}`)));
  return play(stream, inputs).flatMap(effect => (effect.kind === 'stanza' ? [effect.ticket] : []));
}

const keep = (stream: ClientStream<string>, tickets: readonly Ticket[]): Effect[] =>
  play(
    stream,
    tickets.map(ticket => ({ kind: 'resolved', ticket })),
  );
const countTold = (effects: readonly Effect[]): string | undefined =>
  effects.flatMap(effect => (effect.kind === 'send' ? [attribute(effect.element, 'h')] : [])).at(-1);

function asksToResume(old: ClientStream<string>): {
  readonly stream: ClientStream<string>;
  readonly h: string | undefined;
} {
  play(old, [{ kind: 'disconnected' }]);
  const stream = new ClientStream<string>({ domain, carrier: 'authenticated' }, 0, old.resumption);
  return { stream, h: countTold(play(stream, [{ kind: 'connected' }])) };
}

test('after a resumption the count goes on by what is kept', () => {
  const { stream: old, tickets } = keptTickets(10);
  keep(old, tickets);
  const { stream, h } = asksToResume(old);
  assert.equal(h, '10');
  play(stream, [resumed(0)]);
  const told: (string | undefined)[] = [];
  let kept = 10;
  for (const count of [1, 1, 1, 1, 96, 900]) {
    keep(stream, receiveMany(stream, count, kept + 1));
    kept += count;
    told.push(countTold(play(stream, [request])));
  }
  assert.deepEqual(told, ['11', '12', '13', '14', '110', '1010']);
});

for (const [lateKept, handedAgain] of [
  [0, [6, 7, 8, 9, 10]],
  [2, [8, 9, 10]],
  [3, [9, 10]],
  [5, []],
] as const) {
  test(`ten came, five were kept, ${lateKept} more between asking and the answer: the repeat is counted once`, () => {
    const { stream: old, tickets } = keptTickets(10);
    keep(old, tickets.slice(0, 5));
    const { stream, h } = asksToResume(old);
    assert.equal(h, '5');
    keep(stream, tickets.slice(5, 5 + lateKept));
    play(stream, [resumed(0)]);
    const again = receiveMany(stream, 5, 6);
    assert.deepEqual(
      again.map(({ sequence }) => sequence),
      handedAgain,
    );
    assert.equal(countTold(play(stream, [request, { kind: 'time' }])) ?? 'owed', lateKept === 5 ? '10' : 'owed');
    const late = stream.handle({ kind: 'time' }, clientStreamLimits.keepMs);
    if (lateKept < 5) assert.equal(countTold(late), String(5 + lateKept));
    keep(stream, again);
    assert.equal(countTold(play(stream, [request])), '10');
  });
}

test('what is kept out of order before a cut stays kept', () => {
  const { stream: old, tickets } = keptTickets(4);
  keep(old, tickets.slice(1, 3));
  const { stream, h } = asksToResume(old);
  assert.equal(h, '0');
  play(stream, [resumed(0)]);
  assert.deepEqual(
    receiveMany(stream, 4).map(({ sequence }) => sequence),
    [1, 4],
  );
  keep(stream, tickets.slice(0, 1));
  assert.equal(countTold(stream.handle({ kind: 'close' }, 0)), '3');
});
