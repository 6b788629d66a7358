// The port for what an operator may see of a person: a view, and everything that is kept, for a request of that person.
// Knows no store and no HTTP.
import type { Account } from '../enlistment/account.ts';
import type { KeyCounts } from '../keys/key-directory.ts';

/** What waits for a device or a person. */
export type Waiting = { readonly count: number; readonly bytes: number };

export type ViewedDevice = {
  readonly row: number;
  readonly id: number;
  readonly registrationId: number;
  readonly thumbprint: string;
  /** Named by the person's device manifest, or there is none. */
  readonly listed: boolean;
  readonly enlistedAtMs: number;
  readonly keys: KeyCounts;
  readonly waiting: Waiting;
};

export type PersonView = {
  readonly interopId: string;
  readonly provider: number;
  readonly identifier: string;
  readonly status: Account['status'];
  readonly enlistedAtMs: number;
  /** The last one, while it lasts. */
  readonly suspension: { readonly atMs: number; readonly actor: string; readonly reason?: string } | undefined;
  readonly optIns: readonly number[];
  readonly devices: readonly ViewedDevice[];
};

/** Rows as they are kept, by table; the columns are those of the store. Bytes are bytes. */
export type KeptRows = Readonly<
  Record<string, readonly Readonly<Record<string, string | number | Uint8Array | null>>[]>
>;

export type PersonExport = {
  readonly person: PersonView;
  /** Everything but mail that waits for the person. */
  readonly kept: KeptRows;
};

export type ExportedMail = {
  readonly seq: number;
  readonly expiresAtMs: number;
  /** InteropId of the sender; undefined for notices and for mail from before senders were kept. */
  readonly sender: string | undefined;
  /** In the compact codec (docs/protocol/07), with a ciphertext that nobody here can read. */
  readonly stanza: Uint8Array;
};

/** Reads see every write that had resolved when they began. Rejects with StoreError alone. */
export interface PersonRecords {
  view(interopId: string): Promise<PersonView | undefined>;
  export(interopId: string): Promise<PersonExport | undefined>;
  /** Mail that waits for a device (a row) after `afterSeq`, in order, within a limit of number and, beyond the first, of bytes. */
  mail(device: number, afterSeq: number, maxCount: number, maxBytes: number): Promise<readonly ExportedMail[]>;
}
