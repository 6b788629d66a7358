// Files as two people at terminals send them, in a sandbox: `/file` and `/save` of `drawbridge chat`, both directions.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { noisePng, recordedWav } from '../media-files.ts';
import { type RunningSandbox, startSandbox } from '../running-sandbox.ts';

const command = fileURLToPath(new URL('../../../apps/cli/bin/drawbridge.js', import.meta.url));
const patienceMs = 60_000;

let sandbox: RunningSandbox;
let folder: string;
const children: ChildProcess[] = [];
before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'drawbridge-files-'));
  sandbox = await startSandbox(2);
});
after(async () => {
  for (const child of children) child.kill('SIGKILL');
  await sandbox.stop();
  rmSync(folder, { recursive: true, force: true });
});

type Terminal = {
  type(line: string): void;
  shows(what: RegExp): Promise<void>;
  readonly ended: Promise<number | null>;
};

function chat(identifier: string, issuer: 'skylark' | 'users'): Terminal {
  const { http, sandbox: issuers } = sandbox.ready.ports;
  const where = ['--gatekeeper', `https://localhost:${http}`, '--provider', `https://localhost:${issuers}/${issuer}`];
  const args = ['chat', ...where, '--ca', sandbox.ready.ca, '--as', identifier, '--folder', join(folder, identifier)];
  const env = { ...process.env, DRAWBRIDGE_PASSWORD: 'correct horse', DRAWBRIDGE_PASSPHRASE: 'a long one' };
  const child = spawn(process.execPath, [command, ...args], { env, stdio: ['pipe', 'pipe', 'inherit'] });
  children.push(child);
  let out = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
  return {
    type: line => void child.stdin.write(`${line}\n`),
    async shows(what) {
      const giveUpAtMs = performance.now() + patienceMs;
      for (;;) {
        const at = out.search(what);
        if (at >= 0) {
          out = out.slice(at + 1);
          return;
        }
        assert.ok(performance.now() < giveUpAtMs, `${identifier} does not see ${what} in:\n${out}`);
        await new Promise(resolve => setTimeout(resolve, 30));
      }
    },
    ended: new Promise(resolve => child.once('close', resolve)),
  };
}

test('a third party’s and an own user send each other files', { timeout: 90_000 }, async () => {
  const bytes = randomBytes(700_000);
  const sent = join(folder, 'a holiday.jpg');
  writeFileSync(sent, bytes);
  const [anna, bob] = [chat('anna', 'skylark'), chat('bob', 'users')];
  await Promise.all([anna.shows(/connected/), bob.shows(/connected/)]);
  bob.type('/save x');
  await bob.shows(/there is no file yet/);
  bob.type('/optin skylark.localhost');
  await bob.shows(/can reach you now/);

  anna.type('/to localhost bob');
  anna.type(`/file "${join(folder, 'none')}"`);
  await anna.shows(/not done: The file is not there/);
  anna.type(`/file "${sent}" look here`);
  await bob.shows(/anna \(skylark\.localhost\): \[file\] look here/);
  const fromAnna = join(folder, 'from anna');
  bob.type(`/save "${fromAnna}"`);
  await bob.shows(/\(saved/);
  assert.ok(readFileSync(fromAnna).equals(bytes));
  bob.type(`/save "${fromAnna}"`);
  await bob.shows(/something at that path already/);
  bob.type(`/save 2 ${join(folder, 'second')}`);
  await bob.shows(/not done: There is no such message/);

  bob.type('/to skylark.localhost anna');
  bob.type(`/file "${fromAnna}"`);
  await anna.shows(/bob \(localhost\): \[file\] from anna/);
  anna.type(`/save 1 ${join(folder, 'back')}`);
  await anna.shows(/\(saved/);
  assert.ok(readFileSync(join(folder, 'back')).equals(bytes));

  // Pictures and voice messages, with their measures and without what they said of themselves.
  const picture = join(folder, 'picture.png');
  writeFileSync(picture, noisePng(120, 80));
  anna.type(`/photo ${picture} me \u202e here`);
  await bob.shows(/anna \(skylark\.localhost\): \[image 120×80\] me {3}here/);
  bob.type(`/save ${join(folder, 'saved.png')}`);
  await bob.shows(/\(saved/);
  assert.ok(!readFileSync(join(folder, 'saved.png')).includes('PLANTED'));
  const recorded = join(folder, 'recorded.wav');
  writeFileSync(recorded, recordedWav(2));
  bob.type(`/voice ${recorded}`);
  await anna.shows(/bob \(localhost\): \[voice 0:02 ▁{10,12}[▁▂]?[▅▆▇█]{11,13}\]/);
  bob.type(`/video ${recorded}`);
  await bob.shows(/not done: This can’t be freed of .*kind `file`/);
  assert.deepEqual(
    readdirSync(folder).filter(name => name.endsWith('.part') || name === 'second' || name === 'x'),
    [],
  );
  for (const each of [anna, bob]) each.type('/quit');
  assert.deepEqual(await Promise.all([anna.ended, bob.ended]), [0, 0]);
});
