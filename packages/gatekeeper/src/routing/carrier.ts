// What moves elements to and from one device. Types alone.
import type { Element } from '@drawbridge/wire/element';
import type { StreamErrorCondition } from '@drawbridge/wire/stream-error';

/** An XML stream, a WebSocket, a compact connection. */
export interface Carrier {
  /** Encodes and sends, in one write. */
  write(elements: readonly Element[]): void;
  /** More is waiting to be sent than should be. Call `DeviceSession.drained` when that ends. */
  readonly congested: boolean;
  pause(): void;
  resume(): void;
  /** Ends the stream: with an error, or in order. Calls nothing back. */
  close(condition: StreamErrorCondition | undefined, application?: Element): void;
  /** The peer may begin to count a moment after it has read `<enabled/>`: stanzas wait that long. */
  readonly countsLate: boolean;
  /** The key of the address that it came from. */
  readonly network: string;
}
