// Reads one captured compact connection with the keys of its session: stanzas, with their direction, in the order in which
// their bytes are fed. Knows nothing of files, packets or sockets. What travels inside the handshake (the login and, in IK,
// its answer) stays closed: session keys come into being after it.
// Source: docs/protocol/05-compact.md.
import { CipherState } from '@drawbridge/noise/cipher-state';
import type { CipherName, Suite } from '@drawbridge/noise/crypto';
import { cipherOf } from '@drawbridge/noise/pipes';
import { type CompactContext, compactContext } from '@drawbridge/wire/compact-value';
import type { Element } from '@drawbridge/wire/element';
import { xmlLimitsAfterLogin } from '@drawbridge/wire/limits';
import { FrameReader, maxFrameBytes, openFrame } from './compact-frames.ts';
import type { CompactSessionKeys } from './compact-key-log.ts';
import { compactPrologue } from './compact-login.ts';

export type CaptureSide = 'client' | 'server';

export type CaptureEvent =
  /** The client's first frame, or the server's: `pattern` is its pattern byte (docs/protocol/08-noise.md). */
  | { readonly kind: 'handshake'; readonly from: CaptureSide; readonly pattern: number; readonly sizeBytes: number }
  /** Message 3 of XX and XXfallback. */
  | { readonly kind: 'login'; readonly from: 'client'; readonly sizeBytes: number }
  | { readonly kind: 'stanzas'; readonly from: CaptureSide; readonly elements: readonly Element[] }
  | { readonly kind: 'keep-alive'; readonly from: CaptureSide }
  /** Nothing more is read of this side. */
  | { readonly kind: 'unreadable'; readonly from: CaptureSide; readonly code: CaptureFailure };

export type CaptureFailure =
  | 'not-compact'
  | 'keys-missing'
  | 'frame-too-long'
  | 'frame-not-authentic'
  | 'frame-malformed';

type Side = { readonly reader: FrameReader; step: 'prologue' | 'handshake' | 'login' | 'transport' | 'lost' };

type Opened = { readonly context: CompactContext; readonly client: CipherState; readonly server: CipherState };

export class CompactCapture {
  readonly #suite: (cipher: CipherName) => Suite;
  /** The keys of the session whose client began with this ephemeral key; undefined while they are not known. */
  readonly #keysOf: (clientEphemeral: Uint8Array) => CompactSessionKeys | undefined;
  readonly #client: Side = { reader: new FrameReader(maxFrameBytes), step: 'prologue' };
  readonly #server: Side = { reader: new FrameReader(maxFrameBytes), step: 'handshake' };
  #ephemeral: Uint8Array | undefined;
  #cipher: CipherName | undefined;
  #opened: Opened | undefined;

  constructor(
    suite: (cipher: CipherName) => Suite,
    keysOf: (clientEphemeral: Uint8Array) => CompactSessionKeys | undefined,
  ) {
    this.#suite = suite;
    this.#keysOf = keysOf;
  }

  /** Bytes of one side, in any pieces. The client's first frame must come before the server's frames after its first. */
  feed(from: CaptureSide, bytes: Uint8Array): CaptureEvent[] {
    const side = from === 'client' ? this.#client : this.#server;
    if (side.step === 'lost') return [];
    side.reader.push(Uint8Array.from(bytes));
    const events: CaptureEvent[] = [];
    for (;;) {
      if (side.step === 'prologue') {
        const prologue = side.reader.takeBytes(compactPrologue.length);
        if (prologue === undefined) return events;
        if (Buffer.compare(prologue, compactPrologue) !== 0) return [...events, lose(side, from, 'not-compact')];
        side.step = 'handshake';
      }
      const frame = side.reader.next();
      if (frame === undefined) return events;
      const event = frame === 'frame-too-long' ? lose(side, from, frame) : this.#frame(side, from, frame);
      events.push(event);
      if (event.kind === 'unreadable') return events;
    }
  }

  #frame(side: Side, from: CaptureSide, frame: Uint8Array): CaptureEvent {
    if (side.step === 'handshake') {
      if (from === 'client') {
        this.#ephemeral = frame.slice(1, 33);
        this.#cipher = cipherOf(frame[0]);
      }
      side.step = from === 'client' ? 'login' : 'transport';
      return { kind: 'handshake', from, pattern: frame[0] ?? 0, sizeBytes: frame.length };
    }
    const opened = this.#open();
    if (opened === undefined) return lose(side, from, 'keys-missing');
    const elements = openFrame(frame, opened.context, xmlLimitsAfterLogin, opened[from]);
    const isFirst = side.step === 'login';
    side.step = 'transport';
    if (typeof elements === 'string') {
      // In XX and XXfallback the client's second frame is message 3, which other keys have sealed.
      if (isFirst && from === 'client' && elements === 'frame-not-authentic') {
        return { kind: 'login', from, sizeBytes: frame.length };
      }
      return lose(side, from, elements);
    }
    return elements.length === 0 ? { kind: 'keep-alive', from } : { kind: 'stanzas', from, elements };
  }

  #open(): Opened | undefined {
    if (this.#opened !== undefined || this.#ephemeral === undefined) return this.#opened;
    const keys = this.#keysOf(this.#ephemeral);
    if (keys === undefined || this.#cipher === undefined) return undefined;
    const suite = this.#suite(this.#cipher);
    this.#opened = {
      context: compactContext(keys.domain),
      client: new CipherState(suite, keys.fromClient),
      server: new CipherState(suite, keys.fromServer),
    };
    return this.#opened;
  }
}

function lose(side: Side, from: CaptureSide, code: CaptureFailure): CaptureEvent {
  side.step = 'lost';
  return { kind: 'unreadable', from, code };
}
