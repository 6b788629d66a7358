// What a file is, by its first bytes and never by its name.
// Knows nothing of decoding: that a file begins like a picture doesn't make it one.
// Source: the magic numbers of each format; ISO/IEC 14496-12 section 4.3 for `ftyp`.

export type RecognisedFormat = {
  readonly family: 'picture' | 'video' | 'audio';
  readonly format:
    | 'jpeg'
    | 'png'
    | 'gif'
    | 'webp'
    | 'tiff'
    | 'avif'
    | 'avif-sequence'
    | 'heif'
    | 'jxl'
    | 'raw'
    | 'isobmff'
    | 'matroska'
    | 'ogg'
    | 'wav';
};

/** The first bytes that are looked at. */
export const recognitionBytes = 128;

const heifBrands = new Set(
  'heic heix heim heis hevc hevx hevm hevs mif1 mif2 msf1 miaf jpeg jpgs j2ki avci'.split(' '),
);
const audioBrands = new Set(['M4A ', 'M4B ', 'M4P ']);
/** QuickTime files from the time before `ftyp`. */
const quickTimeBoxes = new Set(['moov', 'mdat', 'wide', 'pnot']);

/** Canon CR2, Olympus ORF, Panasonic RW2, Fujifilm RAF. Others are TIFFs, and are told by what the index holds. */
const rawPhoto = /^(?:II\*\0.{4}CR|IIR[OS]|MMOR|IIU\0|FUJIFILMCCD-RAW)/s;

const picture = (format: RecognisedFormat['format']): RecognisedFormat => ({ family: 'picture', format });

/** Gives undefined for everything that isn't a picture, a video or sound of a form that is looked for. */
export function recogniseFormat(head: Uint8Array): RecognisedFormat | undefined {
  const text = Buffer.from(head.subarray(0, recognitionBytes)).toString('latin1');
  if (text.startsWith('\xff\xd8\xff')) return picture('jpeg');
  if (text.startsWith('\x89PNG\r\n\x1a\n')) return picture('png');
  if (text.startsWith('GIF87a') || text.startsWith('GIF89a')) return picture('gif');
  if (rawPhoto.test(text)) return picture('raw');
  if (/^(?:II[*+]\0|MM\0[*+])/.test(text)) return picture('tiff');
  if (text.startsWith('\xff\x0a') || text.startsWith('\0\0\0\x0cJXL ')) return picture('jxl');
  if (text.startsWith('RIFF')) {
    if (text.startsWith('WEBP', 8)) return picture('webp');
    return text.startsWith('WAVE', 8) ? { family: 'audio', format: 'wav' } : undefined;
  }
  if (text.startsWith('OggS')) return { family: 'audio', format: 'ogg' };
  if (text.startsWith('\x1a\x45\xdf\xa3')) return { family: 'video', format: 'matroska' };
  const box = text.slice(4, 8);
  if (box === 'ftyp') return ofBrands(text);
  return quickTimeBoxes.has(box) ? { family: 'video', format: 'isobmff' } : undefined;
}

function ofBrands(text: string): RecognisedFormat {
  const major = text.slice(8, 12);
  const brands = [major, ...brandsOf(text)];
  if (brands.includes('avis')) return picture('avif-sequence');
  // `mif1` says only that it is some picture of the family: the compatible brands say which.
  if (major === 'avif' || (heifBrands.has(major) && brands.includes('avif'))) return picture('avif');
  if (heifBrands.has(major)) return picture('heif');
  if (major === 'crx ') return picture('raw');
  return { family: audioBrands.has(major) ? 'audio' : 'video', format: 'isobmff' };
}

function brandsOf(text: string): string[] {
  const sizeBytes = Math.min(Buffer.from(text.slice(0, 4), 'latin1').readUInt32BE(0), text.length);
  return text.slice(16, sizeBytes).match(/.{4}/gs) ?? [];
}

/** Whether a GIF or WebP may hold more than one frame, by its first bytes alone: moving pictures take longer. */
export function mayMove(head: Uint8Array, format: RecognisedFormat['format']): boolean {
  if (format === 'gif') return true;
  const isExtended = Buffer.from(head.subarray(12, 16)).toString('latin1') === 'VP8X';
  return format === 'webp' && isExtended && ((head[20] ?? 0) & 0x02) !== 0;
}
