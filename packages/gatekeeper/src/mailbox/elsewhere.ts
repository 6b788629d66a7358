// The other nodes, as mailboxes see them: whatever is told may be lost. Knows no bus and no storage.

export interface Elsewhere {
  /** A stream of this device is here from now on: what others tell of it is heard. */
  came(device: number): void;
  left(device: number): void;
  /** The stream here has the device, under this claim: an earlier one elsewhere is over. */
  claimed(device: number, epoch: number): void;
  /** Something was written for a device that has no stream here. */
  written(device: number): void;
  /** A stanza that is not kept, for a device that has no stream here. */
  passOn(device: number, stanza: Uint8Array): void;
}
