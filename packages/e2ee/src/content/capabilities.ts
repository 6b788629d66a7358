// What the device that sends a content can show, as bits.
// Knows nothing of what is done where a bit is missing.
// Source: docs/protocol/09-content.md section 9.3.

/** Capability bits of the sending device (docs/protocol/09 section 9.3). */
export const capability = {
  text: 1 << 0,
  reactions: 1 << 1,
  replies: 1 << 2,
  edits: 1 << 3,
  deletes: 1 << 4,
  typing: 1 << 5,
  receipts: 1 << 6,
  attachments: 1 << 7,
  contacts: 1 << 8,
  locations: 1 << 9,
  stickers: 1 << 10,
  polls: 1 << 11,
  profiles: 1 << 12,
  viewOnce: 1 << 13,
  disappearing: 1 << 14,
  history: 1 << 15,
} as const;

export const ownCapabilities: number = Object.values(capability).reduce((all, bit) => all | bit, 0);

export type Capability = keyof typeof capability;
