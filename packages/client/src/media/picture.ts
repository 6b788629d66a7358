// Pictures, made again from their pixels: nothing that isn't a pixel gets into what leaves.
// Runs in the media process alone. Knows nothing of people, keys or uploads.
// Source: docs/protocol/11-media.md section 11.7.
import { open as openFile, writeFile } from 'node:fs/promises';
import { encode as encodeBlurhash } from 'blurhash';
import sharp, { type Metadata, type Sharp } from 'sharp';
import {
  type MediaAnswer,
  type MediaFacts,
  type MediaQuality,
  movingAdvice,
  pagesAdvice,
  pictureAdvice,
  refused,
} from './job.ts';
import { pictureLimits } from './media-limits.ts';
import { readTiffContents } from './tiff-index.ts';

const lossyQuality: Readonly<Record<MediaQuality, number>> = { standard: 80, high: 85, original: 92 };

// Nothing but these decoders may be reached, whatever a file claims to be.
const loaders = ['JpegFile', 'PngFile', 'PngBuffer', 'WebpFile', 'NsgifFile', 'HeifFile', 'TiffFile'];
sharp.block({ operation: ['VipsForeignLoad'] });
sharp.unblock({ operation: loaders.map(name => `VipsForeignLoad${name}`) });
sharp.cache(false);

/** Bytes can only be a PNG: nothing else of ours is in memory. */
function open(from: string | Uint8Array, pages = 1): Sharp {
  return sharp(from, { pages, limitInputPixels: pictureLimits.maxPixels, failOn: 'error', sequentialRead: true });
}

export async function preparePicture(from: string, to: string, quality: MediaQuality): Promise<MediaAnswer> {
  // Looked at without the decoder's own limit, so that the refusal below says which it is.
  const found = await sharp(from, { limitInputPixels: false, failOn: 'error' }).metadata();
  const { width, height, format, pages = 1 } = found;
  if (format === 'png' && (await isAnimatedPng(from))) return refused(movingAdvice('a moving PNG'));
  const contents = format === 'tiff' ? await readTiffContents(from) : undefined;
  if (contents === 'raw' || (contents === undefined && (found.subifds ?? 0) > 0)) {
    return refused(pictureAdvice('a raw photograph'));
  }
  const animated = pages > 1 && (format === 'gif' || format === 'webp');
  if (width * height * (animated ? pages : 1) > pictureLimits.maxPixels || pages > pictureLimits.maxFrames) {
    return refused(`more than ${pictureLimits.maxPixels / 1e6} megapixels`, 'media-too-large');
  }
  if (animated && width * (found.pageHeight ?? height) * pages > pictureLimits.maxMovingPixels) {
    return refused(`more than ${pictureLimits.maxMovingPixels / 1e6} megapixels in all its frames`, 'media-too-large');
  }
  if (format === 'tiff' && pages > 1 && contents !== 'one') return refused(pagesAdvice);
  const edge = pictureLimits.maxEdgePixels[quality];
  let pixels = open(from, animated ? -1 : 1);
  // Frames are not turned: cameras, which hold themselves askew, make no moving pictures of these kinds.
  if (!animated) pixels = pixels.autoOrient();
  if (edge !== undefined)
    pixels = pixels.resize({ width: edge, height: edge, fit: 'inside', withoutEnlargement: true });
  const { encoded, mediaType } = encoder(pixels, found, quality);
  const { data, info: made } = await encoded.toBuffer({ resolveWithObject: true });
  // Ours to write, so that a full disk is told from a broken picture.
  await writeFile(to, data);
  return {
    kind: 'prepared',
    facts: {
      mediaType,
      width: made.width,
      height: made.pageHeight ?? made.height,
      ...(animated ? { animated } : {}),
      ...(await previewOf(to)),
    },
  };
}

/**
 * The form stays where every receiver knows it; what came as AVIF or TIFF leaves as JPEG, or as PNG with transparency.
 * To encode AVIF takes half a minute for a photograph.
 */
function encoder(pixels: Sharp, found: Metadata, quality: MediaQuality): { encoded: Sharp; mediaType: string } {
  const lossy = lossyQuality[quality];
  switch (found.format) {
    case 'png':
      return { encoded: pixels.png(), mediaType: 'image/png' };
    case 'gif':
      return { encoded: pixels.gif(), mediaType: 'image/gif' };
    case 'webp':
      return { encoded: pixels.webp({ quality: lossy }), mediaType: 'image/webp' };
    default:
  }
  if (found.hasAlpha) return { encoded: pixels.png(), mediaType: 'image/png' };
  return { encoded: pixels.jpeg({ quality: lossy, mozjpeg: true }), mediaType: 'image/jpeg' };
}

/** What is shown before the file is there: a small WebP within the limit, and a blurhash. Of the first frame. */
export async function previewOf(from: string | Uint8Array): Promise<Pick<MediaFacts, 'thumbnail' | 'blurhash'>> {
  const { thumbnailEdgePixels, maxThumbnailBytes } = pictureLimits;
  const small = await open(from)
    .resize({ width: thumbnailEdgePixels, height: thumbnailEdgePixels, fit: 'inside', withoutEnlargement: true })
    .toColourspace('srgb')
    .png()
    .toBuffer();
  const { data, info } = await sharp(small)
    .resize({ width: 32, height: 32, fit: 'inside' })
    .ensureAlpha()
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true });
  const [across, down] = info.width >= info.height ? [4, 3] : [3, 4];
  const blurhash = encodeBlurhash(new Uint8ClampedArray(data), info.width, info.height, across, down);
  for (const quality of [70, 50, 30, 10, 1]) {
    const thumbnail = await sharp(small).webp({ quality }).toBuffer();
    if (thumbnail.length <= maxThumbnailBytes) return { thumbnail: Uint8Array.from(thumbnail), blurhash };
  }
  return { blurhash };
}

/** Whether `acTL` stands before the pixels (APNG): the decoder takes the first frame and says nothing. */
async function isAnimatedPng(path: string): Promise<boolean> {
  await using file = await openFile(path, 'r');
  const head = Buffer.alloc(8);
  for (let at = 8; ; ) {
    const { bytesRead } = await file.read(head, 0, 8, at);
    const type = head.toString('latin1', 4, 8);
    if (bytesRead < 8 || type === 'IDAT') return false;
    if (type === 'acTL') {
      await file.read(head, 0, 4, at + 8);
      return head.readUInt32BE(0) > 1;
    }
    at += 12 + head.readUInt32BE(0);
  }
}
