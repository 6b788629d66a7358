// Which part of a file a request asks for (RFC 9110 section 14). Pure.

export type ByteRange = { readonly startBytes: number; readonly endBytes: number };

/**
 * One range alone; others, and what is malformed, ask for all of it, which gives undefined. `beyond`: none of it is there.
 * A part is at most `most` bytes long: a player asks for more when it needs it.
 */
export function byteRange(
  header: string | undefined,
  sizeBytes: number,
  most: number,
): ByteRange | 'beyond' | undefined {
  const [, first = '', last = ''] = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header ?? '') ?? [];
  if (first === '' && last === '') return undefined;
  const startBytes = first === '' ? Math.max(0, sizeBytes - Number(last)) : Number(first);
  const wantedEnd = first === '' || last === '' ? sizeBytes : Number(last) + 1;
  if (first !== '' && last !== '' && wantedEnd <= startBytes) return undefined;
  const endBytes = Math.min(wantedEnd, sizeBytes, startBytes + most);
  return startBytes >= sizeBytes || endBytes <= startBytes ? 'beyond' : { startBytes, endBytes };
}
