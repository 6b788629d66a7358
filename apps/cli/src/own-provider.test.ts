// A provider of one's own beside the sandbox and in a new gatekeeper's configuration: people of it are really reached.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parseConfig } from '@drawbridge/gatekeeper/config';
import { type Client, ClientError, openClient } from '@drawbridge/client';
import { createDevelopmentAuthority } from '@drawbridge/identity/development-certificates';
import { createProvider, type Provider } from '@drawbridge/provider/provider';
import { CommandError } from './command-error.ts';
import { freePorts, loopbackAddresses } from './dev-config.ts';
import { type OwnProviderFlags, readOwnProvider } from './own-provider.ts';
import { startSandbox } from './sandbox-run.ts';

const folder = mkdtempSync(join(tmpdir(), 'drawbridge-own-provider-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const authority = createDevelopmentAuthority({ nowMs: Date.now() });
const providerCa = join(folder, 'own-ca.pem');
writeFileSync(providerCa, authority.ca);

/** The provider begins after the sandbox: its keys are looked for again after a pause. */
async function enlist(client: Client): Promise<void> {
  for (;;) {
    const error: unknown = await client.account.enlist().then(
      () => undefined,
      (reason: unknown) => reason,
    );
    if (error === undefined) return;
    if (!(error instanceof ClientError) || error.code !== 'rate-limited') throw error;
    await new Promise(resolve => setTimeout(resolve, 200));
  }
}

test('unfit options are named', () => {
  const good = 'https://localhost:8443/interop';
  const unfit: [string, OwnProviderFlags][] = [
    ['--provider ', { provider: 'localhost:8443' }],
    ['--provider ', { provider: `${good}/` }],
    ['--provider ', { provider: 'http://id.example' }],
    ['--provider ', { provider: 'https://LOCALHOST:8443' }],
    ['--provider-name', { provider: good, providerName: 'a@b' }],
    ['--provider-wake-ups', { provider: good, providerWakeUps: 'http://id.example/wake' }],
    ['--provider-ca', { provider: good, providerCa: fileURLToPath(import.meta.url) }],
    ['there is no --provider', { providerName: 'own.example' }],
  ];
  for (const [words, flags] of unfit) {
    const refused = (error: unknown): boolean =>
      error instanceof CommandError && error.exitCode === 2 && error.message.startsWith(words) && error.nextStep !== '';
    assert.throws(() => readOwnProvider(flags), refused, JSON.stringify(flags));
  }
  assert.equal(readOwnProvider({}), undefined);
  assert.deepEqual(readOwnProvider({ provider: 'http://localhost:8080' })?.plainHttpOrigins, ['http://localhost:8080']);
});

test('init --development registers the provider, with its authority; production is left to the operator', async () => {
  const run = async (...args: string[]): Promise<number | null> => {
    const main = fileURLToPath(new URL('./main.ts', import.meta.url));
    const all = ['--conditions=drawbridge-source', main, 'gatekeeper', 'init', ...args];
    const child = spawn(process.execPath, all, { stdio: 'ignore' });
    return await new Promise(resolve => child.on('exit', resolve));
  };
  const home = join(folder, 'citadel');
  const own = ['--provider', 'https://localhost:8443/interop', '--provider-name', 'own.example'];
  assert.equal(await run(home, '--development', ...own, '--provider-ca', providerCa), 0);
  const parsed = parseConfig(JSON.parse(readFileSync(join(home, 'gatekeeper.json'), 'utf8')), home);
  assert.ok(parsed.kind === 'loaded');
  const [provider] = parsed.config.providers;
  assert.deepEqual(
    [
      provider?.number,
      provider?.name,
      provider?.issuer,
      provider?.wakeUpUrl,
      provider?.eventsUrl,
      provider?.mediaOrigins,
    ],
    [
      ...[1, 'own.example', 'https://localhost:8443/interop', 'https://localhost:8443/interop/v1/wake-ups'],
      'https://localhost:8443/interop/v1/events',
      ['https://localhost:8443'],
    ],
  );
  const trusted = readFileSync(parsed.config.egress.caFile ?? '', 'utf8');
  assert.ok(
    trusted.includes(authority.ca.trim()) && trusted.includes(readFileSync(join(home, 'pki/ca.pem'), 'utf8').trim()),
  );
  const production = join(folder, 'production');
  assert.equal(await run(production, '--domain', 'citadel.example', ...own), 2);
  assert.equal(existsSync(production), false);
});

/** A service with a login of its own: its app has no password, and gets proofs and a session from the service. */
async function sendFileByOwnLogin(at: {
  readonly provider: Provider;
  readonly bob: Client;
  readonly closers: (() => Promise<unknown>)[];
  readonly gatekeeper: string;
  readonly ca: string;
}): Promise<void> {
  const { provider, bob, gatekeeper, ca } = at;
  await provider.directory.register?.('dora', randomBytes(16).toString('hex'));
  const dora = await openClient({
    ...{ folder: join(folder, 'people', 'dora'), key: new Uint8Array(32).fill(7), gatekeeper, ca },
    proofSource: async request => {
      const issue = await provider.issueProof('dora', request);
      assert.ok(issue.kind === 'issued');
      return issue.proof;
    },
    mediaSession: async () => {
      const begun = await provider.beginSession('dora');
      assert.ok(begun.kind === 'begun' && begun.mediaUrl !== undefined);
      return { session: begun.session, mediaUrl: begun.mediaUrl };
    },
  });
  at.closers.push(() => dora.close());
  await enlist(dora);
  await dora.connect();
  const bytes = randomBytes(200_000);
  const [sent, saved] = [join(folder, 'sent.bin'), join(folder, 'saved.bin')];
  writeFileSync(sent, bytes);
  const { id } = await dora.files.send({ provider: 'localhost', identifier: 'bob' }, { path: sent });
  for await (const message of bob.messages()) {
    if (message.id !== id) continue;
    await bob.files.save(message, 0, saved);
    break;
  }
  assert.ok(readFileSync(saved).equals(bytes));
}

test('people of an own provider and of the sandbox write to each other, and the sleeping one is woken', async t => {
  const closers: (() => Promise<unknown>)[] = [];
  t.after(async () => {
    for (const close of closers.reverse()) await close();
  });
  const [port] = await freePorts(1);
  const issuer = `https://localhost:${port}/interop`;
  const sandbox = await startSandbox({
    ...{ data: join(folder, 'sandbox'), basePort: 0, accounts: 1, domain: 'localhost', host: '127.0.0.1' },
    ...{ unlimited: false, tls: true, verbose: false },
    ownProvider: readOwnProvider({ provider: issuer, providerCa })!,
  });
  closers.push(sandbox.close);
  const { ports, ca } = sandbox.ready;
  const gatekeeper = `https://localhost:${ports.http}`;
  const woken = Promise.withResolvers<string>();
  const provider = await createProvider({
    ...{ issuer, gatekeepers: [{ issuer: gatekeeper }], dataFolder: join(folder, 'own'), registration: 'open' },
    ...{ media: {}, onWakeUp: woken.resolve },
    egress: { allow: { addresses: loopbackAddresses, ca: readFileSync(ca, 'utf8') } },
  });
  closers.push(provider.close);
  await provider.listen({ host: '127.0.0.1', port: port!, tls: authority.issue(['localhost']) });
  const bundle = join(folder, 'both.pem');
  writeFileSync(bundle, `${readFileSync(ca, 'utf8')}\n${authority.ca}`);
  const person = async (identifier: string, url: string): Promise<Client> => {
    const client = await openClient({
      ...{ folder: join(folder, 'people', identifier), key: new Uint8Array(32).fill(7), gatekeeper, ca: bundle },
      provider: { url, identifier, password: 'correct horse', signUp: true },
    });
    closers.push(() => client.close());
    await enlist(client);
    await client.connect();
    return client;
  };
  const anna = await person('anna', issuer);
  const bob = await person('bob', `https://localhost:${ports.sandbox}/users`);
  const hear = async (client: Client): Promise<string | undefined> => {
    for await (const message of client.messages()) return message.text;
    return undefined;
  };
  await bob.account.optIn('provider.localhost');
  await anna.send({ provider: 'localhost', identifier: 'bob' }, { text: 'hello' });
  assert.equal(await hear(bob), 'hello');
  await sendFileByOwnLogin({ provider, bob, closers, gatekeeper, ca: bundle });
  const chloe = await person('chloe', `https://localhost:${ports.sandbox}/skylark`);
  await chloe.send({ provider: 'provider.localhost', identifier: 'anna' }, { text: 'over there' });
  assert.equal(await hear(anna), 'over there');
  await anna.close();
  await chloe.send({ provider: 'provider.localhost', identifier: 'anna' }, { text: 'are you asleep?' });
  assert.equal(await woken.promise, 'anna');
});
