// Signing in to `drawbridge chat` in a real pseudo-terminal, against a real provider: mistakes are told for what they are.
import assert from 'node:assert/strict';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type GatekeeperFolder, makeGatekeeperFolder, type RunningGatekeeper } from './testing/running-gatekeeper.ts';
import { drawbridgeIn, noTerminal } from './testing/terminal.ts';

let home: GatekeeperFolder;
let gatekeeper: RunningGatekeeper | undefined;
before(async () => {
  if (noTerminal !== false) return;
  home = await makeGatekeeperFolder();
  gatekeeper = await home.start();
});
after(async () => {
  await gatekeeper?.stop();
  home?.remove();
});

/** Starts it, types the password and waits for the end; the screen. */
async function chat(name: string, folder: string, password: string): Promise<{ code: number | null; screen: string }> {
  const issuer = String(home.config['issuer']);
  const args = ['--gatekeeper', issuer, '--provider', `${issuer}/users`, '--ca', home.pki.caFile];
  const env = { DRAWBRIDGE_PASSPHRASE: 'a long passphrase' };
  const terminal = drawbridgeIn(100, ['chat', ...args, '--as', name, '--folder', folder], env);
  try {
    await terminal.until(/Password of .*: /);
    terminal.type(`${password}\r`);
    const isIn = terminal.until(/connected\. \/help/).then(() => terminal.type('/quit\r'));
    isIn.catch(() => {});
    const code = await terminal.ended;
    return { code, screen: terminal.screen() };
  } finally {
    terminal.close();
  }
}

test('a wrong password is called one, long or too short for a new account', { skip: noTerminal }, async () => {
  const first = await chat('anna', join(home.folder, 'first'), 'correct horse battery');
  assert.equal(first.code, 0, first.screen);
  for (const password of ['long, and not the right one', 'short']) {
    const wrong = await chat('anna', join(home.folder, `of-${password.length}`), password);
    assert.equal(wrong.code, 1);
    assert.match(wrong.screen, /The provider does not accept this identifier and password\./);
    assert.match(wrong.screen, /Next: check name and password/);
    assert.doesNotMatch(wrong.screen, /right one|defect|short/);
  }
  const fresh = await chat('zoe', join(home.folder, 'zoe'), 'short');
  assert.match(fresh.screen, /nor could an account be made: .*Choose 8\s+characters/);
});

test('a place where no folder can be kept is refused in words, and never hangs', { skip: noTerminal }, async () => {
  const file = join(home.folder, 'a-file');
  writeFileSync(file, '');
  const places = [file, join(file, 'below'), ...(existsSync('/proc/self') ? ['/proc/drawbridge', '/proc/self/x'] : [])];
  for (const place of places) {
    const refused = await chat('anna', place, 'correct horse battery');
    assert.equal(refused.code, 1, place);
    assert.match(
      refused.screen,
      /keys and history can't be kept in [^\r]+\r\nNext: name a folder on a disk with --folder/,
    );
  }
});
