// Finds the borders of stanzas in a byte stream by counting tags, without a tree: for load generators and the copier,
// which must be cheaper than what they measure. Takes well-formed XML for granted; no server may do that.

const lessThan = 0x3c;
const greaterThan = 0x3e;
const slash = 0x2f;
const questionMark = 0x3f;
const nothing = Buffer.alloc(0);

export interface StanzaSink {
  /** The stream's opening tag. */
  header(): void;
  /** One child of the stream: `start` to `end`; its opening tag ends before `tagEnd`. The bytes are only lent. */
  stanza(bytes: Buffer, start: number, tagEnd: number, end: number): void;
  /** The stream's closing tag. */
  ended(): void;
}

export class StanzaScanner {
  readonly #sink: StanzaSink;
  #held: Buffer = nothing;
  #scanned = 0;
  #depth = 0;
  #start = 0;
  #tagEnd = 0;
  #restarted = false;

  constructor(sink: StanzaSink) {
    this.#sink = sink;
  }

  /** A new stream begins with the next byte; call it from within `stanza` too. */
  restart(): void {
    this.#restarted = true;
    this.#held = nothing;
    this.#scanned = 0;
    this.#depth = 0;
  }

  push(chunk: Buffer): void {
    const bytes = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    this.#restarted = false;
    let at = this.#scanned;
    for (;;) {
      const open = bytes.indexOf(lessThan, at);
      if (open < 0) {
        at = bytes.length;
        break;
      }
      const close = bytes.indexOf(greaterThan, open + 1);
      if (close < 0) {
        at = open;
        break;
      }
      at = close + 1;
      const next = bytes[open + 1];
      if (next === questionMark) continue;
      if (next === slash) {
        this.#depth--;
        if (this.#depth === 1) this.#sink.stanza(bytes, this.#start, this.#tagEnd, at);
        else if (this.#depth === 0) this.#sink.ended();
      } else if (bytes[close - 1] === slash) {
        if (this.#depth === 1) this.#sink.stanza(bytes, open, at, at);
      } else {
        if (this.#depth === 1) {
          this.#start = open;
          this.#tagEnd = at;
        }
        this.#depth++;
        if (this.#depth === 1) this.#sink.header();
      }
      if (this.#restarted) return;
    }
    const keep = this.#depth > 1 ? this.#start : at;
    this.#held = keep < bytes.length ? bytes.subarray(keep) : nothing;
    this.#scanned = at - keep;
    this.#start = 0;
    this.#tagEnd -= keep;
  }
}
