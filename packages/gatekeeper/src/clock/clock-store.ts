// The port by which the time that was believed last outlives a process. Knows no store and no clock's rules.

export type ClockReading = {
  /** What was believed last, by whichever process; undefined: nothing yet. */
  readonly seenMs: number | undefined;
  /** What storage's own clock shows; undefined: it has none but this machine's. */
  readonly storageMs: number | undefined;
};

export interface ClockStore {
  read(): Promise<ClockReading>;
  /** Remembers a later time; an earlier one changes nothing. Gives what `read` gives then. Idempotent. */
  note(seenMs: number): Promise<ClockReading>;
  /** A person says that the clock is right: remembers what it shows, earlier or later, and who said so in the audit log. */
  confirm(confirmation: { readonly nowMs: number; readonly actor: string }): Promise<void>;
}
