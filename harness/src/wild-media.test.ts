// 300 files from the wild, each prepared for sending: it arrives right, or is refused with words that say why.
// Judges share no code with the SDK: Pillow says what a picture is and how it stands, ExifTool what is left in what leaves.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { basename, extname, join } from 'node:path';
import { after, test } from 'node:test';
import { ClientError } from '@drawbridge/client/errors';
import { pictureLimits } from '@drawbridge/client/media/media-limits';
import { fileAt } from '@drawbridge/client/files/local-file';
import { MediaPreparation } from '@drawbridge/client/media/media-preparation';
import { fetchWildFiles } from './wild-media-files.ts';

const python = '/usr/bin/python3';
const judges =
  spawnSync(python, ['-c', 'import PIL']).status === 0 &&
  spawnSync('exiftool', ['-ver'], { stdio: 'ignore' }).status === 0;
const folder = mkdtempSync(join(tmpdir(), 'drawbridge-wild-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const files = judges
  ? fetchWildFiles(folder, 300)
  : 'apt-get install --no-install-recommends python3-pil libimage-exiftool-perl dpkg-dev';
const skip = typeof files === 'string' ? `SKIPPED: ${files}` : false;

type Judged = {
  readonly path: string;
  readonly error?: string;
  readonly format?: string;
  readonly frames?: number;
  readonly turned?: readonly [number, number];
};
type Outcome =
  | { readonly kind: 'sent'; readonly as: string; readonly copy: string; readonly size: readonly [number, number] }
  | { readonly kind: 'refused'; readonly code: string; readonly words: string };

/** What every reader shows in the same way; the others may be refused. */
const everyday = new Set(['JPEG', 'PNG', 'GIF', 'WEBP']);
/** Groups of ExifTool's that describe pixels and containers, not people, places and devices. */
const structural =
  /^(?:ExifTool|System|File|Composite|PNG|PNG-pHYs|JFIF|GIF|RIFF|QuickTime|Track\d+|Ogg|Opus|Matroska|EBML|Info|Vorbis|SourceFile)$/;
const telling =
  /^(?:Comment|Artist|Author|Copyright|Software|Description|Title|Make|Model|.*GPS.*|.*Serial.*|XMP|.*Location.*)$/;

function judge(paths: readonly string[]): Map<string, Judged> {
  const answer = spawnSync(python, [join(import.meta.dirname, 'wild-media.py')], {
    input: paths.join('\n'),
    encoding: 'utf8',
    maxBuffer: 67_108_864,
  });
  const rows = answer.stdout
    .split('\n')
    .filter(Boolean)
    .map(line => JSON.parse(line) as Judged);
  return new Map(rows.map(row => [row.path, row]));
}

async function send(preparation: MediaPreparation, path: string, copies: string, number: number): Promise<Outcome> {
  try {
    await using made = await preparation.prepare(
      { file: await fileAt(path), kind: undefined, quality: 'standard' },
      new AbortController().signal,
    );
    if (made.kind === 'file') return { kind: 'sent', as: 'file', copy: path, size: [0, 0] };
    const copy = join(copies, `${number}${extname(made.fileName ?? '')}`);
    copyFileSync(made.file.path, copy);
    return { kind: 'sent', as: made.kind, copy, size: [made.facts.width ?? 0, made.facts.height ?? 0] };
  } catch (error) {
    assert.ok(error instanceof ClientError, `${path}: ${String(error)}`);
    return { kind: 'refused', code: error.code, words: error.message };
  }
}

test('files from the wild arrive right or are refused in words', { skip, timeout: 580_000 }, async () => {
  assert.ok(Array.isArray(files));
  assert.equal(files.length, 300);
  const copies = join(folder, 'copies');
  mkdirSync(copies);
  // Each prepares one picture at a time: so many use what cores there are.
  const count = Math.max(2, availableParallelism());
  const folders = Array.from({ length: count }, (_, number) => join(folder, `preparation-${number}`));
  const preparations = folders.map(each => new MediaPreparation(each));
  const judged = judge(files);
  const outcomes = await Promise.all(
    files.map(async (path, number) => ({
      path,
      outcome: await send(preparations[number % count]!, path, copies, number),
    })),
  );
  const wrong: string[] = [];
  for (const { path, outcome } of outcomes) {
    const fault = faultOf(path, judged.get(path), outcome);
    if (fault !== undefined)
      wrong.push(`${path.slice(folder.length)}: ${fault} ${JSON.stringify([judged.get(path), outcome])}`);
  }
  const counted = Object.entries(
    Object.groupBy(outcomes, ({ outcome }) => (outcome.kind === 'sent' ? outcome.as : outcome.code)),
  );
  console.log(counted.map(([kind, each]) => `${each!.length} ${kind}`).join(', '));
  // For somebody to read: whether each is refused for what it is.
  const refusals = outcomes.flatMap(({ path, outcome: { kind, ...said } }) =>
    kind === 'refused' && 'words' in said
      ? [{ name: basename(path), why: /\((.*)\)$/.exec(said.words)?.[1] ?? '' }]
      : [],
  );
  for (const [why, each] of Object.entries(Object.groupBy(refusals, refusal => refusal.why))) {
    console.log(`${each!.length} refused, ${why}: ${each!.map(({ name }) => name).join(' ')}`);
  }
  assert.deepEqual(wrong, []);

  assert.deepEqual(metadataIn(copies), []);
  for (const each of folders) assert.deepEqual(readdirSync(each), []);
});

/** What ExifTool finds in the files of a folder that describes anything but pixels and containers. */
function metadataIn(copies: string): string[] {
  const said = spawnSync('exiftool', ['-j', '-G1', '-a', '-u', copies], { encoding: 'utf8', maxBuffer: 67_108_864 });
  return (JSON.parse(said.stdout) as Readonly<Record<string, unknown>>[]).flatMap(tags =>
    Object.keys(tags)
      .filter(key => {
        const [group = '', tag = ''] = key.split(':');
        return !structural.test(group) || telling.test(tag);
      })
      .map(key => `${String(tags['SourceFile'])} ${key} ${JSON.stringify(tags[key])}`),
  );
}

const planted = 'PLANTED-BY-A-CAMERA';
const place = '51.5074';
/** Who, where, when and with what: in every block that a kind of file has for it. */
const plantedTags = [
  ...'EXIF:Artist EXIF:Copyright EXIF:ImageDescription EXIF:Make EXIF:Model EXIF:Software EXIF:SerialNumber'.split(' '),
  ...'EXIF:OwnerName EXIF:UserComment XMP:Creator XMP:Title XMP:Location XMP:CreatorTool XMP:PersonInImage'.split(' '),
  ...'IPTC:City IPTC:By-line IPTC:Caption-Abstract Comment PNG:Author PNG:Comment QuickTime:Artist'.split(' '),
  ...'QuickTime:Comment Keys:Author Keys:Make Keys:Model'.split(' '),
].map(tag => `-${tag}=${planted}`);
const plantedPlaces = [
  ...['-EXIF:GPSLatitudeRef=N', `-EXIF:GPSLatitude=${place}`, '-EXIF:GPSLongitudeRef=W', '-EXIF:GPSLongitude=0.1278'],
  ...[
    `-XMP:GPSLatitude=${place}`,
    `-Keys:GPSCoordinates=${place}, -0.1278, 10`,
    '-EXIF:DateTimeOriginal=1999:12:31 23:59:58',
  ],
];
/** So many are prepared once more. */
const plantedFiles = 150;

test('nothing of what is planted in files from the wild leaves', { skip, timeout: 580_000 }, async () => {
  assert.ok(Array.isArray(files));
  const [sources, copies] = [join(folder, 'planted'), join(folder, 'planted-copies')];
  mkdirSync(sources);
  mkdirSync(copies);
  const chosen = files
    .filter(path => /\.(?:jpe?g|png|gif|webp|tiff?|mp4|m4v|mov)$/i.test(path))
    .slice(0, 2 * plantedFiles);
  for (const [number, path] of chosen.entries())
    copyFileSync(path, join(sources, `${String(number).padStart(3, '0')}${extname(path)}`));
  // What ExifTool can't write stays as it is, and is left out.
  const plant = ['-m', '-q', '-q', '-overwrite_original', ...plantedTags, ...plantedPlaces, sources];
  spawnSync('exiftool', plant, { encoding: 'utf8', maxBuffer: 67_108_864 });
  const paths = readdirSync(sources)
    .map(name => join(sources, name))
    .filter(path => readFileSync(path).includes(planted))
    .slice(0, plantedFiles);
  assert.ok(paths.length >= 100, `${paths.length} files have planted words`);
  assert.ok(metadataIn(sources).length > 10 * paths.length);

  const preparation = new MediaPreparation(join(folder, 'preparation-of-planted'));
  const outcomes = await Promise.all(paths.map((path, number) => send(preparation, path, copies, number)));
  const sent = outcomes.filter(outcome => outcome.kind === 'sent' && outcome.as !== 'file');
  assert.ok(sent.length >= 100, `${sent.length} of ${paths.length} were prepared`);
  console.log(`${sent.length} of ${paths.length} with planted words left without them`);
  const telling = readdirSync(copies).filter(name => {
    const bytes = readFileSync(join(copies, name));
    return [planted, place, '1999:12:31'].some(word => bytes.includes(word));
  });
  assert.deepEqual(telling, []);
  assert.deepEqual(metadataIn(copies), []);
});

/** What is said of kinds that are always refused, and of pictures that are sound and can't be read here. */
const expectedWords: readonly (readonly [RegExp, RegExp])[] = [
  [/\.heic$/i, /HEIC can’t be read here: JPEG and PNG can/],
  [/\.jxl$/i, /JPEG XL can’t be read here: JPEG and PNG can/],
  [/\.(?:dng|cr3|rw2|orf|nef|raf)$/i, /a raw photograph can’t be read here: JPEG and PNG can|broken/],
  [/multi|total-pages-zero|\/compression\.tif/, /a TIFF of several pages would lose all but the first/],
  [/apng/, /a moving PNG would stand still: as GIF or WebP it moves on/],
  [/\.tiff?$/, /broken, or of a form that can’t be read here: other programs may make a JPEG or PNG of it/],
];

/** Why an outcome is wrong; undefined when it is right. */
function faultOf(path: string, found: Judged | undefined, outcome: Outcome): string | undefined {
  if (outcome.kind === 'refused') {
    if (outcome.words.length < 20) return 'it is refused without words';
    const isEveryday =
      found?.format !== undefined && everyday.has(found.format) && !(found.format === 'PNG' && found.frames! > 1);
    const expected = expectedWords.find(([names]) => names.test(path))?.[1];
    if (expected !== undefined && !expected.test(outcome.words)) return `it is not told that ${expected}`;
    // A moving PNG, however broken its index is.
    if (outcome.words.includes('a moving PNG') && readFileSync(found!.path).includes('acTL')) return undefined;
    return isEveryday && outcome.code !== 'media-too-large' ? 'every reader shows it, and it is refused' : undefined;
  }
  if (outcome.as !== 'image' || found?.turned === undefined) return undefined;
  const [width, height] = found.turned;
  const scale = Math.min(1, pictureLimits.maxEdgePixels.standard / Math.max(width, height));
  const expected = [width, height].map(edge => Math.max(1, Math.round(edge * scale)));
  const isRight = outcome.size.every((edge, at) => Math.abs(edge - expected[at]!) <= 1);
  return isRight ? undefined : `it should be ${expected.join(' × ')}`;
}
