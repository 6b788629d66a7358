// `npm run package`: release/drawbridge_<version>_<arch>.deb for this machine's architecture, from the npm tarballs, with the
// Node.js of the lock file and the dependencies that it names. Needs dpkg-deb; the network, or npm's cache.
// The same commit gives the same files: times are those of the commit. docs/decisions/0052 has the reasons.
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { ownNode, root, run } from './node.js';
import { readOptions } from './options.js';

const debianArch = { x64: 'amd64', arm64: 'arm64' }[process.arch];
if (debianArch === undefined) throw new Error(`there is no package for ${process.arch}`);
const { out = join(root, 'release') } = readOptions(
  `npm run package                  a Debian package of this commit for this machine's architecture, in release/
npm run package -- --out FOLDER  in another folder`,
  { out: { type: 'string' } },
);
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const seconds = execFileSync('git', ['log', '-1', '--format=%ct'], { cwd: root, encoding: 'utf8' }).trim();
const work = mkdtempSync(join(tmpdir(), 'drawbridge-package-'));
const tree = join(work, 'tree');
const home = join(tree, 'usr/lib/drawbridge');

try {
  await build();
  installModules();
  const node = installNode();
  installFiles(node);
  const deb = pack();
  console.log(deb);
} finally {
  rmSync(work, { recursive: true, force: true });
}

async function build() {
  const status = await run(ownNode(), ['scripts/build.js'], { stdio: ['ignore', 2, 2] });
  if (status !== 0) process.exit(status);
}

/** The dependencies of the command as the lock file names them, and our own packages from their tarballs. */
function installModules() {
  const stage = join(work, 'stage');
  const manifests = globSync(
    ['package.json', 'package-lock.json', '.npmrc', '{packages,apps}/*/package.json', '{harness,bench}/package.json'],
    {
      cwd: root,
    },
  );
  for (const name of manifests) {
    mkdirSync(dirname(join(stage, name)), { recursive: true });
    cpSync(join(root, name), join(stage, name));
  }
  const npm = (cwd, ...args) => execFileSync('npm', args, { cwd, stdio: ['ignore', 2, 2] });
  npm(stage, 'ci', '--ignore-scripts', '--omit=dev', '--prefer-offline', '--workspace', 'apps/cli');
  const modules = join(home, 'node_modules');
  const ours = join(stage, 'node_modules', '@drawbridge');
  cpSync(join(stage, 'node_modules'), modules, {
    recursive: true,
    filter: from => !from.startsWith(ours) && !from.endsWith('/.bin') && !from.endsWith('/.package-lock.json'),
  });
  const tarballs = join(work, 'tarballs');
  mkdirSync(tarballs);
  npm(
    root,
    'pack',
    '--workspace',
    'packages',
    '--workspace',
    'apps/cli',
    '--pack-destination',
    tarballs,
    '--ignore-scripts',
    '--silent',
  );
  for (const tarball of readdirSync(tarballs)) {
    const name = /^drawbridge-(.+)-[0-9]/.exec(tarball)[1];
    const folder = join(modules, '@drawbridge', name);
    mkdirSync(folder, { recursive: true });
    execFileSync('tar', ['-xzf', join(tarballs, tarball), '-C', folder, '--strip-components=1', '--no-same-owner']);
  }
  // Machine code for other systems.
  for (const folder of globSync('**/prebuilds/*/', { cwd: modules })) {
    if (!folder.replace(/\/$/, '').endsWith(`/linux-${process.arch}`))
      rmSync(join(modules, folder), { recursive: true });
  }
}

function installNode() {
  const packaged = join(root, 'node_modules', `node-linux-${process.arch}`);
  const node = join(home, 'bin/node');
  mkdirSync(dirname(node), { recursive: true });
  cpSync(join(packaged, 'bin/node'), node);
  chmodSync(node, 0o755);
  cpSync(join(packaged, 'LICENSE'), join(home, 'LICENSE.node'));
  return node;
}

/** The command, its completions and manual page, units, documents. */
function installFiles(node) {
  const main = join(home, 'node_modules/@drawbridge/cli/dist/main.js');
  const print = (...args) => execFileSync(node, [main, ...args]);
  const put = (name, content, mode = 0o644) => {
    const file = join(tree, name);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, content);
    chmodSync(file, mode);
  };
  const read = name => readFileSync(join(root, name));
  const date = new Date(Number(seconds) * 1000).toISOString().slice(0, 10);
  put('usr/bin/drawbridge', read('packaging/drawbridge'), 0o755);
  put('usr/share/bash-completion/completions/drawbridge', print('completion', 'bash'));
  put('usr/share/zsh/vendor-completions/_drawbridge', print('completion', 'zsh'));
  put('usr/share/fish/vendor_completions.d/drawbridge.fish', print('completion', 'fish'));
  put('usr/share/man/man1/drawbridge.1.gz', gzipSync(print('manual', '--date', date), { level: 9 }));
  for (const unit of globSync('*.service', { cwd: join(root, 'packaging/systemd') })) {
    put(`usr/lib/systemd/system/${unit}`, read(`packaging/systemd/${unit}`));
  }
  for (const page of globSync('docs/operations/*.md', { cwd: root })) {
    put(`usr/share/doc/drawbridge/${page.replace(/.*\//, '')}`, read(page));
  }
  const licences = `${read('LICENSE')}\nNode.js: /usr/lib/drawbridge/LICENSE.node. Other packages: beside each in /usr/lib/drawbridge/node_modules.\n`;
  put('usr/share/doc/drawbridge/copyright', licences);
  mkdirSync(join(tree, 'etc/drawbridge'), { recursive: true });
}

function pack() {
  const control = join(tree, 'DEBIAN');
  mkdirSync(control);
  const text = readFileSync(join(root, 'packaging/debian/control'), 'utf8');
  writeFileSync(join(control, 'control'), text.replace('@version@', version).replace('@arch@', debianArch));
  for (const script of ['postinst', 'prerm', 'postrm']) {
    cpSync(join(root, 'packaging/debian', script), join(control, script));
    chmodSync(join(control, script), 0o755);
  }
  // Whatever the umask here: all may read, nobody but root may write.
  execFileSync('chmod', ['-R', 'u=rwX,go=rX', join(tree, 'usr'), join(tree, 'etc')]);
  mkdirSync(out, { recursive: true });
  const deb = join(out, `drawbridge_${version}_${debianArch}.deb`);
  execFileSync('dpkg-deb', ['--root-owner-group', '-Zzstd', '-z9', '--build', tree, deb], {
    stdio: ['ignore', 2, 2],
    env: { ...process.env, SOURCE_DATE_EPOCH: seconds },
  });
  return deb;
}
