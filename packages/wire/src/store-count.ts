// The count of a device's store, as text: what tells a folder that is at work from an older copy of it.
// Knows nothing of who counts. Source: docs/protocol/06-stanzas.md section 6.4.

/** Beyond this nobody counts: one a millisecond would take 30,000 years. */
export const maxStoreCount = 999_999_999_999_999;

/** A whole number without leading zeros, 0..`maxStoreCount`; otherwise undefined. */
export function parseStoreCount(text: string | undefined): number | undefined {
  return text !== undefined && /^(?:0|[1-9][0-9]{0,14})$/.test(text) ? Number(text) : undefined;
}
