// A message of the compact load clients whose bytes, but for its id, are made once, as the XML clients' text is: the
// generator must cost less than the server that it measures.
import { CompactWriter } from '@drawbridge/wire/compact-encoder';
import type { CompactContext } from '@drawbridge/wire/compact-value';
import { type Child, type Element, SelfWritten } from '@drawbridge/wire/element';
import { messageElement, type Person } from './target.ts';

type Parts = { readonly beforeId: Uint8Array; readonly beforeCiphertext: Uint8Array };

export class CompactMessage {
  readonly recipient: Person;
  readonly ciphertext: Uint8Array;
  readonly #sender: Person;
  #parts: Parts | undefined;

  constructor(sender: Person, recipient: Person, ciphertext: Uint8Array) {
    this.#sender = sender;
    this.recipient = recipient;
    this.ciphertext = ciphertext;
  }

  withId(id: string): Element {
    return new Numbered(this, id);
  }

  tree(id: string): Element {
    return messageElement(this.#sender, this.recipient, id, this.ciphertext);
  }

  /** What stands before the id, and between it and the ciphertext, which ends the message. */
  parts(context: CompactContext): Parts {
    if (this.#parts !== undefined) return this.#parts;
    const id = 'm1x';
    const writer = new CompactWriter();
    writer.write(this.tree(id), context);
    const whole = Buffer.from(writer.copy());
    writer.reset();
    writer.attribute('id', id, context);
    const idBytes = writer.copy();
    writer.reset();
    writer.textChild(this.ciphertext, true, context);
    const end = whole.length - writer.length;
    const at = whole.indexOf(idBytes);
    if (at < 0 || !whole.subarray(end).equals(writer.view())) throw new Error('a message is spelled in another way');
    return (this.#parts = {
      beforeId: whole.subarray(0, at),
      beforeCiphertext: whole.subarray(at + idBytes.length, end),
    });
  }
}

class Numbered extends SelfWritten {
  readonly name = 'message';
  readonly ns = 'jabber:client';
  readonly message: CompactMessage;
  readonly id: string;

  constructor(message: CompactMessage, id: string) {
    super();
    this.message = message;
    this.id = id;
  }

  get attrs(): readonly string[] {
    return this.message.tree(this.id).attrs;
  }

  get children(): readonly Child[] {
    return this.message.tree(this.id).children;
  }

  toXml(): string {
    throw new Error('a compact client writes no XML');
  }

  writeCompact(writer: CompactWriter, context: CompactContext): void {
    const { beforeId, beforeCiphertext } = this.message.parts(context);
    for (const byte of beforeId) writer.byte(byte);
    writer.attribute('id', this.id, context);
    for (const byte of beforeCiphertext) writer.byte(byte);
    writer.textChild(this.message.ciphertext, true, context);
  }
}
