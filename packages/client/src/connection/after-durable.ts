// Holds back what goes to the gatekeeper until what it rests on is durable: a ciphertext whose session state could be lost would
// be encrypted twice with one key, and an acknowledged message could be gone. Nothing waits where the store is durable at once.
// Knows nothing of what is sent.
import type { Element } from '@drawbridge/wire/element';
import { ClientError } from '../errors.ts';
import type { ConnectTransport, Transport } from './transport.ts';

/** `durable` rejects with `ClientError` when it can't be kept: then the connection ends. */
export function afterDurable(connect: ConnectTransport, durable: () => Promise<void> | undefined): ConnectTransport {
  return context => new DurableTransport(connect(context), durable);
}

class DurableTransport implements Transport {
  readonly carrier: Transport['carrier'];
  readonly #transport: Transport;
  readonly #durable: () => Promise<void> | undefined;
  /** In order; bounded by the stream, which keeps a bounded number of stanzas that are not acknowledged. */
  #held: (() => void)[] = [];
  #isWaiting = false;
  #failure: ClientError | undefined;

  constructor(transport: Transport, durable: () => Promise<void> | undefined) {
    this.carrier = transport.carrier;
    this.#transport = transport;
    this.#durable = durable;
  }

  get failure(): ClientError | undefined {
    return this.#failure ?? this.#transport.failure;
  }

  sendHeader(to: string): void {
    this.#whenDurable(() => this.#transport.sendHeader(to));
  }

  send(element: Element): void {
    this.#whenDurable(() => this.#transport.send(element));
  }

  sendEnd(): void {
    this.#whenDurable(() => this.#transport.sendEnd());
  }

  startTls(): void {
    this.#whenDurable(() => this.#transport.startTls());
  }

  close(): void {
    this.#whenDurable(() => this.#transport.close());
  }

  pause(): void {
    this.#transport.pause();
  }

  resume(): void {
    this.#transport.resume();
  }

  #whenDurable(run: () => void): void {
    if (this.#failure !== undefined) return;
    if (!this.#isWaiting) {
      const durable = this.#durable();
      if (durable === undefined) return run();
      void this.#wait(durable);
    }
    this.#held.push(run);
  }

  async #wait(first: Promise<void>): Promise<void> {
    this.#isWaiting = true;
    try {
      await first;
      for (let held = this.#take(); held.length > 0; held = this.#take()) {
        // What came meanwhile may rest on what was done meanwhile.
        await this.#durable();
        for (const run of held) run();
      }
    } catch (error) {
      this.#failure = error instanceof ClientError ? error : new ClientError('store-failed', { cause: error });
      this.#held = [];
      this.#transport.close();
    }
    this.#isWaiting = false;
  }

  #take(): (() => void)[] {
    const held = this.#held;
    this.#held = [];
    return held;
  }
}
