// A binary of libsodium that was cut short, spoilt or meant for another machine costs its speed, never the process: played with
// real files, each loaded by a process of its own.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';

const installed = dirname(createRequire(import.meta.url).resolve('sodium-native'));
const prebuilt = (machine: string): string => join('prebuilds', machine, 'sodium-native.node');
const here = `linux-${process.arch}`;
const loaders = ['require-addon', 'which-runtime', 'bare-assert'];
const program = new URL('./platform-crypto.ts', import.meta.url).href;
const skip = process.platform === 'linux' ? false : 'the files that are spoilt here are those of Linux';

/** What `chooseCrypto` says in a process of its own that finds this binary. */
function absenceWith(binary: Uint8Array): string {
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-binary-'));
  try {
    const library = join(folder, 'node_modules/sodium-native');
    mkdirSync(dirname(join(library, prebuilt(here))), { recursive: true });
    for (const file of ['index.js', 'binding.js', 'package.json']) cpSync(join(installed, file), join(library, file));
    for (const loader of loaders) symlinkSync(join(installed, '..', loader), join(library, '..', loader));
    writeFileSync(join(library, prebuilt(here)), binary);
    const from = join(folder, 'from.js');
    const says = `import { chooseCrypto, loadSodium } from '${program}'; console.log(chooseCrypto(() => loadSodium('${from}')).sodiumAbsence)`;
    const args = ['--conditions=drawbridge-source', '--input-type=module', '--eval', says];
    return execFileSync(process.execPath, args, { encoding: 'utf8' }).trim();
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

test('a broken binary is not used, and ends nothing', { skip }, () => {
  const whole = readFileSync(join(installed, prebuilt(here)));
  const other = process.arch === 'x64' ? 'linux-arm64' : 'linux-x64';
  const broken = {
    empty: Buffer.alloc(0),
    text: Buffer.alloc(4_096, 'no library\n'),
    'of another machine': readFileSync(join(installed, prebuilt(other))),
    'its header': whole.subarray(0, 64),
    'a page': whole.subarray(0, 4_096),
    half: whole.subarray(0, whole.length >> 1),
    'all but a byte': whole.subarray(0, -1),
  };
  for (const [what, binary] of Object.entries(broken)) assert.equal(absenceWith(binary), 'not-loadable', what);
  assert.equal(absenceWith(whole), 'undefined');
});
