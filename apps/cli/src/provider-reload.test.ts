// SIGHUP on a running provider: the new certificate is served; a key that doesn't fit leaves the old one.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ensureDevPki } from './dev-pki.ts';
import { RunningGatekeeper as RunningCommand, commandFile, servedSerial } from './testing/running-gatekeeper.ts';

test('SIGHUP takes the certificate again, and keeps the old one when the files are unfit', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-provider-reload-'));
  const [one, two] = [await ensureDevPki(join(folder, 'one')), await ensureDevPki(join(folder, 'two'))];
  const file = join(folder, 'provider.json');
  const options = {
    data: 'data',
    issuer: 'https://id.skylark.example',
    gatekeeper: ['https://citadel.example'],
    port: 0,
  };
  writeFileSync(file, JSON.stringify({ ...options, tlsCert: one.certFile, tlsKey: one.keyFile }));
  const provider = new RunningCommand(
    spawn(process.execPath, ['--conditions=drawbridge-source', commandFile, 'provider', '--config', file], {
      stdio: ['ignore', 'pipe', 'pipe'],
    }),
  );
  try {
    const port = Number((await provider.line('listening'))['port']);
    const before = await servedSerial(port, 'http/1.1');
    copyFileSync(two.certFile, one.certFile);
    provider.signal('SIGHUP');
    await provider.line('reload-refused');
    assert.equal(await servedSerial(port, 'http/1.1'), before);
    copyFileSync(two.keyFile, one.keyFile);
    provider.signal('SIGHUP');
    await provider.line('reloaded');
    assert.notEqual(await servedSerial(port, 'http/1.1'), before);
    assert.equal(await provider.stop(), 0);
  } finally {
    provider.signal('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  }
});
