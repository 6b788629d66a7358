// The port for what nodes of one storage know of one another. Storage's clock alone decides who is silent. Knows no store.

export type HeadOfOwn = {
  readonly device: number;
  /** The highest number that was given in this mailbox. */
  readonly lastSeq: number;
};

export interface ClusterStore {
  /** This node lives. Call it more often than others wait for it. Idempotent. */
  beat(node: string): Promise<void>;
  /**
   * Ends the claims of nodes that have been silent for so long, and gives the InteropIds of people for whom something waits
   * in these mailboxes that is not silent, each to one caller alone: a dead node could not have them woken. A node that
   * comes back goes on under the claims that nobody has taken since.
   */
  endDeadClaims(node: string, silentForMs: number): Promise<readonly string[]>;
  /** Mailboxes that this node has claimed and in which something waits: others may have written there. */
  waitingHere(node: string): Promise<readonly HeadOfOwn[]>;
}
