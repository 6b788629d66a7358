// When something was said, so that all devices put what changes one thing into the same order. Pure; knows nothing of clocks.
// Source: docs/protocol/09-content.md section 9.9.

/** When something was said, by its sender's clock; its content's id decides between equals. */
export type Stamp = { readonly atMs: number; readonly id: string };

export function isLater(stamp: Stamp, than: Stamp): boolean {
  return stamp.atMs === than.atMs ? stamp.id > than.id : stamp.atMs > than.atMs;
}
