// The sandbox as its users meet it: started as a command, spoken to over real sockets, ended in every way there is.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { createPublicKey } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, connect as connectTcp } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { compactTransport } from '@drawbridge/client/connection/transport-compact';
import { freePorts } from '@drawbridge/cli/dev-config';
import type { SandboxAccount } from '@drawbridge/cli/sandbox-accounts';
import type { SandboxReady } from '@drawbridge/cli/sandbox-run';
import { parseKeySet } from '@drawbridge/identity/key-set';
import { verifyOwnershipProof } from '@drawbridge/identity/verify-ownership-proof';
import { keyPairFromPrivateKey } from '@drawbridge/noise/node-crypto';
import { attribute, element } from '@drawbridge/wire/element';

const startFile = fileURLToPath(new URL('../../apps/cli/bin/drawbridge.js', import.meta.url));
const folders: string[] = [];
const children = new Set<ChildProcess>();

after(() => {
  for (const child of children) child.kill('SIGKILL');
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-sandbox-'));
  folders.push(folder);
  return folder;
}

type Ended = {
  readonly code: number | null;
  readonly signal: string | null;
  readonly out: string;
  readonly err: string;
};
type Started = { readonly child: ChildProcess; readonly firstLine: Promise<string>; readonly ended: Promise<Ended> };

function start(...args: string[]): Started {
  const child = spawn(process.execPath, [startFile, 'sandbox', ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  children.add(child);
  let out = '';
  let err = '';
  const { promise: firstLine, resolve } = Promise.withResolvers<string>();
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text;
    if (out.includes('\n')) resolve(out.slice(0, out.indexOf('\n')));
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
  const ended = new Promise<Ended>(done => {
    child.on('close', (code, signal) => {
      children.delete(child);
      resolve(`ended: ${err}`);
      done({ code, signal, out, err });
    });
  });
  return { child, firstLine, ended };
}

async function startReady(...args: string[]): Promise<Started & { readonly ready: SandboxReady }> {
  const started = start('--json', '--base-port', '0', ...args);
  const line = await started.firstLine;
  assert.match(line, /^\{/, line);
  return { ...started, ready: JSON.parse(line) as SandboxReady };
}

function readAccounts(ready: SandboxReady): SandboxAccount[] {
  const lines = readFileSync(ready.accounts, 'utf8').split('\n').slice(0, -1);
  return lines.map(line => JSON.parse(line) as SandboxAccount);
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function gone(pid: number, withinMs: number): Promise<boolean> {
  for (const untilMs = performance.now() + withinMs; performance.now() < untilMs; ) {
    if (!isRunning(pid)) return true;
    await new Promise(resolve => setTimeout(resolve, 20));
  }
  return false;
}

async function fetchProof(ready: SandboxReady, account: string, transport = 'xmpp'): Promise<string> {
  const url = `http://127.0.0.1:${ready.ports.sandbox}/sandbox/proof?account=${account}&transport=${transport}`;
  const response = await fetch(url);
  assert.equal(response.status, 200);
  return await response.text();
}

/** What the server answers to OAUTHBEARER with this token: the bytes up to `<success` or `<failure`. */
async function logIn(ready: SandboxReady, token: string, plaintext = false): Promise<string> {
  const socket = plaintext
    ? connectTcp({ host: '127.0.0.1', port: ready.ports.xmpp })
    : connectTls({
        host: '127.0.0.1',
        port: ready.ports.xmpps,
        servername: ready.domain,
        ca: readFileSync(ready.ca),
        ALPNProtocols: ['xmpp-client'],
      });
  socket.setEncoding('utf8');
  socket.write(
    `<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='${ready.domain}' version='1.0'>`,
  );
  let text = '';
  let asked = false;
  try {
    for await (const chunk of socket as AsyncIterable<string>) {
      text += chunk;
      if (!asked && text.includes('</stream:features>')) {
        asked = true;
        const response = Buffer.from(`n,,\u0001auth=Bearer ${token}\u0001\u0001`).toString('base64');
        socket.write(`<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='OAUTHBEARER'>${response}</auth>`);
      }
      if (text.includes('<challenge'))
        socket.write("<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>AQ==</response>");
      if (/<success|<failure/.test(text)) return text;
    }
    return text;
  } finally {
    socket.destroy();
  }
}

test('a sandbox: first line, accounts, proofs, logins, a second start, a clean end', async t => {
  const data = newFolder();
  const startedMs = performance.now();
  const sandbox = await startReady('--data', data, '--accounts', '10');
  const readyMs = performance.now() - startedMs;
  t.diagnostic(`ready with 10 accounts in ${Math.round(readyMs)} ms`);
  const { ready } = sandbox;
  let accounts: SandboxAccount[] = [];

  await t.test('the first line says exactly what is where', () => {
    const base = ready.ports.xmpp;
    assert.deepEqual(ready, {
      ready: true,
      domain: 'localhost',
      ports: {
        xmpp: base,
        xmpps: base + 1,
        websocket: base + 2,
        compact: base + 3,
        http: base + 4,
        sandbox: base + 5,
        admin: base + 6,
      },
      ca: join(data, 'pki', 'ca.pem'),
      accounts: join(data, 'accounts.jsonl'),
      pids: { gatekeeper: ready.pids.gatekeeper },
    });
    assert.ok(isRunning(ready.pids.gatekeeper));
  });

  await t.test('even accounts are the third party, odd ones native; each has a device and its key', () => {
    accounts = readAccounts(ready);
    assert.equal(accounts.length, 10);
    for (const [index, account] of accounts.entries()) {
      const provider = index % 2 === 0 ? 1 : 0;
      const { deviceKey, jid, ...rest } = account;
      assert.deepEqual(rest, { account: `u${index}`, device: 1, identifier: `u${index}`, provider });
      assert.match(jid, new RegExp(`^${provider}-[a-z2-7]{26}@localhost/1$`));
      assert.deepEqual(Object.keys(deviceKey).sort(), ['crv', 'd', 'kty', 'x']);
    }
  });

  await t.test('proofs verify with the key sets that the issuers publish', async () => {
    const text = await (await fetch(`http://127.0.0.1:${ready.ports.sandbox}/sandbox/proofs?from=0&count=10`)).text();
    const lines = text.split('\n').slice(0, -1);
    assert.equal(lines.length, 10);
    for (const [index, line] of lines.entries()) {
      const { proof, ...rest } = JSON.parse(line) as { proof: string; jid: string; account: string; device: number };
      const { account, jid, device, provider } = accounts[index]!;
      assert.deepEqual(rest, { account, jid, device });
      const path = provider === 1 ? 'skylark' : 'users';
      const keys = await (await fetch(`http://localhost:${ready.ports.sandbox}/${path}/jwks.json`)).bytes();
      const set = parseKeySet(keys);
      assert.ok(set !== undefined);
      const verdict = await verifyOwnershipProof(proof, {
        audience: `https://localhost:${ready.ports.http}`,
        nowMs: Date.now(),
        maxLifetimeSeconds: 120,
        issuers: iss =>
          iss === `https://localhost:${ready.ports.sandbox}/${path}`
            ? {
                providerNumber: provider,
                keys: {
                  findKey: async kid => {
                    const key = set.keys.get(kid);
                    return key === undefined ? { kind: 'unknown' } : { kind: 'found', key };
                  },
                },
              }
            : undefined,
        takeProofId: async () => true,
      });
      assert.equal(verdict.kind, 'verified');
    }
  });

  await t.test('people of both providers log in over standard XMPP, and a proof works once', async () => {
    for (const account of ['u0', 'u1']) {
      const token = await fetchProof(ready, account);
      assert.match(await logIn(ready, token), /<success/);
      assert.match(await logIn(ready, token), /<failure[^]*not-authorized/);
    }
    const local = accounts[4]!.jid.split('@')[0]!;
    assert.match(await logIn(ready, await fetchProof(ready, local)), /<success/);
  });

  await t.test(
    'the device keys in the accounts file log in over the compact transport, to the key that the offer names',
    async () => {
      const offer = await fetch(`http://localhost:${ready.ports.http}/.well-known/interop-gatekeeper`);
      const { compactKeys } = (await offer.json()) as {
        compactKeys: { signingKey: Record<string, string>; ciphers: string[] };
      };
      for (const { account, deviceKey } of accounts.slice(0, 2)) {
        const events = Promise.withResolvers<string>();
        const connect = compactTransport({
          target: { host: '127.0.0.1', port: ready.ports.compact },
          deviceKeyPair: keyPairFromPrivateKey(Buffer.from(deviceKey.d, 'base64url'))!,
          offeredCiphers: compactKeys.ciphers,
          pinnedKey: () => createPublicKey({ key: compactKeys.signingKey, format: 'jwk' }),
          knownStaticKey: () => undefined,
          // Kept when the gatekeeper's certificate was verified; the login's answer comes after it.
          keepStaticKey: () => {},
          nowMs: Date.now,
        });
        const transport = connect({
          domain: ready.domain,
          emit: event => {
            if (event.kind === 'element') events.resolve(`${event.element.name} ${attribute(event.element, 'type')}`);
            if (event.kind === 'disconnected') events.resolve(`disconnected: ${transport.failure?.detail}`);
          },
          proof: () => fetchProof(ready, account, 'compact'),
        });
        const bind = element('bind', 'urn:ietf:params:xml:ns:xmpp-bind');
        transport.send(element('iq', 'jabber:client', { type: 'set', id: 'b1' }, [bind]));
        assert.equal(await events.promise, 'iq result');
        transport.close();
      }
    },
  );

  await t.test('own users are opted in: their consent is on disk for the third party', async () => {
    const { DatabaseSync } = await import('node:sqlite');
    const db = new DatabaseSync(join(data, 'gatekeeper', 'gatekeeper.sqlite'), { readOnly: true });
    const optedIn = db
      .prepare('SELECT identifier FROM account JOIN opt_in ON opt_in.account = account.row WHERE opt_in.provider = 1')
      .all()
      .map(row => row['identifier']);
    db.close();
    assert.deepEqual(new Set(optedIn), new Set(['u1', 'u3', 'u5', 'u7', 'u9']));
  });

  await t.test('people of one’s own register, begin a session and get proofs', async () => {
    const issuer = `http://localhost:${ready.ports.sandbox}/skylark`;
    const post = async (path: string, body: object, bearer?: string): Promise<Response> =>
      await fetch(`${issuer}${path}`, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          ...(bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }),
        },
        body: JSON.stringify(body),
      });
    const anna = { identifier: 'anna', password: 'correct horse' };
    assert.equal((await post('/v1/users', anna)).status, 201);
    assert.equal((await post('/v1/users', { ...anna, identifier: 'u77' })).status, 409);
    const { session } = (await (await post('/v1/sessions', anna)).json()) as { session: string };
    const jkt = 'A'.repeat(43);
    const wanted = { audience: `https://localhost:${ready.ports.http}`, jkt, transport: 'http' };
    assert.equal((await post('/v1/ownership-proofs', wanted, session)).status, 200);
    assert.equal((await post('/v1/sessions', { identifier: 'u0', password: 'drawbridge' })).status, 201);
    assert.equal((await post('/v1/sessions', { identifier: 'u0', password: 'wrong horse' })).status, 401);
    assert.equal((await post('/v1/sessions', { identifier: 'u1', password: 'drawbridge' })).status, 401);
  });

  await t.test('the examples on its page work as they stand', async () => {
    const page = await (await fetch(`http://127.0.0.1:${ready.ports.sandbox}/`)).text();
    const example = (from: RegExp): string => {
      const [, code = ''] = from.exec(page) ?? [];
      return code.replaceAll(/^ {2}/gm, '');
    };
    const python = example(/^Python, without any library:\n\n([^]*?)\n\n\S/m);
    assert.match(await runProgram('python3', ['-'], python), /^<success/m);
    const script = example(/^JavaScript, @xmpp\/client .*:\n\n([^]*?)\n\n\S/m);
    const said = await runProgram(
      process.execPath,
      ['--input-type=module', '-'],
      `${script}\nawait xmpp.stop();`,
      ready.ca,
    );
    assert.match(said, new RegExp(`^online as ${accounts[0]!.jid}$`, 'm'));
  });

  await t.test('a second sandbox on the same folder or ports is refused with the next step', async () => {
    const sameFolder = await start('--data', data, '--base-port', '0').ended;
    assert.equal(sameFolder.code, 1);
    assert.match(sameFolder.err, /another sandbox is using/);
    const samePorts = await start('--data', newFolder(), '--base-port', String(ready.ports.xmpp)).ended;
    assert.equal(samePorts.code, 1);
    assert.match(samePorts.err, new RegExp(`port ${ready.ports.xmpp} \\(xmpp\\)[^]*in use[^]*--base-port`));
  });

  await t.test('SIGTERM ends it within 2 s, with exit code 0 and nothing more on standard output', async () => {
    // A stream that is open, and an HTTP connection that is kept alive, hold nothing up.
    const open = connectTls({
      host: '127.0.0.1',
      port: ready.ports.xmpps,
      ca: readFileSync(ready.ca),
      servername: 'localhost',
    });
    open.on('error', () => {});
    await new Promise(resolve => open.once('secureConnect', resolve));
    const stoppedMs = performance.now();
    sandbox.child.kill('SIGTERM');
    const { code, out } = await sandbox.ended;
    const tookMs = performance.now() - stoppedMs;
    t.diagnostic(`ended in ${Math.round(tookMs)} ms`);
    assert.equal(code, 0);
    assert.equal(out.split('\n').length, 2);
    assert.ok(tookMs < 2_000, `${tookMs} ms`);
    assert.ok(await gone(ready.pids.gatekeeper, 100));
    open.destroy();
  });

  await t.test('a second start keeps the accounts, adds the missing ones, and lets all in', async () => {
    const again = await startReady('--data', data, '--accounts', '12');
    const kept = readAccounts(again.ready);
    assert.deepEqual(kept.slice(0, 10), accounts);
    assert.equal(kept.length, 12);
    for (const account of ['u1', 'u10']) {
      assert.match(await logIn(again.ready, await fetchProof(again.ready, account)), /<success/);
    }
    again.child.kill('SIGINT');
    again.child.kill('SIGTERM');
    assert.equal((await again.ended).code, 0);
  });

  await t.test('another domain on the same folder is refused: addresses hold it', async () => {
    const { code, err } = await start('--data', data, '--base-port', '0', '--domain', 'citadel.example').ended;
    assert.equal(code, 1);
    assert.match(err, /was made for the domain localhost[^]*--domain localhost/);
  });
});

test('what a start that was killed left half done is mended by the next', async () => {
  const data = newFolder();
  const first = await startReady('--data', data, '--accounts', '4');
  first.child.kill('SIGTERM');
  await first.ended;
  // As if the process had died after enlisting and before the accounts were written.
  rmSync(join(data, 'accounts.jsonl'));
  const second = await startReady('--data', data, '--accounts', '4');
  assert.equal(readAccounts(second.ready).length, 4);
  for (const account of ['u0', 'u1']) {
    assert.match(await logIn(second.ready, await fetchProof(second.ready, account)), /<success/);
  }
  second.child.kill('SIGTERM');
  assert.equal((await second.ended).code, 0);
});

test('--no-tls speaks plaintext on the xmpp port, with another domain', async () => {
  const sandbox = await startReady(
    '--data',
    newFolder(),
    '--accounts',
    '2',
    '--no-tls',
    '--unlimited',
    '--domain',
    'citadel.example',
  );
  assert.equal(sandbox.ready.domain, 'citadel.example');
  assert.match(readAccounts(sandbox.ready)[0]!.jid, /@citadel\.example\/1$/);
  assert.match(await logIn(sandbox.ready, await fetchProof(sandbox.ready, 'u1'), true), /<success/);
  assert.match(await logIn(sandbox.ready, await fetchProof(sandbox.ready, 'u0')), /<success/);
  sandbox.child.kill('SIGTERM');
  assert.equal((await sandbox.ended).code, 0);
});

test('it listens on loopback alone', async () => {
  for (const host of ['0.0.0.0', '::', '192.0.2.1', 'example.org', '127.0.0.1.example.org', '::ffff:192.0.2.1']) {
    const { code, err, out } = await start('--data', newFolder(), '--base-port', '0', '--host', host, '--json').ended;
    assert.equal(code, 2, host);
    assert.match(err, /is not loopback[^]*Next: /);
    assert.equal(out, '');
  }
});

test('kill -9 of the sandbox takes the gatekeeper with it, and the folder is free again', async () => {
  const data = newFolder();
  for (const victim of ['start file', 'sandbox'] as const) {
    const sandbox = await startReady('--data', data, '--accounts', '2');
    const { gatekeeper } = sandbox.ready.pids;
    const pid = victim === 'start file' ? sandbox.child.pid! : parentOf(gatekeeper);
    process.kill(pid, 'SIGKILL');
    assert.ok(await gone(gatekeeper, 3_000), `the gatekeeper outlived the ${victim}`);
    await sandbox.ended;
  }
  const again = await startReady('--data', data, '--accounts', '2');
  again.child.kill('SIGTERM');
  assert.equal((await again.ended).code, 0);
});

test('kill -9 of the gatekeeper ends the sandbox with words and exit code 1', async () => {
  const sandbox = await startReady('--data', newFolder(), '--accounts', '2');
  process.kill(sandbox.ready.pids.gatekeeper, 'SIGKILL');
  const { code, err } = await sandbox.ended;
  assert.equal(code, 1);
  assert.match(err, /gatekeeper process was ended by SIGKILL/);
});

test('a port in the middle that is taken, and damaged files, are said before anything starts', async () => {
  const [port = 0] = await freePorts(1);
  const taken = createServer();
  await new Promise<void>(resolve => taken.listen(port, '127.0.0.1', resolve));
  const { code, err } = await start('--data', newFolder(), '--base-port', String(port - 4)).ended;
  await new Promise(resolve => taken.close(resolve));
  assert.equal(code, 1);
  assert.match(err, new RegExp(`port ${port} \\(http\\)[^]*in use`));
  const data = newFolder();
  writeFileSync(join(data, 'accounts.jsonl'), 'damage\n');
  const damaged = await start('--data', data, '--base-port', '0').ended;
  assert.equal(damaged.code, 1);
  assert.match(damaged.err, /accounts\.jsonl is damaged[^]*Next: /);
});

/** Runs a program from standard input, in this package's folder so that it finds our dependencies; what it prints. */
async function runProgram(command: string, args: readonly string[], source: string, ca?: string): Promise<string> {
  const child = spawn(command, args, {
    cwd: fileURLToPath(new URL('.', import.meta.url)),
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, ...(ca === undefined ? {} : { NODE_EXTRA_CA_CERTS: ca }) },
    timeout: 20_000,
  });
  child.stdin.end(source);
  return (await child.stdout.setEncoding('utf8').toArray()).join('');
}

function parentOf(pid: number): number {
  return Number(/^PPid:\s+([0-9]+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
}
