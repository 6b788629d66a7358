// The port by which the time that was believed last outlives a process. Knows no store and no clock's rules.
import type { RememberedTime } from '@drawbridge/identity/believed-clock';

export type ClockReading = {
  /** By whichever process; undefined: nothing yet. */
  readonly remembered: RememberedTime | undefined;
  /** What storage's own clock shows; undefined: it has none but this machine's. */
  readonly storageMs: number | undefined;
};

export interface ClockStore {
  read(): Promise<ClockReading>;
  /** Remembers later times, each of the two for itself; an earlier one changes nothing. Gives what `read` gives then. Idempotent. */
  note(time: RememberedTime): Promise<ClockReading>;
  /**
   * A person says that the clock is right: remembers what it shows, earlier or later, with nothing owed for leaps, and who said
   * so in the audit log.
   */
  confirm(confirmation: { readonly nowMs: number; readonly actor: string }): Promise<void>;
}
