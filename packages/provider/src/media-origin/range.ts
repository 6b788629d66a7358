// Reads a `Range` header against a known size. Knows nothing of files or proxies.
// Source: RFC 9110 section 14 (ranges), section 13.1.5 (If-Range).

/** `startBytes` up to but not including `endBytes`. */
export type ByteRange = { readonly startBytes: number; readonly endBytes: number };

/**
 * The `Range` header that counts. Files have neither tags nor dates, so no `If-Range` names one that was given out, and the
 * whole file is the answer to each.
 */
export function rangeAsked(headers: {
  readonly range?: string | undefined;
  readonly 'if-range'?: string | string[] | undefined;
}): string | undefined {
  return headers['if-range'] === undefined ? headers.range : undefined;
}

/**
 * The one range that is asked for; `whole` when the header is absent, names several ranges or isn't understood, as the
 * RFC lets a server do; `unsatisfiable` when it begins behind the end (416).
 */
export function readRange(header: string | undefined, sizeBytes: number): ByteRange | 'whole' | 'unsatisfiable' {
  const match = /^bytes=(?:([0-9]{1,15})-([0-9]{1,15})?|-([0-9]{1,15}))$/i.exec(header ?? '');
  if (match === null) return 'whole';
  const [, first, last, suffix] = match;
  if (suffix !== undefined) {
    const lengthBytes = Math.min(Number(suffix), sizeBytes);
    if (lengthBytes === 0) return 'unsatisfiable';
    return { startBytes: sizeBytes - lengthBytes, endBytes: sizeBytes };
  }
  const startBytes = Number(first);
  if (last !== undefined && Number(last) < startBytes) return 'whole';
  if (startBytes >= sizeBytes) return 'unsatisfiable';
  return { startBytes, endBytes: last === undefined ? sizeBytes : Math.min(Number(last) + 1, sizeBytes) };
}
