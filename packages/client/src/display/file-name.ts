// A file name that came with a file, made fit to be shown and to be written on any system: never a path, never a device.
// Pure. Knows nothing of folders or of what is there already.
// Source: docs/protocol/09-content.md section 9.9; Windows: Naming Files, Paths, and Namespaces (reserved names).
import { charactersOf, shownName } from './shown-text.ts';

/** Most file systems take 255 bytes; the rest is room for ` (2)` and the like. */
export const maxFileNameBytes = 240;
const maxEndingBytes = 32;

/** Names of devices, whatever follows a dot. */
const reserved = /^(?:con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])\s*(?:\.|$)/iu;

/** The name to show and to propose; `file` where nothing is left of it. */
export function safeFileName(name: string): string {
  const last = name.split(/[/\\]/u).at(-1) ?? '';
  const shown = shownName(last.replaceAll('\0', ''))
    .replaceAll(/[<>:"|?*]/gu, '_')
    // Dots in front hide a file; dots and spaces at the end are dropped by Windows, which then shows another ending.
    .replaceAll(/^[.\s]+|[.\s]+$/gu, '');
  if (shown === '') return 'file';
  return shortened(reserved.test(shown) ? `_${shown}` : shown);
}

/** Keeps the ending, which says what kind of file it is. */
function shortened(name: string): string {
  if (Buffer.byteLength(name) <= maxFileNameBytes) return name;
  const dot = name.lastIndexOf('.');
  const ending = dot > 0 && Buffer.byteLength(name.slice(dot)) <= maxEndingBytes ? name.slice(dot) : '';
  let kept = '';
  for (const character of charactersOf(name.slice(0, name.length - ending.length))) {
    if (Buffer.byteLength(kept + character + ending) > maxFileNameBytes) break;
    kept += character;
  }
  // A cut can leave a dot or a space at the end.
  return `${kept}${ending}`.replace(/[.\s]+$/u, '');
}
