// The port by which nodes tell one another what they will find out in storage anyway: it may lose every message, and repeat
// none. Knows no server and nothing of what is said.

export interface Bus {
  /** Says it to whoever listens just now. Never throws; what can't be said is lost. */
  publish(subject: string, message: Uint8Array): void;
  /** Gives back how to stop listening. A node hears itself. */
  subscribe(subject: string, hear: (message: Uint8Array) => void): () => void;
  /** Whether anybody would hear something now. */
  readonly isConnected: boolean;
  /** Messages that were not said since the start, for the server does not keep up. */
  readonly lost: number;
  close(): Promise<void>;
}
