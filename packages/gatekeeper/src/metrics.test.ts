// Metrics of a running gatekeeper, and the board and alert rules that name them.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parseConfig } from './config.ts';
import { startGatekeeper } from './main.ts';

const operations = new URL('../../../operations/', import.meta.url);
const files = ['grafana/gatekeeper.json', 'prometheus/alerts.yml'].map(name =>
  fileURLToPath(new URL(name, operations)),
);

async function scrape(
  use: (gatekeeper: Awaited<ReturnType<typeof startGatekeeper>>) => Promise<void>,
): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-metrics-'));
  const at = { host: '127.0.0.1', port: 0 };
  const parsed = parseConfig(
    {
      mode: 'development',
      domain: 'citadel.example',
      issuer: 'https://citadel.example',
      listeners: { http: at, admin: at, compact: at },
      providers: [{ number: 7, name: 'skylark.example', issuer: 'https://localhost:1' }],
      budgets: { bundlesPerPair: { burst: 1, refillSeconds: 600 } },
    },
    folder,
  );
  assert(parsed.kind === 'loaded');
  const gatekeeper = await startGatekeeper({ config: parsed.config, log: () => {} });
  try {
    await use(gatekeeper);
    const authorization = `Bearer ${readFileSync(join(folder, 'data', 'metrics-token'), 'utf8').trim()}`;
    const answer = await fetch(`http://127.0.0.1:${gatekeeper.ports.admin}/metrics`, { headers: { authorization } });
    assert.equal(answer.status, 200);
    const providers = await fetch(`http://127.0.0.1:${gatekeeper.ports.admin}/admin/v1/providers`, {
      headers: { authorization },
    });
    assert.equal(providers.status, 403, 'the metrics credential opens nothing else');
    return await answer.text();
  } finally {
    await gatekeeper.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

test('outcomes are counted, and every name in the board and the rules is exported', async () => {
  const text = await scrape(async ({ control: { login, budgets }, ports }) => {
    const stranger = connect(ports.compact!, '127.0.0.1', () => stranger.write('GET / HTTP/1.1\r\n\r\n'));
    await new Promise(resolve => stranger.resume().once('close', resolve));

    await login.authenticate('nonsense', { transport: 'xmpp', nowMs: Date.now() });
    for (let i = 0; i < 3; i++) budgets.take([{ budget: 'bundlesPerPair', key: 'pair' }]);
  });
  assert.match(text, /^drawbridge_logins_total\{outcome="[a-z-]+"\} 1$/m);
  assert.match(text, /^drawbridge_budget_refusals_total\{budget="bundlesPerPair"\} 2$/m);
  assert.match(text, /^drawbridge_provider_sessions\{provider="7"\} 0$/m);
  assert.match(text, /^drawbridge_stream_errors_total\{condition="[a-z-]+"\} 1$/m);
  assert.match(text, /^drawbridge_mailbox_entries 0$/m);
  assert.match(text, /^drawbridge_mailbox_devices 0$/m);
  assert.match(text, /^drawbridge_mailbox_oldest_seconds 0$/m);
  assert.match(text, /^drawbridge_provider_enlistments\{provider="7"\} 0$/m);
  assert.match(text, /^drawbridge_provider_mailbox_bytes\{provider="0"\} 0$/m);
  assert.match(text, /^drawbridge_storage_works 1$/m);
  assert.match(text, /^drawbridge_wake_ups_total\{outcome="given-up"\} 0$/m);
  assert.match(text, /^drawbridge_database_bytes [1-9]/m);
  const exported = new Set(Array.from(text.matchAll(/^# TYPE (drawbridge_\w+) /gm), match => match[1]));
  for (const file of files) {
    const named = readFileSync(file, 'utf8').match(/drawbridge_\w+/g) ?? [];
    assert.ok(named.length > 5, file);
    assert.deepEqual(
      named.filter(name => !exported.has(name)),
      [],
      file,
    );
  }
});

test('promtool takes the alert rules, where it is there', t => {
  const checked = spawnSync('promtool', ['check', 'rules', files[1]!], { encoding: 'utf8' });
  if (checked.error !== undefined) return t.skip('no promtool: install the prometheus package');
  return assert.equal(checked.status, 0, checked.stdout + checked.stderr);
});
