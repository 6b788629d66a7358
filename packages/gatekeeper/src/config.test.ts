import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { configurationReference } from './testing/config-reference.ts';
import { type ConfigError, loadConfig, parseConfig } from './config.ts';

const smallest = {
  domain: 'citadel.example',
  issuer: 'https://citadel.example',
  tls: { certFile: 'cert.pem', keyFile: 'key.pem' },
  listeners: { http: { port: 443 } },
};
const skylark = { number: 1, name: 'skylark.example', issuer: 'https://skylark.example' };

function bucketAt(endpoint: string): Record<string, unknown> {
  const mediaStorage = { endpoint, region: 'eu-1', bucket: 'media', credentialsFile: 'keys.json' };
  return { ownUsers: { kind: 'embedded', mediaStorage } };
}

function errorsOf(change: Record<string, unknown>): readonly ConfigError[] {
  const result = parseConfig(JSON.parse(JSON.stringify({ ...smallest, ...change })), '/etc/drawbridge');
  return result.kind === 'refused' ? result.errors : [];
}

test('the smallest file is completed with every default, and paths are taken from its folder', () => {
  const result = parseConfig({ ...smallest, providers: [skylark] }, '/etc/drawbridge');
  assert(result.kind === 'loaded', JSON.stringify(result));
  const { config } = result;
  assert.equal(config.mode, 'production');
  assert.equal(config.dataFolder, '/etc/drawbridge/data');
  assert.equal(config.tls?.certFile, '/etc/drawbridge/cert.pem');
  assert.deepEqual(config.listeners, {
    http: { host: '::', port: 443, proxyProtocol: false },
    admin: { host: '127.0.0.1', port: 9320 },
  });
  assert.deepEqual(config.budgets.bundlesPerPair, { burst: 6, refillSeconds: 600 });
  assert.equal(config.limits.oneTimeKeysKept, 200);
  assert.deepEqual(config.providers[0], {
    ...skylark,
    keySetOrigins: [],
    mediaOrigins: [],
    suites: ['signal-1'],
    status: 'live',
    trustClass: 'standard',
    quotas: { enlistments: 10_000_000 },
  });
});

test('a bucket for files is completed, and its paths are taken from the folder', () => {
  const result = parseConfig({ ...smallest, ...bucketAt('https://10.0.0.5:9000') }, '/etc/drawbridge');
  assert(result.kind === 'loaded', JSON.stringify(result));
  const { ownUsers } = result.config;
  assert(ownUsers.kind === 'embedded');
  assert.deepEqual(ownUsers.mediaStorage, {
    endpoint: 'https://10.0.0.5:9000',
    region: 'eu-1',
    bucket: 'media',
    prefix: '',
    pathStyle: true,
    credentialsFile: '/etc/drawbridge/keys.json',
  });
});

test('every mistake names its key and says what to do', () => {
  const cases: [Record<string, unknown>, string, ConfigError['code']][] = [
    [{ domian: 'x' }, 'domian', 'unknown-key'],
    [{ domain: undefined }, 'domain', 'missing-key'],
    [{ domain: 5 }, 'domain', 'wrong-value'],
    [{ ownUsers: { kind: 'embedded', mediaStorage: {} } }, 'ownUsers.mediaStorage.endpoint', 'missing-key'],
    [bucketAt('http://10.0.0.5:9000'), 'ownUsers.mediaStorage', 'wrong-value'],
    [{ domain: 'Citadel.example' }, 'domain', 'wrong-value'],
    [{ issuer: 'http://citadel.example' }, 'issuer', 'wrong-value'],
    [{ issuer: 'https://citadel.example/' }, 'issuer', 'wrong-value'],
    [{ issuer: 'https://CITADEL.example' }, 'issuer', 'wrong-value'],
    [{ issuer: 'https://u:p@citadel.example' }, 'issuer', 'wrong-value'],
    [{ issuer: 'https://citadel.example/x' }, 'issuer', 'contradiction'],
    [{ listeners: {} }, 'listeners.http', 'missing-key'],
    [{ listeners: { http: { port: '443' } } }, 'listeners.http.port', 'wrong-value'],
    [{ listeners: { http: { port: 70_000 } } }, 'listeners.http.port', 'wrong-value'],
    [{ listeners: { http: { port: 0 } } }, 'listeners.http.port', 'contradiction'],
    [{ listeners: { http: { port: 443, proxyProtocol: true } } }, 'listeners.http.proxyProtocol', 'contradiction'],
    [
      {
        trustedProxies: ['10.0.0.1'],
        listeners: { http: { port: 443, proxyProtocol: true }, websocket: { port: 443 } },
      },
      'listeners.websocket.proxyProtocol',
      'contradiction',
    ],
    [{ tls: undefined }, 'tls', 'contradiction'],
    [{ relays: [{ addresses: ['10.0.0.1/33'] }] }, 'relays[0].addresses[0]', 'contradiction'],
    [{ relays: [{ addresses: [] }] }, 'relays[0].addresses', 'wrong-value'],
    [{ relays: [{ addresses: ['10.0.0.1'], endpoint: 'a.example' }] }, 'relays[0].endpoint', 'wrong-value'],
    [{ drain: { noticeSeconds: 9 } }, 'drain.deadlineSeconds', 'contradiction'],
    [{ limits: { mailboxDays: 0 } }, 'limits.mailboxDays', 'wrong-value'],
    [{ budgets: { bundlesPerPair: { burst: 1, refil: 1 } } }, 'budgets.bundlesPerPair.refil', 'unknown-key'],
    [{ budgets: { unlimited: true } }, 'budgets.unlimited', 'contradiction'],
    [{ egress: { allowAddresses: ['127.0.0.1'] } }, 'egress.allowAddresses', 'contradiction'],
    [{ egress: { allowPlainHttpOrigins: ['http://10.0.0.1'] } }, 'egress.allowPlainHttpOrigins', 'contradiction'],
    [{ trustedProxies: ['10.0.0.0/33'] }, 'trustedProxies[0]', 'contradiction'],
    [{ ownUsers: { kind: 'issuer' } }, 'ownUsers.issuer', 'missing-key'],
    [{ ownUsers: { kind: 'embedded', issuer: 'https://x.example' } }, 'ownUsers.issuer', 'unknown-key'],
    [{ providers: [{ ...skylark, number: 0 }] }, 'providers[0].number', 'wrong-value'],
    [{ providers: [{ ...skylark, colour: 'red' }] }, 'providers[0].colour', 'unknown-key'],
    [
      { providers: [{ ...skylark, mediaOrigins: ['https://m.example/x'] }] },
      'providers[0].mediaOrigins',
      'wrong-value',
    ],
    [{ providers: [{ ...skylark, mediaOrigins: ['http://m.example'] }] }, 'providers[0].mediaOrigins', 'wrong-value'],
    [
      { providers: [{ ...skylark, mediaOrigins: ['https://citadel.example'] }] },
      'providers[0].mediaOrigins',
      'contradiction',
    ],
    [
      { providers: [skylark, { ...skylark, name: 'b.example', issuer: 'https://b.example' }] },
      'providers[1].number',
      'contradiction',
    ],
    [
      { providers: [skylark, { ...skylark, number: 2, issuer: 'https://b.example' }] },
      'providers[1].name',
      'contradiction',
    ],
    [{ providers: [skylark, { ...skylark, number: 2, name: 'b.example' }] }, 'providers[1].issuer', 'contradiction'],
    [{ providers: [{ ...skylark, issuer: 'https://citadel.example/users' }] }, 'providers[0].issuer', 'contradiction'],
    [{ policy: { admittedPairs: [[1, 2]] } }, 'policy.admittedPairs[0]', 'contradiction'],
  ];
  for (const [change, key, code] of cases) {
    const errors = errorsOf(change);
    const error = errors.find(each => each.key === key);
    assert.equal(error?.code, code, `${JSON.stringify(change)} gave ${JSON.stringify(errors)}`);
    assert(error !== undefined && error.message.includes(key.split('[')[0]!) && error.message.length > key.length + 8);
  }
});

test('development allows what production refuses', () => {
  const result = parseConfig(
    {
      mode: 'development',
      domain: 'localhost',
      issuer: 'http://127.0.0.1:8080',
      listeners: { http: { port: 0 } },
      budgets: { unlimited: true },
      egress: { allowAddresses: ['127.0.0.1', '::1'], allowPlainHttpOrigins: ['http://127.0.0.1:8080'] },
      providers: [{ number: 1, name: 'skylark.example', issuer: 'http://localhost:9000' }],
    },
    '/',
  );
  assert.equal(result.kind, 'loaded', JSON.stringify(result));
});

test('files that are missing, unreadable or not JSON say so', () => {
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-config-'));
  try {
    const file = join(folder, 'gatekeeper.json');
    const codeOf = (): unknown => {
      const result = loadConfig(file);
      return result.kind === 'refused' ? result.errors.map(error => [error.code, error.key]) : 'loaded';
    };
    assert.deepEqual(codeOf(), [['file-missing', '']]);
    writeFileSync(file, '{"domain": ');
    assert.deepEqual(codeOf(), [['not-json', '']]);
    writeFileSync(file, JSON.stringify(smallest));
    assert.deepEqual(codeOf(), [
      ['file-missing', 'tls.certFile'],
      ['file-missing', 'tls.keyFile'],
    ]);
    writeFileSync(join(folder, 'cert.pem'), '');
    writeFileSync(join(folder, 'key.pem'), '');
    assert.equal(codeOf(), 'loaded');
    if (process.getuid?.() !== 0) {
      chmodSync(join(folder, 'key.pem'), 0);
      assert.deepEqual(codeOf(), [['file-unreadable', 'tls.keyFile']]);
    }
    const asFolder = loadConfig(folder);
    assert(asFolder.kind === 'refused' && asFolder.errors[0]?.code === 'file-unreadable');
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('any JSON gives a configuration or errors with a message', () => {
  const keys = fc.constantFrom(
    'domain',
    'issuer',
    'listeners',
    'providers',
    'limits',
    'budgets',
    'ownUsers',
    'egress',
    'x',
  );
  fc.assert(
    fc.property(fc.dictionary(keys, fc.jsonValue(), { maxKeys: 6 }), change => {
      const result = parseConfig({ ...smallest, ...change }, '/');
      return result.kind === 'loaded' || result.errors.every(error => error.message.length > 5);
    }),
    { numRuns: 300 },
  );
  fc.assert(
    fc.property(fc.jsonValue(), value => parseConfig(value, '/').kind === 'refused'),
    { numRuns: 100 },
  );
});

test('docs/operations/configuration.md is the reference of this schema', () => {
  const text = readFileSync(new URL('../../../docs/operations/configuration.md', import.meta.url), 'utf8');
  assert(
    text.includes(configurationReference()),
    'print it again: node packages/gatekeeper/src/testing/config-reference.ts',
  );
});
