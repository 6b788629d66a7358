// Which transport is next: only silence leads on, what got through stays, a refusal stays where it is.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { element } from '@drawbridge/wire/element';
import { ClientError, type ClientErrorCode } from '../errors.ts';
import type { Transport, TransportContext, TransportEvent } from './transport.ts';
import {
  inTurn,
  type OfferedTransport,
  returnAfterMs,
  type TransportMemory,
  type TransportName,
} from './transports.ts';

class PlayedTransport implements Transport {
  readonly carrier: Transport['carrier'];
  readonly name: TransportName;
  failure: ClientError | undefined;
  readonly #emit: TransportContext['emit'];
  constructor(name: TransportName, context: TransportContext) {
    this.name = name;
    this.carrier = name.startsWith('compact') ? 'authenticated' : 'secured';
    this.#emit = context.emit;
  }
  /** Events in order; then the end, with this failure. */
  play(kinds: readonly ('connected' | 'header' | 'element')[], failure?: ClientErrorCode): void {
    const events: Record<string, TransportEvent> = {
      connected: { kind: 'connected' },
      header: { kind: 'header', from: 'citadel.example', version: '1.0' },
      element: { kind: 'element', element: element('a', 'urn:xmpp:sm:3') },
    };
    for (const kind of kinds) this.#emit(events[kind]!);
    if (failure !== undefined) this.failure = new ClientError(failure);
    this.#emit({ kind: 'disconnected' });
  }
  sendHeader(): void {}
  send(): void {}
  sendEnd(): void {}
  startTls(): void {}
  pause(): void {}
  resume(): void {}
  close(): void {}
}

class Memory implements TransportMemory {
  kept: { name: string; sinceMs: number } | undefined;
  time = 1_000_000_000;
  recall = () => this.kept;
  keep = (name: string, sinceMs: number): void => {
    this.kept = { name, sinceMs };
  };
  uncertified = 0;
  notCertified = (): void => void this.uncertified++;
  nowMs = () => this.time;
}

const names: readonly TransportName[] = ['compact', 'compact-websocket', 'websocket'];

function begin(memory = new Memory()): { next: () => PlayedTransport; memory: Memory } {
  const choices: OfferedTransport[] = names.map(name => ({
    name,
    connect: context => new PlayedTransport(name, context),
  }));
  const connect = inTurn(choices, memory);
  const context: TransportContext = {
    domain: 'citadel.example',
    emit: () => {},
    proof: () => Promise.reject(new Error('not asked')),
  };
  return { next: () => connect(context) as PlayedTransport, memory };
}

const silence: [readonly ('connected' | 'header' | 'element')[], ClientErrorCode][] = [
  [[], 'unreachable'],
  [[], 'timed-out'],
  [['connected'], 'unreachable'],
  [['connected'], 'timed-out'],
];

test('silence leads to the next transport', () => {
  for (const [kinds, failure] of silence) {
    const { next } = begin();
    const first = next();
    assert.equal(first.name, 'compact');
    first.play(kinds, failure);
    assert.equal(next().name, 'compact-websocket');
  }
});

test("the gatekeeper's refusal, or somebody's who pretends to be it, does not", () => {
  const answers: ClientErrorCode[] = [
    'proof-refused',
    'certificate-refused',
    'protocol-error',
    'proof-source-failed',
    'sign-in-refused',
  ];
  for (const failure of answers) {
    const { next } = begin();
    for (let i = 0; i < 3; i++) {
      const transport = next();
      assert.equal(transport.name, 'compact', failure);
      transport.play(['connected'], failure);
    }
  }
});

test('whoever is not certified by the pinned key leads on, and the person is told each time', () => {
  const { next, memory } = begin();
  next().play(['connected'], 'gatekeeper-not-certified');
  assert.equal(memory.uncertified, 1);
  next().play(['connected'], 'gatekeeper-not-certified');
  const through = next();
  assert.equal(through.name, 'websocket');
  through.play(['connected', 'element']);
  assert.deepEqual([memory.uncertified, memory.kept?.name], [2, 'websocket']);
  memory.time += returnAfterMs;
  assert.equal(next().name, 'compact', 'it is tried again');
});

test('a certificate that is refused on a WebSocket does not lead on either', () => {
  const { next } = begin();
  for (const _ of [1, 2]) next().play([], 'unreachable');
  for (const _ of [1, 2]) {
    const transport = next();
    assert.equal(transport.name, 'websocket');
    transport.play([], 'certificate-refused');
  }
});

test('what got through is used again, also by the next process, and the first is tried again after an hour', () => {
  const { next, memory } = begin();
  next().play([], 'unreachable');
  const through = next();
  through.play(['connected', 'element']);
  assert.equal(next().name, 'compact-websocket');
  const later = begin(memory);
  assert.equal(later.next().name, 'compact-websocket');
  memory.time += returnAfterMs;
  assert.equal(begin(memory).next().name, 'compact');
  assert.equal(next().name, 'compact');
});

test('when nothing got through for a while, what gets through first is not remembered', () => {
  const { next, memory } = begin();
  for (let i = 0; i < 4; i++) next().play([], 'unreachable');
  const through = next();
  assert.equal(through.name, 'compact-websocket');
  through.play(['connected', 'element']);
  assert.equal(memory.kept, undefined);
  assert.equal(next().name, 'compact');
});

test('a name that is no longer offered is forgotten', () => {
  const memory = new Memory();
  memory.keep('carrier-pigeon', memory.time);
  assert.equal(begin(memory).next().name, 'compact');
});
