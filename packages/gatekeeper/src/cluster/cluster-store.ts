// The port for what nodes of one storage know of one another. Storage's clock alone decides who is silent. Knows no store.

export type HeadOfOwn = {
  readonly device: number;
  /** The highest number that was given in this mailbox. */
  readonly lastSeq: number;
};

/** A claim that a node believes to have. */
export type OwnClaim = { readonly device: number; readonly epoch: number };

export interface ClusterStore {
  /**
   * This node lives. Call it more often than others wait for it. Idempotent. `new`: nobody knew of it, for it is new, or
   * others took it for dead and ended its claims.
   */
  beat(node: string): Promise<'known' | 'new'>;
  /**
   * Ends the claims of nodes that have been silent for so long, or never said that they live, and gives the InteropIds of
   * people for whom something waits in these mailboxes that is not silent, each to one caller alone: a dead node could not
   * have them woken. A node that comes back goes on under the claims that nobody has taken since.
   */
  endDeadClaims(node: string, silentForMs: number): Promise<readonly string[]>;
  /**
   * These are this node's again where they were ended and nobody has taken them since; others stay as they are. Takes effect
   * in the order of the calls of `MailboxStore`. Idempotent.
   */
  renewClaims(node: string, claims: readonly OwnClaim[]): Promise<void>;
  /** Those of these claims that are over: another stream has claimed the device since, or the device is gone. */
  claimsOver(claims: readonly OwnClaim[]): Promise<readonly OwnClaim[]>;
  /** Mailboxes that this node has claimed and in which something waits: others may have written there. By device, after one. */
  waitingHere(node: string, afterDevice: number, limit: number): Promise<readonly HeadOfOwn[]>;
}
