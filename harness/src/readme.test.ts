// The README's programs, taken from the README and run against a sandbox: what stands there works.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { type RunningSandbox, startSandbox } from './running-sandbox.ts';

const root = join(import.meta.dirname, '..', '..');
const python = '/usr/bin/python3';
const hasSlixmpp = spawnSync(python, ['-c', 'import slixmpp']).status === 0;
const skip = hasSlixmpp ? false : 'SKIPPED: python3-slixmpp is not installed (apt-get install python3-slixmpp)';
if (skip !== false) console.error(`readme: ${skip}`);

let sandbox: RunningSandbox;
let folder: string;
before(async () => {
  sandbox = await startSandbox(2);
  // Inside the repository, so that the programs find the packages.
  folder = mkdtempSync(join(root, '.readme-'));
});
after(async () => {
  rmSync(folder, { recursive: true, force: true });
  await sandbox.stop();
});

/** The program behind its mark, with this sandbox's ports and folder in place of the default ones. */
function program(name: string): string {
  const readme = readFileSync(join(root, 'README.md'), 'utf8');
  const found = readme.match(new RegExp(`<!-- program: ${name} -->\\s*\`\`\`[a-z]+\\n([^]*?)\`\`\``));
  assert.ok(found?.[1] !== undefined, `the README has no program ${name}`);
  const { xmpp, xmpps, websocket, compact, http, sandbox: proofs, admin } = sandbox.ready.ports;
  const ports = [xmpp, xmpps, websocket, compact, http, proofs, admin];
  return found[1]
    .replaceAll(/\b52(2[2-8])\b/g, (_, digits: string) => String(ports[Number(digits) - 22]))
    .replaceAll('drawbridge-sandbox/pki', dirname(sandbox.ready.ca))
    .replaceAll('people/', `${folder}/people/`);
}

async function run(command: string, args: readonly string[], env: Record<string, string> = {}): Promise<string> {
  const child = spawn(command, args, {
    cwd: folder,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let out = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (out += text));
  const timer = setTimeout(() => child.kill('SIGKILL'), 30_000);
  const code = await new Promise<number | null>(resolve => child.once('close', resolve));
  clearTimeout(timer);
  assert.equal(code, 0, out);
  return out;
}

test('the SDK program: enlists, sends, receives; and again on the same folders', async () => {
  const file = join(folder, 'hello.ts');
  writeFileSync(file, program('sdk'));
  for (let i = 0; i < 2; i++) {
    const out = await run(process.execPath, ['--conditions=drawbridge-source', file]);
    assert.equal(out, 'anna of skylark.localhost: hello\n');
  }
});

test('the xmpp.js program logs in', async () => {
  const file = join(folder, 'xmpp.mjs');
  writeFileSync(file, program('xmpp.js'));
  const out = await run(process.execPath, [file], { NODE_EXTRA_CA_CERTS: sandbox.ready.ca });
  assert.match(out, new RegExp(`logged in as ${sandbox.accounts[0]!.jid}`));
});

test('the slixmpp program logs in', { skip }, async () => {
  const file = join(folder, 'slix.py');
  writeFileSync(file, program('slixmpp'));
  assert.match(await run(python, [file]), new RegExp(`logged in as ${sandbox.accounts[0]!.jid}`));
});
