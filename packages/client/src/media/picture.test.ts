// Pictures as they come from cameras and editors, prepared in the real media process, judged by other readers: exifr, the
// blurhash decoder, and a search for every planted word.
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { crc32 } from 'node:zlib';
import { decode as decodeBlurhash, isBlurhashValid } from 'blurhash';
import exifr from 'exifr';
import fc from 'fast-check';
import sharp, { type Sharp } from 'sharp';
import { ClientError } from '../errors.ts';
import { fileAt } from '../files/local-file.ts';
import { MediaPreparation, type MediaToSend, type PreparedMedia } from './media-preparation.ts';
import { pictureLimits } from './media-limits.ts';

const folder = mkdtempSync(join(tmpdir(), 'drawbridge-pictures-'));
const copies = join(folder, 'preparation');
const preparation = new MediaPreparation(copies);
/** Some changed files keep a reader busy for ever: it is ended. */
const impatient = new MediaPreparation(copies, { timeoutMs: 5_000 });
after(() => rmSync(folder, { recursive: true, force: true }));

const planted = 'PLANTED';
const never = new AbortController().signal;

function write(name: string, bytes: Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

async function prepare(path: string, options: Partial<MediaToSend> = {}, signal = never): Promise<PreparedMedia> {
  return preparation.prepare({ file: await fileAt(path), kind: undefined, quality: 'standard', ...options }, signal);
}

function leftovers(): string[] {
  return readdirSync(folder).includes('preparation') ? readdirSync(copies) : [];
}

const exif = {
  IFD0: { Make: `${planted} maker`, Model: `${planted} model`, Artist: `${planted} artist`, Orientation: '6' },
  IFD2: { BodySerialNumber: `${planted} serial`, DateTimeOriginal: '2026:11:23 10:11:12' },
  IFD3: {
    GPSLatitudeRef: 'N',
    GPSLatitude: '51/1 30/1 3230/100',
    GPSLongitudeRef: 'W',
    GPSLongitude: '0/1 7/1 4366/100',
  },
};
const xmp = `<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/" dc:creator="${planted} xmp"/></rdf:RDF></x:xmpmeta>`;

/** Left half red, right half blue: how it is turned can be seen. */
function halves(width: number, height: number): Sharp {
  const half = { width: width / 2, height, channels: 3, background: 'blue' } as const;
  return sharp({ create: { width, height, channels: 3, background: 'red' } }).composite([
    { input: { create: half }, left: width / 2, top: 0 },
  ]);
}

async function withEverything(width: number, height: number, format: 'jpeg' | 'png' | 'webp' | 'avif' | 'tiff') {
  const options = format === 'avif' ? { effort: 0 } : {};
  const picture = halves(width, height).withExif(exif).withXmp(xmp).withIccProfile('p3');
  return picture.removeAlpha().toFormat(format, options).withMetadata({ orientation: 6 }).toBuffer();
}

/** A JPEG with segments that a camera or editor adds: a comment, IPTC, a maker's own, and a film after the end. */
function withSegments(jpeg: Buffer): Buffer {
  const segment = (marker: number, text: string): Buffer => {
    const length = Buffer.alloc(2);
    length.writeUInt16BE(text.length + 2);
    return Buffer.concat([Buffer.from([0xff, marker]), length, Buffer.from(text, 'latin1')]);
  };
  const iptc = `Photoshop 3.0\x008BIM\x04\x04\0\0\0\x00\x00\x12\x1c\x02\x50\x00\x0d${planted} iptc`;
  const more = [segment(0xfe, `${planted} comment`), segment(0xed, iptc), segment(0xea, `${planted} maker's own`)];
  return Buffer.concat([jpeg.subarray(0, 2), ...more, jpeg.subarray(2), Buffer.from(`${planted} motion photo`)]);
}

function pngChunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const [length, check] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(data.length);
  check.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, check]);
}

function withText(png: Buffer): Buffer {
  const text = ['tEXt', 'iTXt'].map(type =>
    pngChunk(type, Buffer.from(type === 'tEXt' ? `Author\0${planted} text` : `Place\0\0\0\0\0${planted} itext`)),
  );
  const header = 8 + 25;
  return Buffer.concat([png.subarray(0, header), ...text, png.subarray(header)]);
}

async function checkClean(path: string): Promise<void> {
  const bytes = readFileSync(path);
  assert.ok(!bytes.includes(planted), 'a planted word is in it');
  const found = await sharp(bytes).metadata();
  const { exif: left, xmp: more, iptc, icc, comments, tifftagPhotoshop } = found;
  assert.deepEqual([left, more, iptc, icc, comments, tifftagPhotoshop], Array(6).fill(undefined));
  assert.equal(found.orientation ?? 1, 1);
  if (found.format !== 'webp' && found.format !== 'gif') {
    const read = await exifr.parse(bytes, {
      tiff: true,
      xmp: true,
      iptc: true,
      icc: true,
      gps: true,
      ihdr: false,
      jfif: false,
    });
    assert.equal(read, undefined, JSON.stringify(read));
    assert.equal(await exifr.gps(bytes), undefined);
  }
}

for (const [format, mediaType] of [
  ['jpeg', 'image/jpeg'],
  ['png', 'image/png'],
  ['webp', 'image/webp'],
  ['avif', 'image/jpeg'],
  ['tiff', 'image/jpeg'],
] as const) {
  test(`${format}: upright, described, and nothing but pixels`, async () => {
    let bytes: Buffer = await withEverything(600, 400, format);
    if (format === 'jpeg') bytes = withSegments(bytes);
    if (format === 'png') bytes = withText(bytes);
    assert.ok(bytes.includes(planted), 'the test plants something');
    // AVIF has a word of its own for that (`irot`), which its decoder obeys.
    assert.equal((await sharp(bytes).metadata()).orientation, format === 'avif' ? undefined : 6);
    await using prepared = await prepare(write(`holiday.${format}`, bytes));
    assert.equal(prepared.kind, 'image');
    const { facts } = prepared;
    assert.deepEqual([facts.mediaType, facts.width, facts.height], [mediaType, 400, 600], 'turned by a quarter');
    assert.equal(prepared.fileName, `picture.${mediaType === 'image/jpeg' ? 'jpg' : format}`);
    assert.equal(statSync(prepared.file.path).mode & 0o777, 0o600);
    assert.equal(statSync(copies).mode & 0o777, 0o700);
    await checkClean(prepared.file.path);
    // Orientation 6 turns clockwise: what was left is on top.
    const { data, info } = await sharp(prepared.file.path).removeAlpha().raw().toBuffer({ resolveWithObject: true });
    const at = (x: number, y: number): number[] => [
      ...data.subarray((y * info.width + x) * 3, (y * info.width + x) * 3 + 3),
    ];
    const isRed = ([red, green, blue]: number[]): boolean => red! > 200 && green! < 60 && blue! < 60;
    assert.ok(isRed(at(20, 20)) && isRed(at(380, 20)), 'red above');
    assert.ok(!isRed(at(20, 580)) && !isRed(at(380, 580)), 'not below');

    const { thumbnail, blurhash } = facts;
    assert.ok(thumbnail !== undefined && thumbnail.length <= pictureLimits.maxThumbnailBytes);
    const small = await sharp(thumbnail).metadata();
    assert.deepEqual([small.format, small.width, small.height], ['webp', 171, 256]);
    assert.ok(blurhash !== undefined && isBlurhashValid(blurhash).result);
    const blurred = decodeBlurhash(blurhash, 4, 4);
    assert.ok(blurred[0]! > blurred[2]! && blurred[62]! > blurred[60]!, 'red first, blue last');
  });
}

test('the same source and quality give the same bytes; another quality others', async () => {
  const path = write('same.jpg', await withEverything(5_000, 3_000, 'jpeg'));
  const made = [];
  for (const quality of ['standard', 'standard', 'high', 'original'] as const) {
    await using prepared = await prepare(path, { quality });
    made.push({ sha256: prepared.sha256, width: prepared.facts.width, height: prepared.facts.height });
    await checkClean(prepared.file.path);
  }
  const [first, again, high, original] = made;
  assert.deepEqual(first, again);
  assert.deepEqual([first?.height, high?.height, original?.height], [2_048, 4_096, 5_000]);
  assert.equal(new Set(made.map(each => each.sha256)).size, 3);
  assert.deepEqual(leftovers(), []);
});

test('moving pictures move on, and say nothing else', async () => {
  const frames = await Promise.all(
    ['red', 'green', 'blue'].map(background =>
      sharp({ create: { width: 64, height: 48, channels: 3, background } })
        .png()
        .toBuffer(),
    ),
  );
  for (const format of ['gif', 'webp'] as const) {
    const joined = sharp(frames, { join: { animated: true } })
      .withExif(exif)
      .toFormat(format, { delay: [100, 200, 300] });
    let bytes = await joined.toBuffer();
    if (format === 'gif') {
      // A comment extension before the trailer.
      const comment = Buffer.concat([
        Buffer.from([0x21, 0xfe, planted.length]),
        Buffer.from(planted),
        Buffer.from([0]),
      ]);
      bytes = Buffer.concat([bytes.subarray(0, -1), comment, bytes.subarray(-1)]);
    }
    assert.ok(bytes.includes(planted));
    await using prepared = await prepare(write(`moving.${format}`, bytes));
    const { facts } = prepared;
    assert.deepEqual([facts.mediaType, facts.width, facts.height, facts.animated], [`image/${format}`, 64, 48, true]);
    const found = await sharp(prepared.file.path, { animated: true }).metadata();
    assert.deepEqual([found.pages, found.delay], [3, [100, 200, 300]]);
    await checkClean(prepared.file.path);
  }
});

test('transparency stays; sixteen bits, grey and CMYK leave as something that everybody shows', async () => {
  const clear = sharp({ create: { width: 40, height: 40, channels: 4, background: { r: 9, g: 9, b: 9, alpha: 0.5 } } });
  const grey = sharp({ create: { width: 40, height: 40, channels: 3, background: 'grey' } });
  for (const [name, bytes, mediaType] of [
    ['clear.png', await clear.clone().png().toBuffer(), 'image/png'],
    ['clear.tiff', await clear.clone().tiff({ compression: 'lzw' }).toBuffer(), 'image/png'],
    ['clear.avif', await clear.clone().avif({ effort: 0 }).toBuffer(), 'image/png'],
    ['sixteen.png', await grey.clone().toColourspace('rgb16').png().toBuffer(), 'image/png'],
    ['grey.jpg', await grey.clone().greyscale().jpeg().toBuffer(), 'image/jpeg'],
    ['cmyk.jpg', await grey.clone().toColourspace('cmyk').jpeg().toBuffer(), 'image/jpeg'],
  ] as const) {
    await using prepared = await prepare(write(name, bytes));
    assert.equal(prepared.facts.mediaType, mediaType, name);
    const found = await sharp(prepared.file.path).metadata();
    assert.equal(found.hasAlpha, name.startsWith('clear'), name);
    assert.ok(found.space === 'srgb' || found.space === 'b-w' || found.space === 'rgb16', `${name}: ${found.space}`);
    assert.ok(prepared.facts.thumbnail !== undefined && prepared.facts.blurhash !== undefined, name);
  }
});

/** A PNG that says to be so large, and has a few bytes. */
function bomb(width: number, height: number): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width);
  header.writeUInt32BE(height, 4);
  header.set([8, 2], 8);
  const signature = Buffer.from('89504e470d0a1a0a', 'hex');
  return Buffer.concat([
    signature,
    pngChunk('IHDR', header),
    pngChunk('IDAT', Buffer.from('789c', 'hex')),
    pngChunk('IEND', Buffer.alloc(0)),
  ]);
}

async function refusal(path: string, options: Partial<MediaToSend> = {}): Promise<string> {
  const error = await prepare(path, options).then(
    async prepared => prepared[Symbol.asyncDispose]().then(() => assert.fail(`${path} was prepared`)),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof ClientError, String(error));
  assert.deepEqual(leftovers(), []);
  return error.code;
}

test('bombs, broken and unknown pictures are refused, and leave nothing', async () => {
  const good = await withEverything(600, 400, 'jpeg');
  assert.equal(await refusal(write('bomb.png', bomb(60_000, 60_000))), 'media-too-large');
  assert.equal(await refusal(write('bomb.png', bomb(20_000, 20_000))), 'media-too-large');
  assert.equal(await refusal(write('cut.jpg', good.subarray(0, good.length - 800))), 'media-unreadable');
  assert.equal(await refusal(write('cut.png', bomb(100, 100))), 'media-unreadable');
  assert.equal(await refusal(write('a.heic', Buffer.from('\0\0\0\x18ftypheic\0\0\0\0mif1heic'))), 'media-unreadable');
  assert.equal(await refusal(write('a.jxl', Buffer.from('\0\0\0\x0cJXL \r\n\x87\n', 'latin1'))), 'media-unreadable');
  assert.equal(
    await refusal(write('a.svg', Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"/>')), { kind: 'image' }),
    'media-unreadable',
  );
  assert.equal(await refusal(write('text.jpg', Buffer.from('no picture')), { kind: 'image' }), 'media-unreadable');
  assert.equal(await refusal(write('none', Buffer.alloc(0)), { kind: 'image' }), 'media-unreadable');
  assert.equal(await refusal(join(folder, 'not there')), 'file-unreadable');
  // As it is, when that is what is wanted.
  await using plain = await prepare(write('cut.jpg', good.subarray(0, 100)), { kind: 'file' });
  assert.deepEqual([plain.kind, plain.file.path, plain.sha256], ['file', join(folder, 'cut.jpg'), undefined]);
  await using unknown = await prepare(write('notes.jpg', Buffer.from('no picture')));
  assert.equal(unknown.kind, 'file');
});

/** A little-endian TIFF index: each entry a tag and one 32-bit value. */
function tiffIndex(at: number, entries: readonly (readonly [tag: number, value: number])[], nextAt = 0): Buffer {
  const index = Buffer.alloc(2 + 12 * entries.length + 4);
  index.writeUInt16LE(entries.length);
  for (const [number, [tag, value]] of entries.entries()) {
    const place = 2 + 12 * number;
    index.writeUInt16LE(tag, place);
    index.writeUInt16LE(4, place + 2);
    index.writeUInt32LE(1, place + 4);
    index.writeUInt32LE(value, place + 8);
  }
  index.writeUInt32LE(nextAt, 2 + 12 * entries.length);
  assert.ok(at % 2 === 0);
  return index;
}

type TiffPart = { readonly edge: number; readonly subfile?: number };

/** Grey squares: the first, one behind its `SubIFDs`, one that follows as a page. `subfile` 1 says: a smaller copy. */
function tiff(first: TiffPart, { sub, next }: { readonly sub?: TiffPart; readonly next?: TiffPart }): Buffer {
  const parts = [first, sub ?? { edge: 1 }, next ?? { edge: 1 }];
  const sizes = parts.map(({ subfile }, at) => 2 + 12 * (9 + Number(subfile !== undefined) + Number(at === 0)) + 4);
  const places = sizes.map((_, at) => 8 + sizes.slice(0, at).reduce((sum, size) => sum + size, 0));
  const stripAt = 8 + sizes.reduce((sum, size) => sum + size, 0);
  const indexes = parts.map(({ edge, subfile }, at) =>
    tiffIndex(
      places[at]!,
      [
        ...(subfile === undefined ? [] : [[254, subfile] as const]),
        [256, edge],
        [257, edge],
        [258, 8],
        [259, 1],
        [262, 1],
        [273, stripAt],
        [277, 1],
        [278, edge],
        [279, edge ** 2],
        // Where there is none: a tag that nobody knows.
        ...(at === 0 ? [[sub === undefined ? 60_000 : 330, places[1]!] as const] : []),
      ],
      at === 0 && next !== undefined ? places[2] : 0,
    ),
  );
  const head = Buffer.from('II*\0\x08\0\0\0', 'latin1');
  return Buffer.concat([head, ...indexes, Buffer.alloc(64 * 64, 0x80)]);
}

test('a TIFF with smaller copies of itself is one picture, wherever they stand and whatever they measure', async () => {
  for (const [name, bytes] of [
    ['sub.tif', tiff({ edge: 32, subfile: 0 }, { sub: { edge: 64, subfile: 1 } })],
    ['unmarked.tif', tiff({ edge: 32 }, { sub: { edge: 16 } })],
    ['page.tif', tiff({ edge: 32, subfile: 0 }, { next: { edge: 16, subfile: 1 } })],
    ['both.tif', tiff({ edge: 32 }, { sub: { edge: 16, subfile: 1 }, next: { edge: 8, subfile: 1 } })],
  ] as const) {
    await using made = await prepare(write(name, bytes));
    assert.deepEqual([made.kind, made.facts.mediaType, made.facts.width], ['image', 'image/jpeg', 32], name);
  }
  // One that runs in a circle ends.
  const circle = tiff({ edge: 32 }, { next: { edge: 16, subfile: 1 } });
  circle.writeUInt32LE(8, circle.length - 64 * 64 - 4);
  await using made = await prepare(write('circle.tif', circle));
  assert.equal(made.facts.width, 32);
});

test('what would lose its pixels or its movement is refused in words, and can go as a file', async () => {
  const head = (text: string): Buffer => Buffer.concat([Buffer.from(text, 'latin1'), Buffer.alloc(64)]);
  const moving = Buffer.from('\0\0\0\x02\0\0\0\0', 'latin1');
  const still = await halves(16, 16).png().toBuffer();
  const cases = [
    [
      'moving.png',
      Buffer.concat([still.subarray(0, 33), pngChunk('acTL', moving), still.subarray(33)]),
      /moving PNG.*as GIF or WebP/,
    ],
    ['camera.dng', tiff({ edge: 16, subfile: 1 }, { sub: { edge: 64 } }), /raw photograph/],
    ['phone.dng', tiff({ edge: 32, subfile: 1 }, { sub: { edge: 32, subfile: 0 } }), /raw photograph/],
    ['unmarked.dng', tiff({ edge: 16 }, { sub: { edge: 64 } }), /raw photograph/],
    ['scan.tif', tiff({ edge: 32 }, { next: { edge: 16 } }), /several pages/],
    ['broken.tif', tiff({ edge: 64 }, {}).subarray(0, 600), /broken.*JPEG or PNG/],
    ['camera.cr2', head('II*\0\x10\0\0\0CR\x02\0'), /raw photograph/],
    ['camera.cr3', head('\0\0\0\x18ftypcrx \0\0\0\x01crx isom'), /raw photograph/],
    ['phone.heic', head('\0\0\0\x18ftypheic\0\0\0\0mif1heic'), /HEIC.*JPEG and PNG can/],
    ['phone.heif', head('\0\0\0\x18ftypmif1\0\0\0\0mif1heic'), /HEIC.*JPEG and PNG can/],
    ['moving.avif', head('\0\0\0\x18ftypavif\0\0\0\0avisavif'), /moving AVIF.*as GIF or WebP/],
    ['new.jxl', head('\0\0\0\x0cJXL \r\n\x87\n'), /JPEG XL/],
  ] as const;
  for (const [name, bytes, words] of cases) {
    const path = write(name, bytes);
    await assert.rejects(prepare(path), (error: unknown) => {
      assert.ok(error instanceof ClientError, String(error));
      assert.deepEqual([error.code, words.test(error.message)], ['media-unreadable', true], error.message);
      return true;
    });
    await using plain = await prepare(path, { kind: 'file' });
    assert.equal(plain.file.path, path);
  }
  assert.deepEqual(leftovers(), []);
});

/** A GIF of few bytes and many pixels: each frame changes one pixel of the whole. */
function gif(edge: number, frames: number): Buffer {
  const screen = Buffer.from('GIF89a\0\0\0\0\x80\0\0\xff\0\0\0\0\xff', 'latin1');
  screen.writeUInt16LE(edge, 6);
  screen.writeUInt16LE(edge, 8);
  const parts = [screen];
  for (let at = 0; at < frames; at += 1) {
    const frame = Buffer.from('!\xf9\x04\0\x0a\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0', 'latin1');
    frame.writeUInt16LE(at % edge, 9);
    parts.push(frame);
  }
  return Buffer.concat([...parts, Buffer.from(';')]);
}

test('a moving picture of too many pixels is refused, and no photograph waits for one', async () => {
  const path = write('many.gif', gif(1_000, 70));
  assert.equal((await sharp(path).metadata()).pages, 70);
  await assert.rejects(
    prepare(path),
    (error: unknown) => error instanceof ClientError && error.code === 'media-too-large',
  );

  const order: string[] = [];
  const slow = prepare(write('slow.gif', gif(1_000, 50))).then(made => {
    order.push('moving');
    return made[Symbol.asyncDispose]();
  });
  const quick = prepare(write('quick.png', await halves(16, 16).png().toBuffer())).then(made => {
    order.push('still');
    return made[Symbol.asyncDispose]();
  });
  await Promise.all([slow, quick]);
  assert.deepEqual(order, ['still', 'moving']);
});

test('cancelling ends the process and leaves nothing; a crash leaves what the next start removes', async () => {
  const path = write('large.png', await withEverything(4_000, 4_000, 'png'));
  const stop = new AbortController();
  const preparing = prepare(path, {}, stop.signal);
  setTimeout(() => stop.abort(new ClientError('cancelled')), 150);
  await assert.rejects(preparing, { code: 'cancelled' });
  assert.deepEqual(leftovers(), []);
  await prepare(path);
  assert.equal(leftovers().length, 1);
  assert.ok(new MediaPreparation(copies) instanceof MediaPreparation);
  assert.deepEqual(leftovers(), []);
});

test('any bytes give a picture or a refusal', { timeout: 240_000 }, async () => {
  const starts = [
    await withEverything(40, 30, 'jpeg'),
    withText(await withEverything(40, 30, 'png')),
    await withEverything(40, 30, 'webp'),
    await withEverything(40, 30, 'tiff'),
    await withEverything(40, 30, 'avif'),
  ];
  const changed = fc
    .tuple(
      fc.constantFrom(...starts),
      fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 8 }),
      fc.nat(),
    )
    .map(([start, changes, cut]) => {
      const bytes = Buffer.from(start);
      for (const [place, value] of changes) bytes[12 + (place % (bytes.length - 12))] = value;
      return cut % 3 === 0 ? bytes.subarray(0, 12 + (cut % (bytes.length - 12))) : bytes;
    });
  const anything = fc.oneof(
    { weight: 3, arbitrary: changed },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 400 }).map(bytes => Buffer.from(bytes)) },
  );
  await fc.assert(
    fc.asyncProperty(anything, async bytes => {
      const path = write('any', bytes);
      try {
        await using prepared = await impatient.prepare(
          { file: await fileAt(path), kind: 'image', quality: 'standard' },
          never,
        );
        await checkClean(prepared.file.path);
      } catch (error) {
        assert.ok(
          error instanceof ClientError && ['media-unreadable', 'media-too-large'].includes(error.code),
          String(error),
        );
      }
      assert.deepEqual(leftovers(), []);
    }),
    { numRuns: 15, endOnFailure: true },
  );
});
