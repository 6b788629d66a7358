// A sandbox started as a command, for tests that come from outside: ports, accounts, fresh proofs. Knows nothing of XMPP.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { SandboxAccount } from '@drawbridge/cli/sandbox-accounts';
import type { SandboxReady } from '@drawbridge/cli/sandbox-run';

const startFile = fileURLToPath(new URL('../../apps/cli/bin/drawbridge.js', import.meta.url));

export type RunningSandbox = {
  readonly ready: SandboxReady;
  readonly accounts: readonly SandboxAccount[];
  proof(account: string, transport?: 'xmpp' | 'compact'): Promise<string>;
  stop(): Promise<void>;
};

export async function startSandbox(accounts: number, ...options: string[]): Promise<RunningSandbox> {
  return await startSandboxWithin(undefined, accounts, ...options);
}

/** Each of its processes may have `maxFiles` files open. */
export async function startSandboxWithin(
  maxFiles: number | undefined,
  accounts: number,
  ...options: string[]
): Promise<RunningSandbox> {
  const limit = maxFiles === undefined ? '' : `ulimit -n ${maxFiles}; `;
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-foreign-'));
  const args = ['sandbox', '--json', '--base-port', '0', '--data', folder, '--accounts', String(accounts), ...options];
  const command = [process.execPath, startFile, ...args];
  const child = spawn('/bin/sh', ['-c', `${limit}exec "$@"`, 'sh', ...command], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise<void>(resolve => child.once('close', () => resolve()));
  const line = await new Promise<string>((resolve, reject) => {
    let out = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      out += text;
      if (out.includes('\n')) resolve(out.slice(0, out.indexOf('\n')));
    });
    child.once('close', () => reject(new Error('the sandbox ended before it was ready')));
  });
  const ready = JSON.parse(line) as SandboxReady;
  const lines = readFileSync(ready.accounts, 'utf8').split('\n').slice(0, -1);
  return {
    ready,
    accounts: lines.map(each => JSON.parse(each) as SandboxAccount),
    async proof(account, transport = 'xmpp') {
      const url = `http://127.0.0.1:${ready.ports.sandbox}/sandbox/proof?account=${account}&transport=${transport}`;
      const answer = await fetch(url);
      assert.equal(answer.status, 200);
      return await answer.text();
    },
    async stop() {
      child.kill('SIGTERM');
      await ended;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** An envelope message as any client can write it: the gatekeeper can't know what the ciphertext is. */
export function envelopeXml(to: string, id: string, fromDevice: number, ciphertext: string): string {
  return (
    `<message xmlns='jabber:client' to='${to}' id='${id}' type='chat'>` +
    `<envelope xmlns='urn:drawbridge:e2ee:1' suite='signal-1' from-device='${fromDevice}'>` +
    `<ciphertext device='1' kind='session'>${ciphertext}</ciphertext></envelope></message>`
  );
}
