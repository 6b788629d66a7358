// Files from the wild: the pictures and sounds that Debian's source packages of image and sound libraries carry as test data.
// They are fetched when a test asks for them and are never committed.
// Knows nothing of what is made of them.
import { spawnSync } from 'node:child_process';
import { globSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { createHash } from 'node:crypto';

/** Source packages with many odd files. */
const packages = ['pillow', 'exiv2', 'taglib', 'gst-plugins-good1.0'];
const extensions = new Set(
  '.jpg .jpeg .png .apng .gif .webp .tif .tiff .avif .heic .jxl .dng .cr3 .raf .rw2 .orf .nef .mp4 .m4a .m4v .mov .webm .mka .mkv .ogg .oga .opus .wav'.split(
    ' ',
  ),
);

/** Gives the files' paths, at most `count`, the same ones every time; or why they can't be had. */
export function fetchWildFiles(folder: string, count: number): string[] | string {
  if (process.getuid?.() !== 0) return 'source packages are fetched by apt-get, as root';
  const sources = sourceList();
  if (sources === '') return 'no Debian package source is configured here';
  for (const each of ['etc', 'lists/partial', 'packages']) mkdirSync(join(folder, each), { recursive: true });
  writeFileSync(join(folder, 'etc', 'source.sources'), sources);
  const apt = [
    ...['-o', 'Dir::Etc::SourceList=/dev/null', '-o', `Dir::Etc::SourceParts=${join(folder, 'etc')}`],
    ...['-o', `Dir::State::Lists=${join(folder, 'lists')}`, '-o', 'APT::Sandbox::User=root'],
  ];
  const cwd = join(folder, 'packages');
  const timeout = 240_000;
  for (const step of [['update'], ['source', '--download-only', ...packages]]) {
    const done = spawnSync('apt-get', [...apt, ...step], { cwd, encoding: 'utf8', timeout });
    if (done.status !== 0) return `apt-get ${step[0]} failed: ${done.stderr.trim().split('\n').at(-1) ?? ''}`;
  }
  for (const archive of readdirSync(cwd).filter(each => /\.orig\.tar\.[a-z0-9]+$/.test(each))) {
    const unpacked = spawnSync('tar', ['xf', archive], { cwd, timeout });
    if (unpacked.status !== 0) return `${archive} can't be unpacked`;
  }
  const files = globSync('**/*', { cwd }).filter(each => extensions.has(extname(each).toLowerCase()));
  return chosen(files, count).map(each => join(cwd, each));
}

/** Of every kind as many as there are, up to an equal share; which ones, a hash of the name says. */
function chosen(files: readonly string[], count: number): string[] {
  const rank = (name: string): string => createHash('sha256').update(name).digest('hex');
  const kinds = Map.groupBy(
    files.map(name => ({ name, rank: rank(name) })).sort((a, b) => (a.rank < b.rank ? -1 : 1)),
    each => extname(each.name).toLowerCase(),
  );
  const taken: string[] = [];
  for (let round = 0; taken.length < Math.min(count, files.length); round += 1) {
    for (const kind of kinds.values()) {
      const next = kind[round];
      if (next !== undefined && taken.length < count) taken.push(next.name);
    }
  }
  return taken.sort();
}

/** The configured Debian archives, asked for sources in place of programs. */
function sourceList(): string {
  const folder = '/etc/apt/sources.list.d';
  const stanzas = globSync(`${folder}/*.sources`).flatMap(file => readFileSync(file, 'utf8').split(/\n\s*\n/));
  const archive = stanzas.filter(each => /^Suites:.*-updates/m.test(each) && !each.includes('security'));
  return archive.map(each => each.replace(/^Types:.*$/m, 'Types: deb-src').replace(/ \S+-updates/, '')).join('\n\n');
}
