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
    | 'heif'
    | 'jxl'
    | 'raw'
    | 'isobmff'
    | 'matroska'
    | 'ogg'
    | 'wav';
};

/** So many first bytes are enough. */
export const recognitionBytes = 64;

const heifBrands = new Set(
  'avif avis heic heix heim heis hevc hevx hevm hevs mif1 mif2 msf1 miaf jpeg jpgs j2ki avci'.split(' '),
);
const audioBrands = new Set(['M4A ', 'M4B ', 'M4P ']);
/** QuickTime files of before `ftyp`. */
const quickTimeBoxes = new Set(['moov', 'mdat', 'wide', 'pnot']);

const picture = (format: RecognisedFormat['format']): RecognisedFormat => ({ family: 'picture', format });

/** Gives undefined for everything that isn't a picture, a video or sound of a form that is looked for. */
export function recogniseFormat(head: Uint8Array): RecognisedFormat | undefined {
  const text = Buffer.from(head.subarray(0, recognitionBytes)).toString('latin1');
  if (text.startsWith('\xff\xd8\xff')) return picture('jpeg');
  if (text.startsWith('\x89PNG\r\n\x1a\n')) return picture('png');
  if (text.startsWith('GIF87a') || text.startsWith('GIF89a')) return picture('gif');
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
  if (heifBrands.has(major)) return picture('heif');
  if (major === 'crx ') return picture('raw');
  return { family: audioBrands.has(major) ? 'audio' : 'video', format: 'isobmff' };
}
