// What of a file a browser is shown as a picture, a video or sound: types that it decodes and that hold no markup or code.
// What the sender says is looked up, never passed on. Pure; knows nothing of files.

const sound = ['audio/ogg', 'audio/webm', 'audio/mp4', 'audio/mpeg', 'audio/wav', 'audio/flac'] as const;
const shownTypes = new Map<string, readonly string[]>([
  ['image', ['image/jpeg', 'image/png', 'image/gif', 'image/webp', 'image/avif']],
  ['video', ['video/mp4', 'video/webm']],
  ['voice', sound],
  ['audio', sound],
]);

/** Undefined: it can be saved alone. */
export function shownType(kind: string, mediaType: string): string | undefined {
  const [plain = ''] = mediaType.toLowerCase().split(';');
  return shownTypes.get(kind)?.find(type => type === plain.trim());
}

/** Of the small picture that came with a message, by its first bytes; undefined: it is none that is shown. */
export function previewType(bytes: Uint8Array): string | undefined {
  const head = Buffer.from(bytes.subarray(0, 12)).toString('latin1');
  if (head.startsWith('\xff\xd8\xff')) return 'image/jpeg';
  if (head.startsWith('\x89PNG\r\n')) return 'image/png';
  return head.startsWith('RIFF') && head.endsWith('WEBP') ? 'image/webp' : undefined;
}
