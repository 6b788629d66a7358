// A provider's whole life at a gatekeeper, as its engineer and the operator live it: two processes, commands, and people on
// open streams over real sockets. Each step is in force on those streams within two seconds.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { after, test, type TestContext } from 'node:test';
import { type Client, openClient } from '@drawbridge/client';
import { freePorts } from './dev-config.ts';
import {
  commandFile,
  type GatekeeperFolder,
  makeGatekeeperFolder,
  type RunningGatekeeper,
} from './testing/running-gatekeeper.ts';

/** A promise of the issue: a step is in force on open streams so soon. */
const inForceMs = 2_000;

let home: GatekeeperFolder;
let gatekeeper: RunningGatekeeper | undefined;
let provider: ChildProcess | undefined;
const clients: Client[] = [];
after(async () => {
  for (const client of clients) await client.close();
  provider?.kill('SIGKILL');
  gatekeeper?.signal('SIGKILL');
  await gatekeeper?.ended;
  home?.remove();
});

type Ran = { readonly code: number | null; readonly out: string; readonly err: string };

async function run(args: readonly string[]): Promise<Ran> {
  const child = spawn(process.execPath, ['--conditions=drawbridge-source', commandFile, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const texts = [child.stdout, child.stderr].map(async stream => (await stream.setEncoding('utf8').toArray()).join(''));
  const [code] = (await once(child, 'exit')) as [number | null];
  const [out = '', err = ''] = await Promise.all(texts);
  return { code, out, err };
}

async function startProvider(port: number): Promise<void> {
  const { folder, config } = home;
  provider = spawn(
    process.execPath,
    [
      ...['--conditions=drawbridge-source', commandFile, 'provider'],
      ...['--data', join(folder, 'skylark'), '--issuer', `https://localhost:${port}`],
      ...['--gatekeeper', String(config['issuer']), '--host', '127.0.0.1', '--port', String(port)],
      ...['--tls-cert', join(folder, 'pki/server.pem'), '--tls-key', join(folder, 'pki/server-key.pem')],
      ...['--registration', 'open', '--development-ca', home.pki.caFile],
    ],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  for (let tries = 0; tries < 600; tries++) {
    const socket = connect(port, '127.0.0.1');
    const isUp = await new Promise<boolean>(resolve =>
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false)),
    );
    socket.destroy();
    if (isUp) return;
    await new Promise(resolve => setTimeout(resolve, 100));
  }
  throw new Error('the provider does not listen');
}

async function person(identifier: string, issuer: string): Promise<Client> {
  const folder = join(home.folder, 'people', identifier);
  mkdirSync(folder, { recursive: true });
  const client = await openClient({
    folder,
    key: new Uint8Array(32).fill(7),
    gatekeeper: String(home.config['issuer']),
    provider: { url: issuer, identifier, password: `password of ${identifier}`, signUp: true },
    ca: home.pki.caFile,
  });
  clients.push(client);
  return client;
}

async function online(client: Client): Promise<void> {
  while (client.status.kind !== 'online') await new Promise(resolve => setTimeout(resolve, 20));
}

/** The stream ends within two seconds of the command's end; the command itself has waited for the answer already. */
async function thrownOut(t: TestContext, client: Client, words: string): Promise<void> {
  const since = performance.now();
  while (client.status.kind === 'online' && performance.now() - since < inForceMs) {
    await new Promise(resolve => setTimeout(resolve, 5));
  }
  assert.notEqual(client.status.kind, 'online', words);
  t.diagnostic(`${words}: ${Math.round(performance.now() - since)} ms after the command ended`);
}

test('a provider applies, tests in the sandbox, goes live, is suspended and resumed, loses a key, and leaves', {
  timeout: 300_000,
}, async t => {
  home = await makeGatekeeperFolder();
  home.write({ applications: { sandboxPeople: ['tess'] }, contact: { name: 'Citadel', email: 'dma@citadel.example' } });
  gatekeeper = await home.start();
  const [port] = await freePorts(1);
  const issuer = `https://localhost:${port}`;
  const say = (...args: string[]): Promise<Ran> =>
    run([
      ...['provider', ...args, '--data', join(home.folder, 'skylark'), '--issuer', issuer],
      ...['--to', String(home.config['issuer']), '--development-ca', home.pki.caFile],
    ]);
  const admin = async (...args: string[]): Promise<Ran> => {
    const ran = await run(['admin', ...args, '--config', home.file]);
    assert.equal(ran.code, 0, ran.err);
    return ran;
  };
  const contact = ['--contact-name', 'Skylark', '--contact-email', 'interop@skylark.example'];
  const offered = (...more: string[]): Promise<Ran> =>
    run(['offer', String(home.config['issuer']), '--development-ca', home.pki.caFile, ...more]);
  const offer = await offered('--output', join(home.folder, 'offer.jws'));
  assert.equal(offer.code, 0, offer.err);
  assert.match(offer.out, /"email": "dma@citadel\.example"/);
  assert.match((await offered('--key', 'A'.repeat(43))).err, /the signature is not of that key/);
  const early = await say('apply', ...contact, '--accept', '1');
  assert.match(early.err, /holds no signing keys\nNext: start the provider once/);
  await startProvider(port!);
  const read = await say('apply', ...contact);
  assert.equal(read.code, 2);
  assert.match(read.out, /Agreement, version 1[^]*price: Free of charge/);
  assert.match(read.err, /add --accept 1/);
  const applied = await say('apply', ...contact, '--accept', '1', '--json');
  assert.equal(applied.code, 0, applied.err);
  const { application } = JSON.parse(applied.out) as { application: string };
  assert.match(
    (await say('apply', ...contact, '--accept', '1')).err,
    /Application refused\nNext: this issuer has applied/,
  );

  const mia = await person('mia', issuer);
  await assert.rejects(mia.account.enlist(), 'nobody enlists before an operator has decided');
  assert.match((await admin('applications', '--stage', 'applied')).out, /interop@skylark\.example/);
  await admin('admit', application, '--reason', 'contact checked');
  await mia.account.enlist();
  await mia.connect();
  const [tess, bob] = [await home.person('tess'), await home.person('bob')];
  clients.push(tess, bob);
  for (const client of [tess, bob]) await client.connect();
  await tess.account.optIn('localhost');
  await assert.rejects(bob.account.optIn('localhost'), 'only those who test reach a provider in the sandbox');
  const heard = (async () => {
    for await (const event of tess.events()) {
      if (event.kind === 'message' && event.change === 'new') return JSON.stringify(event.message);
    }
    return '';
  })();
  await mia.send({ provider: 'citadel.example', identifier: 'tess' }, { kind: 'text', text: 'out of the sandbox?' });
  assert.match(await heard, /out of the sandbox\?/);

  await admin('go-live', '1000', '--reason', 'conformance passed');
  assert.equal(mia.status.kind, 'online', 'nothing ends for those who are there');
  await bob.account.optIn('localhost');
  await admin('suspend-provider', '1000', '--reason', 'a key may be stolen');
  await thrownOut(t, mia, 'suspended');
  assert.match((await say('standing')).out, /stage +suspended[^]*step suspended {2}reason a key may be stolen/);
  await admin('resume-provider', '1000', '--reason', 'looked into');
  await mia.connect();
  await online(mia);

  provider!.kill('SIGTERM');
  await once(provider!, 'exit');
  assert.equal((await run(['provider', 'rotate-keys', '--data', join(home.folder, 'skylark')])).code, 0);
  await startProvider(port!);
  assert.equal(mia.status.kind, 'online');
  const ended = (async () => {
    for await (const event of mia.events()) if (event.kind === 'status' && event.status.kind !== 'online') return;
  })();
  await admin('revoke-keys', '1000', '--reason', 'key stolen');
  await ended;
  await online(mia);

  const shown = await say('leave', '--reason', 'the service ends');
  assert.deepEqual([shown.code, mia.status.kind], [2, 'online']);
  const left = await say('leave', '--reason', 'the service ends', '--yes');
  assert.match(left.out, /stage +withdrawn/);
  await thrownOut(t, mia, 'withdrawn');
  assert.equal(tess.status.kind, 'online');
  const audit = await run(['admin', 'audit', '--subject', '1000', '--config', home.file]);
  assert.match(audit.out, /actor provider {2}action provider-withdrawn .*reason the service ends/);
  assert.equal((await run(['admin', 'audit', 'verify', '--config', home.file])).code, 0);
  assert.doesNotMatch(JSON.stringify(gatekeeper.lines), /mia|tess|skylark/, 'nobody is in the log');
});
