// One compact connection: bytes in, bytes out; login by the Noise handshake's payload, then a session.
// Knows nothing of accounts or routing, and nothing of how its link moves bytes. Source: docs/protocol/05-compact.md.
import { thumbprintX25519 } from '@drawbridge/identity/jwk';
import { noBytes } from '@drawbridge/noise/crypto';
import type { PipePattern } from '@drawbridge/noise/pipes';
import { maxHandshakeFrameBytes } from '@drawbridge/stream/compact-frames';
import { CompactKeyRecorder } from '@drawbridge/stream/compact-key-log';
import { CompactServer, type CompactServerEvent, type CompactServerSettings } from '@drawbridge/stream/compact-server';
import { isGoodbye } from '@drawbridge/stream/compact-login';
import { ServerNegotiation } from '@drawbridge/stream/server-negotiation';
import type { Element } from '@drawbridge/wire/element';
import { type StreamErrorCondition, streamErrorElement } from '@drawbridge/wire/stream-error';
import { encodeElement } from '@drawbridge/wire/xml-encoder';
import type { Carrier } from '../routing/carrier.ts';
import type { DeviceSession } from '../routing/device-session.ts';
import { sizeOfElement } from '../routing/held-memory.ts';
import { maxTurnStanzas } from '../routing/session-limits.ts';
import {
  type Admitted,
  beginSession,
  type ConnectionPlace,
  countStreamError,
  isNotJudged,
  type ListenerHost,
} from './admission.ts';
import { type BreakableStream, endForDefect, guarded } from './connection-defect.ts';
import { PacedInput, type PacedStream, pieceBytes } from './paced-input.ts';

/** What carries the bytes: a TCP socket or a WebSocket's binary messages. */
export interface ByteLink {
  send(bytes: Uint8Array): void;
  /** Sends what waits, then closes; cuts after a while. */
  end(): void;
  pause(): void;
  resume(): void;
  readonly congested: boolean;
}

/** Writes a session's keys for `drawbridge inspect`; development only. */
export type KeyLog = (line: string) => void;

/** Pieces of input that may wait for one turn; a paused link gives few more after the first. */
const maxWaitingChunks = 8;

/** What came and was not taken yet: of what was read already, and behind it bytes. */
type CompactInput = {
  readonly events: readonly CompactServerEvent[];
  /** What they keep alive. */
  readonly eventsBytes: number;
  readonly bytes: Uint8Array;
};

const noEvents: readonly CompactServerEvent[] = [];

/** Trees, and the frames that they lie in. */
function sizeOfEvents(events: readonly CompactServerEvent[]): number {
  let bytes = 0;
  for (const event of events) {
    if (event.kind !== 'elements') continue;
    bytes += event.frameBytes;
    for (const el of event.elements) bytes += sizeOfElement(el);
  }
  return bytes;
}

export class CompactStream implements Carrier, BreakableStream, PacedStream<CompactInput> {
  readonly host: ListenerHost;
  readonly #link: ByteLink;
  readonly #place: ConnectionPlace;
  readonly #server: CompactServer;
  readonly #recorder: { keyLog: KeyLog; keys: CompactKeyRecorder } | undefined;
  /** Until login is done. */
  #negotiation: ServerNegotiation | undefined;
  #admitted: Admitted | undefined;
  #session: DeviceSession | undefined;
  /** Answers to the first stanzas, until they leave with the handshake's reply. */
  #gathered: Element[] | undefined;
  #deadline: NodeJS.Timeout | undefined;
  /** What came before login and waits for its turn. */
  #waiting: Uint8Array[] | undefined;
  /** The proof is being verified: nothing is read meanwhile. */
  #verifying = false;
  #closed = false;
  #paused = false;
  /** Once there was more than one piece at a time: most streams say little. */
  #paced: PacedInput<CompactInput> | undefined;

  constructor(
    host: ListenerHost,
    link: ByteLink,
    options: { settings: CompactServerSettings; place: ConnectionPlace; keyLog: KeyLog | undefined },
  ) {
    this.host = host;
    this.#link = link;
    this.#place = options.place;
    const { keyLog, settings } = options;
    const keys = keyLog === undefined ? undefined : new CompactKeyRecorder();
    if (keyLog !== undefined && keys !== undefined) this.#recorder = { keyLog, keys };
    const watched = keys && { ...settings, suites: settings.suites.map(suite => keys.watch(suite)) };
    this.#server = new CompactServer(watched ?? settings);
    this.#negotiation = new ServerNegotiation({ domain: host.domain, carrier: 'authenticated' });
    this.#deadline = setTimeout(() => this.#cut('login-too-slow'), host.limits.loginMs);
  }

  get session(): DeviceSession | undefined {
    return this.#session;
  }

  readonly countsLate = false;

  get network(): string {
    return this.#place.network;
  }

  get congested(): boolean {
    return this.#link.congested;
  }

  /** Before login, bytes wait for their turn; more than a handshake may have need not, for it is refused. */
  bytes(chunk: Uint8Array): void {
    try {
      if (this.#negotiation === undefined) this.#takeInput(chunk);
      else this.#wait(chunk);
    } catch (error) {
      endForDefect(this, error);
    }
  }

  #wait(chunk: Uint8Array): void {
    if (this.#closed) return;
    const waiting = this.#waiting;
    if (waiting !== undefined) waiting.push(chunk);
    else {
      this.#waiting = [chunk];
      this.#link.pause();
      this.#place.turn(() => guarded(this, () => this.#takeTurn()));
    }
    if (chunk.length > maxHandshakeFrameBytes || this.#waiting!.length > maxWaitingChunks) this.#takeTurn();
  }

  #takeTurn(): void {
    const chunks = this.#waiting;
    this.#waiting = undefined;
    if (chunks === undefined || this.#closed) return;
    if (!this.#verifying) this.#link.resume();
    for (const chunk of chunks) {
      if (this.#negotiation === undefined) this.#takeInput(chunk);
      else this.#later(this.#read(chunk));
    }
  }

  /** Gives what of it has to wait for the stream's next turn. */
  #read(chunk: Uint8Array): readonly CompactServerEvent[] {
    if (this.#closed) return noEvents;
    this.#session?.receivedBytes(chunk.length);
    this.#recorder?.keys.clientSent(chunk);
    return this.#takeOn(this.#server.receive(chunk));
  }

  #takeOn(events: readonly CompactServerEvent[]): readonly CompactServerEvent[] {
    const left = this.#take(events);
    if (left.length === 0) this.#session?.afterInput();
    return left;
  }

  linkLost(): void {
    clearTimeout(this.#deadline);
    this.#place.leave();
    if (this.#closed) return;
    this.#closed = true;
    this.#paced?.drop();
    this.#server.close();
    guarded(this, () => this.#session?.carrierLost(this));
  }

  drained(): void {
    guarded(this, () => this.#session?.drained());
  }

  write(elements: readonly Element[]): void {
    if (this.#closed) return;
    if (this.#gathered !== undefined) {
      this.#gathered.push(...elements);
      return;
    }
    const bytes = this.#server.send(elements);
    if (bytes === undefined) this.#cut('key-used-up');
    else this.#link.send(bytes);
  }

  pause(): void {
    this.#paused = true;
    this.#link.pause();
  }

  resume(): void {
    this.#paused = false;
    if (this.#paced?.resume() !== true) this.#link.resume();
  }

  #takeInput(input: Uint8Array): void {
    if (this.#paced === undefined && input.length <= pieceBytes && !this.#paused) {
      this.#later(this.#read(input));
    } else this.#pace({ events: noEvents, eventsBytes: 0, bytes: input });
  }

  readPiece({ events, bytes }: CompactInput): CompactInput | undefined {
    const piece = bytes.subarray(0, pieceBytes);
    const left = events.length > 0 ? this.#takeOn(events) : this.#read(piece);
    const rest = events.length > 0 ? bytes : bytes.subarray(pieceBytes);
    if (left.length === 0 && rest.length === 0) return undefined;
    return { events: left, eventsBytes: sizeOfEvents(left), bytes: rest };
  }

  heldBytes({ eventsBytes, bytes }: CompactInput): number {
    return eventsBytes + (bytes.length > 0 ? bytes.buffer.byteLength : 0);
  }

  #later(events: readonly CompactServerEvent[]): void {
    if (events.length > 0) this.#pace({ events, eventsBytes: sizeOfEvents(events), bytes: noBytes });
  }

  #pace(input: CompactInput): void {
    (this.#paced ??= new PacedInput<CompactInput>(this)).take(input);
  }

  get mayRead(): boolean {
    return !this.#paused && !this.#closed;
  }

  resumeLink(): void {
    this.#link.resume();
  }

  readSoon(): void {
    setImmediate(() => guarded(this, () => this.#paced?.readOn()));
  }

  inputWaits(bytes: number): boolean {
    return this.#session?.inputWaits(bytes) !== false;
  }

  close(condition: StreamErrorCondition | undefined, application?: Element): void {
    if (this.#closed) return;
    clearTimeout(this.#deadline);
    if (condition !== undefined) {
      countStreamError(this.host, condition);
      const words = application === undefined ? {} : { application };
      const bytes = this.#server.send([streamErrorElement(condition, words)]);
      if (bytes !== undefined) this.#link.send(bytes);
    }
    this.#closed = true;
    this.#paced?.drop();
    this.#server.close();
    this.#link.end();
  }

  #take(events: readonly CompactServerEvent[]): readonly CompactServerEvent[] {
    for (let at = 0; at < events.length; at++) {
      if (this.#closed) return noEvents;
      const event = events[at]!;
      switch (event.kind) {
        case 'send':
          this.#link.send(event.bytes);
          break;
        case 'login':
          this.#verifying = true;
          this.#link.pause();
          this.#login(event.pattern, event.deviceKey, event.proof, event.stanzas).catch((error: unknown) =>
            endForDefect(this, error),
          );
          break;
        case 'elements': {
          const left = this.#elements(event.elements);
          if (left !== undefined) return [{ ...event, elements: left }, ...events.slice(at + 1)];
          break;
        }
        case 'failed':
          this.#cut(event.code);
      }
    }
    return noEvents;
  }

  /** Gives those for which this turn has no more room. */
  #elements(elements: readonly Element[]): readonly Element[] | undefined {
    for (let at = 0; at < elements.length; at++) {
      if (at > 0 && at % maxTurnStanzas === 0 && this.#session !== undefined) {
        this.#session.afterInput();
        if (!this.mayRead && !this.#closed) return elements.slice(at);
      }
      this.#element(elements[at]!);
    }
    return undefined;
  }

  async #login(pattern: PipePattern, deviceKey: Uint8Array, proof: string, stanzas: readonly Element[]): Promise<void> {
    const admission = await this.host.authenticate(proof, 'compact', thumbprintX25519(deviceKey));
    if (this.#closed) return;
    this.#verifying = false;
    this.#link.resume();
    if (admission.kind === 'refused' || !this.host.stillAdmitted(admission)) {
      const notJudged = admission.kind === 'refused' && isNotJudged(admission.code);
      this.#link.send(this.#server.refuse(notJudged ? 'temporary-auth-failure' : 'refused'));
      this.close(undefined);
      return;
    }
    this.#admitted = admission;
    this.#negotiation!.receive({
      kind: 'admitted',
      bareJid: `${admission.account.interopId}@${this.host.domain}`,
      identifier: admission.account.identifier,
      deviceId: admission.device.id,
    });
    this.#gathered = [];
    for (const el of stanzas) this.#element(el);
    this.#session?.flush();
    const answers = this.#gathered;
    this.#gathered = undefined;
    if (this.#closed) return;
    const events = this.#server.admit(answers);
    this.#recorder?.keyLog(this.#recorder.keys.line(this.host.domain, pattern === 'XXfallback'));
    this.#later(this.#takeOn(events));
  }

  #element(el: Element): void {
    if (this.#closed) return;
    this.host.tap?.(encodeElement(el, ''));
    if (this.#session !== undefined) {
      if (isGoodbye(el)) {
        this.#session.end();
        return;
      }
      const broken = this.#session.receive(el);
      if (broken !== undefined) this.#fail(broken);
      return;
    }
    for (const effect of this.#negotiation!.receive({ kind: 'element', element: el })) {
      if (effect.kind === 'send') this.write([effect.element]);
      else if (effect.kind === 'close') this.#fail(effect.condition);
      else if (effect.kind === 'resume') this.#resume(effect.previousId, effect.handled);
      else if (effect.kind === 'established') this.#established();
    }
  }

  #resume(previousId: string, handled: number): void {
    const session = this.host.sessions.resume(this.#admitted!, previousId, handled, this);
    const outcome =
      session === undefined
        ? this.#negotiation!.receive({ kind: 'resume-refused' })
        : this.#negotiation!.receive({ kind: 'resumed', previousId, handled: session.core.handled });
    for (const effect of outcome) if (effect.kind === 'send') this.write([effect.element]);
    if (session === undefined) return;
    this.#loggedIn();
    this.#session = session;
  }

  #established(): void {
    this.#loggedIn();
    const admitted = this.#admitted!;
    this.#admitted = undefined;
    this.#session = beginSession(this.host, admitted, this);
  }

  /** What login needed is let go of: connections are many, and most are idle. */
  #loggedIn(): void {
    clearTimeout(this.#deadline);
    this.#deadline = undefined;
    this.#negotiation = undefined;
    this.#place.admitted();
  }

  /** After a defect. */
  abandon(): void {
    this.#closed = true;
    this.#paced?.drop();
    this.#link.end();
  }

  /** The peer broke the rules of the session: say so, keep the session for a better stream. */
  #fail(condition: StreamErrorCondition): void {
    this.host.log('stream-closed', { condition });
    const session = this.#session;
    if (this.#gathered !== undefined) {
      // Not open yet: the refusal is the only thing that can be said.
      this.#gathered = undefined;
      this.#link.send(this.#server.refuse());
    }
    this.close(condition);
    session?.carrierLost(this);
  }

  /** Closes without a word: what came was not authentic, not compact, or too late. */
  #cut(code: string): void {
    if (this.#closed) return;
    countStreamError(this.host, code);
    this.host.log('compact-closed', { code });
    const session = this.#session;
    this.close(undefined);
    session?.carrierLost(this);
  }
}
