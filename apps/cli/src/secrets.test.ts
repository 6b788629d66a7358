// Secrets typed in a real pseudo-terminal: the question stays, the secret is never shown, Ctrl-C ends in words.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { drawbridgeIn, noTerminal } from './testing/terminal.ts';

const folder = mkdtempSync(join(tmpdir(), 'drawbridge-secrets-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const chat = ['chat', '--gatekeeper', 'https://localhost:1', '--provider', 'https://localhost:1', '--as', 'anna'];

/** Whether the raw text holds sequences that erase a line or go back to its beginning. */
function erases(screen: string): boolean {
  // oxlint-disable-next-line no-control-regex
  return /\u001b\[[0-9;]*[JK]|\u001b\[[0-9;]*G/.test(screen);
}

test('chat asks for both secrets: questions stay, nothing typed is shown', { skip: noTerminal }, async () => {
  const terminal = drawbridgeIn(80, [...chat, '--folder', join(folder, 'one')]);
  const asked = await terminal.until(/Password of anna at https:\/\/localhost:1: /);
  terminal.type('hunter2 is not it\u007f\u007f it\r');
  await terminal.until(/Passphrase of .+one: /, asked);
  terminal.type('correct horse\r');
  // Nothing listens on port 1: the secrets were taken, and the next failure is told in words.
  await terminal.until(/drawbridge: The server cannot be reached/);
  assert.equal(await terminal.ended, 1);
  const screen = terminal.screen();
  assert.doesNotMatch(screen, /hunter|horse|defect|\n {4}at /);
  assert.equal(erases(screen.slice(0, screen.indexOf('\r\u001b[Kkeys and history'))), false, JSON.stringify(screen));
});

test('Ctrl-C at a question ends in words, with code 130', { skip: noTerminal }, async () => {
  for (const keys of ['\u0003', 'half a pass\u0003']) {
    const terminal = drawbridgeIn(80, [...chat, '--folder', join(folder, 'two')]);
    await terminal.until(/Password of anna at .+: /);
    terminal.type(keys);
    assert.equal(await terminal.ended, 130);
    assert.match(terminal.screen(), /drawbridge: stopped/);
    assert.doesNotMatch(terminal.screen(), /half|defect|\n {4}at /);
  }
});

test('Ctrl-D and an empty answer say what to do', { skip: noTerminal }, async () => {
  for (const keys of ['\u0004', '\r']) {
    const terminal = drawbridgeIn(80, [...chat, '--folder', join(folder, 'three')]);
    await terminal.until(/Password of anna at .+: /);
    terminal.type(keys);
    assert.equal(await terminal.ended, 2);
    assert.match(terminal.screen(), /nothing was typed\r?\nNext: type it, or set DRAWBRIDGE_PASSWORD/);
  }
});

test("a provider's new user: the password is not shown either", { skip: noTerminal }, async () => {
  const terminal = drawbridgeIn(80, ['provider', 'add-user', '--data', join(folder, 'skylark'), 'erin']);
  await terminal.until(/Password of erin: /);
  terminal.type('a long enough password\r');
  await terminal.until(/added/);
  assert.equal(await terminal.ended, 0);
  assert.doesNotMatch(terminal.screen(), /long enough/);
});
