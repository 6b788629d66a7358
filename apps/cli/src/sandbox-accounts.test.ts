// The accounts file: what is written is read, anything else is refused with the next step.
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { CommandError } from './command-error.ts';
import { type DeviceKeyJwk, readAccounts, type SandboxAccount, writeAccounts } from './sandbox-accounts.ts';

const file = join(mkdtempSync(join(tmpdir(), 'drawbridge-accounts-')), 'accounts.jsonl');

function account(index: number): SandboxAccount {
  const provider = index % 2 === 0 ? 1 : 0;
  const deviceKey = generateKeyPairSync('x25519').privateKey.export({ format: 'jwk' }) as DeviceKeyJwk;
  const jid = `${provider}-aaaaaaaaaaaaaaaaaaaaaaaaa${'bc'[provider]}@localhost/1`;
  return { account: `u${index}`, jid, device: 1, identifier: `u${index}`, provider, deviceKey };
}

test('accounts are read as they were written, by their owner alone', () => {
  assert.deepEqual(readAccounts(join(file, '..', 'none.jsonl')), []);
  const accounts = [account(0), account(1), account(2)];
  writeAccounts(file, accounts);
  assert.deepEqual(readAccounts(file), accounts);
  assert.equal(statSync(file).mode & 0o777, 0o600);
});

test('damaged files are refused', () => {
  const [first, second] = [account(0), account(1)];
  const line = (value: unknown): string => `${JSON.stringify(value)}\n`;
  const damaged = [
    line(first).slice(0, -1),
    `${line(first)}{"account":`,
    line(second),
    line({ ...first, jid: 'u0@localhost/1' }),
    line({ ...first, device: 2 }),
    line({ ...first, provider: 0 }),
    line({ ...first, deviceKey: { ...first.deviceKey, x: second.deviceKey.x } }),
    line({ ...first, deviceKey: { kty: 'OKP', crv: 'X25519', x: first.deviceKey.x } }),
    'null\n',
    '\n',
  ];
  for (const text of damaged) {
    writeFileSync(file, text);
    assert.throws(
      () => readAccounts(file),
      (error: unknown) => error instanceof CommandError && /start again/.test(error.nextStep),
      text,
    );
  }
});
