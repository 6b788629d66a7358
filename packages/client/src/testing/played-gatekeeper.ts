// A gatekeeper that a test plays for the client's connection, on any carrier, with a clock and pauses that are played too.
// Knows nothing of what is tested.
import assert from 'node:assert/strict';
import { type Element, element } from '@drawbridge/wire/element';
import { NS_BIND, NS_CLIENT, NS_SASL, NS_SM, NS_STREAM, NS_TLS } from '@drawbridge/wire/namespaces';
import type { Clock } from '../clock.ts';
import { Connection, type ConnectionStatus } from '../connection/connection.ts';
import type { Transport, TransportContext } from '../connection/transport.ts';
import type { ClientError } from '../errors.ts';

export const domain = 'citadel.example';
export const jid = `0-aaaaaaaaaaaaaaaaaaaaaaaaaa@${domain}/1`;

export class PlayedClock implements Clock {
  #now = 1_000_000;
  #timers: { atMs: number; run: () => void }[] = [];
  nowMs(): number {
    return this.#now;
  }
  after(ms: number, run: () => void): () => void {
    const timer = { atMs: this.#now + ms, run };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter(each => each !== timer);
    };
  }
  advance(ms: number): void {
    const until = this.#now + ms;
    for (;;) {
      const next = this.#timers.filter(each => each.atMs <= until).toSorted((a, b) => a.atMs - b.atMs)[0];
      if (next === undefined) break;
      this.#now = Math.max(this.#now, next.atMs);
      this.#timers = this.#timers.filter(each => each !== next);
      next.run();
    }
    this.#now = until;
  }
  get waiting(): number {
    return this.#timers.length;
  }
}

/** Plays the gatekeeper: `log` is what the client sent. */
export class PlayedTransport implements Transport {
  readonly carrier: Transport['carrier'];
  failure: ClientError | undefined;
  readonly log: string[] = [];
  readonly sent: Element[] = [];
  readonly context: TransportContext;
  paused = false;
  closed = false;
  constructor(context: TransportContext, carrier: Transport['carrier'] = 'secured') {
    this.context = context;
    this.carrier = carrier;
  }
  sendHeader(): void {
    this.log.push('header');
  }
  send(el: Element): void {
    this.sent.push(el);
    this.log.push(el.name);
  }
  sendEnd(): void {
    this.log.push('end');
  }
  startTls(): void {
    assert.equal(this.carrier, 'starttls', 'no other carrier is asked');
    this.log.push('start-tls');
  }
  pause(): void {
    this.paused = true;
  }
  resume(): void {
    this.paused = false;
  }
  close(): void {
    this.closed = true;
  }
  element(el: Element): void {
    this.context.emit({ kind: 'element', element: el });
  }
  header(): void {
    this.context.emit({ kind: 'header', from: domain, version: '1.0' });
  }
  /** Up to the bound and managed stream, or to what `session` answers instead. */
  async login(session: (transport: PlayedTransport) => void = bindSession): Promise<void> {
    for (const step of loginSteps[this.carrier]) {
      step.take(this);
      await settle();
    }
    session(this);
  }
}

export const sasl: Element = element('features', NS_STREAM, {}, [
  element('mechanisms', NS_SASL, {}, [element('mechanism', NS_SASL, {}, ['OAUTHBEARER'])]),
]);
/** What a gatekeeper says up to where a session is resumed or begun. `for`: what the client waits for before that. */
export type LoginStep = { readonly for: string; readonly take: (transport: PlayedTransport) => void };

const connects: LoginStep = { for: 'a connection', take: ({ context }) => context.emit({ kind: 'connected' }) };

function opens(what: string): LoginStep {
  return { for: what, take: transport => transport.header() };
}

const startsTls: readonly LoginStep[] = [
  opens('a header before TLS'),
  {
    for: 'an offer of TLS',
    take: transport =>
      transport.element(
        element('features', NS_STREAM, {}, [element('starttls', NS_TLS, {}, [element('required', NS_TLS)])]),
      ),
  },
  { for: 'a word to begin TLS', take: transport => transport.element(element('proceed', NS_TLS)) },
  { for: 'TLS', take: ({ context }) => context.emit({ kind: 'secured' }) },
];

const signsIn: readonly LoginStep[] = [
  opens('a header'),
  { for: 'an offer of SASL', take: transport => transport.element(sasl) },
  { for: 'an answer to the proof', take: transport => transport.element(element('success', NS_SASL)) },
  opens('a header after SASL'),
  {
    for: 'an offer of sessions',
    take: transport =>
      transport.element(element('features', NS_STREAM, {}, [element('bind', NS_BIND), element('sm', NS_SM)])),
  },
];

export const loginSteps: Readonly<Record<Transport['carrier'], readonly LoginStep[]>> = {
  starttls: [connects, ...startsTls, ...signsIn],
  secured: [connects, ...signsIn],
  authenticated: [connects],
};

export function bindSession(transport: PlayedTransport): void {
  const bind = element('bind', NS_BIND, {}, [element('jid', NS_BIND, {}, [jid])]);
  transport.element(element('iq', NS_CLIENT, { type: 'result', id: 'bind' }, [bind]));
  transport.element(element('enabled', NS_SM, { id: 's1', resume: 'true' }));
}

export async function settle(): Promise<void> {
  for (let i = 0; i < 3; i++) await new Promise(resolve => setImmediate(resolve));
}

export type Played = {
  clock: PlayedClock;
  connection: Connection<string>;
  transports: PlayedTransport[];
  statuses: ConnectionStatus[];
  delivered: string[];
  messages: { element: Element; resolve: () => void; isStamped: boolean }[];
  onStatus: (status: ConnectionStatus) => void;
  onDelivered: () => void;
  suspected: string[];
  setAside: boolean;
  last: () => PlayedTransport;
  kinds: () => string[];
};

export function play(
  proof: () => Promise<string> = () => Promise.resolve('a.b.c'),
  random = 0.5,
  carrier: Transport['carrier'] = 'secured',
): Played {
  const clock = new PlayedClock();
  const transports: PlayedTransport[] = [];
  const statuses: ConnectionStatus[] = [];
  const delivered: string[] = [];
  const messages: Played['messages'] = [];
  const connection = new Connection<string>(
    {
      domain,
      clock,
      random: () => random,
      proof,
      connect: context => {
        const transport = new PlayedTransport(context, carrier);
        transports.push(transport);
        return transport;
      },
    },
    {
      message: (element, resolve, isStamped) => messages.push({ element, resolve, isStamped }),
      delivered: handles => {
        delivered.push(...handles);
        played.onDelivered();
      },
      status: status => {
        statuses.push(status);
        played.onStatus(status);
      },
      suspected: (handle, condition) => {
        played.suspected.push(`${handle} ${condition}`);
        return played.setAside;
      },
    },
  );
  const played: Played = {
    clock,
    connection,
    transports,
    statuses,
    delivered,
    messages,
    onStatus: () => undefined,
    onDelivered: () => undefined,
    suspected: [],
    setAside: false,
    last: () => transports.at(-1)!,
    kinds: () => statuses.map(status => status.kind),
  };
  return played;
}

export const message = (id: string): Element => element('message', NS_CLIENT, { id });
