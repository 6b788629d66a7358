// The compact transport against a socket that is not a gatekeeper, or not the right one, and against our own server half:
// what it says of why it ended decides whether another transport is tried.
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { certifyStaticKey } from '@drawbridge/identity/static-key-certificate';
import type { CipherName } from '@drawbridge/noise/crypto';
import { generateKeyPair, nodeSuite } from '@drawbridge/noise/node-crypto';
import { encodeCertificate } from '@drawbridge/stream/compact-login';
import { CompactServer } from '@drawbridge/stream/compact-server';
import { compactContext } from '@drawbridge/wire/compact-value';
import { type Element, element } from '@drawbridge/wire/element';
import { NS_CLIENT, NS_SM } from '@drawbridge/wire/namespaces';
import { openClient } from '../client.ts';
import { ClientError } from '../errors.ts';
import type { Transport, TransportEvent } from './transport.ts';
import { compactTransport, type CompactOptions, type KnownStaticKey } from './transport-compact.ts';

const domain = 'citadel.example';
const nowMs = 1_790_000_000_000;
const pin = generateKeyPairSync('ed25519');
const staticKeyPair = generateKeyPair();
const statement = { publicKey: staticKeyPair.publicKey, notBefore: nowMs / 1_000 - 100, notAfter: nowMs / 1_000 + 100 };
const bind = element('iq', NS_CLIENT, { type: 'set', id: 'bind' });

type Run = {
  readonly transport: Transport;
  readonly events: TransportEvent[];
  readonly kept: (KnownStaticKey | undefined)[];
};

/** Connects to `server`, says `bind`, and waits for the end of the connection. */
async function run(
  serve: (socket: Socket) => void,
  options: Partial<CompactOptions> = {},
  during: (run: Run) => void = () => {},
  proof: () => Promise<string> = () => Promise.resolve('a.b.c'),
): Promise<Run> {
  const sockets: Socket[] = [];
  const server: Server = createServer(socket => {
    socket.on('error', () => {});
    sockets.push(socket);
    serve(socket);
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const events: TransportEvent[] = [];
  const kept: Run['kept'] = [];
  const ended = Promise.withResolvers<void>();
  const connect = compactTransport({
    target: { host: '127.0.0.1', port },
    deviceKeyPair: generateKeyPair(),
    pinnedKey: () => pin.publicKey,
    knownStaticKey: () => undefined,
    keepStaticKey: key => kept.push(key),
    nowMs: () => nowMs,
    ...options,
  });
  const transport: Transport = connect({
    domain,
    proof,
    emit: event => {
      events.push(event);
      if (event.kind === 'connected') transport.send(bind);
      during({ transport, events, kept });
      if (event.kind === 'disconnected') ended.resolve();
    },
  });
  await ended.promise;
  for (const socket of sockets) socket.destroy();
  await new Promise(resolve => server.close(resolve));
  return { transport, events, kept };
}

/** The server half: admits everybody who says `a.b.c`, and echoes. */
function gatekeeper(
  signedBy = pin.privateKey,
  notAfter = statement.notAfter,
  frames: Element[][] = [],
  offered: readonly CipherName[] = ['AESGCM'],
) {
  return (socket: Socket): void => {
    const certificate = certifyStaticKey(domain, { ...statement, notAfter }, signedBy);
    const half = new CompactServer({
      domain,
      suites: offered.map(cipher => nodeSuite(cipher, 'SHA256')),
      staticKeyPairs: [staticKeyPair],
      certificate: encodeCertificate({ ...certificate, ciphers: offered }, compactContext(domain)),
    });
    const take = (events: ReturnType<CompactServer['receive']>): void => {
      for (const event of events) {
        if (event.kind === 'send') socket.write(event.bytes);
        else if (event.kind === 'login' && event.proof === 'a.b.c') take(half.admit(event.stanzas));
        else if (event.kind === 'login')
          socket.end(half.refuse(event.proof === 'later' ? 'temporary-auth-failure' : 'refused'));
        else if (event.kind === 'elements') {
          frames.push([...event.elements]);
          socket.write(half.send(event.elements)!);
        } else socket.destroy();
      }
    };
    socket.on('data', (chunk: Buffer) => take(half.receive(chunk)));
  };
}

test('what the stream says first travels with the login; a turn is one frame; the static key is kept', async () => {
  const frames: Element[][] = [];
  const more = [1, 2, 3].map(n => element('a', NS_SM, { h: String(n) }));
  const { events, kept, transport } = await run(
    gatekeeper(undefined, undefined, frames),
    {},
    ({ transport, events }) => {
      const elements = events.filter(event => event.kind === 'element');
      const last = events.at(-1);
      if (last?.kind === 'element' && elements.length === 1) for (const el of more) transport.send(el);
      if (elements.length === 4 && last?.kind === 'element') transport.close();
    },
  );
  assert.deepEqual(
    events.map(event => (event.kind === 'element' ? event.element : event.kind)),
    ['connected', bind, ...more, 'disconnected'],
  );
  assert.deepEqual(frames, [more]);
  assert.equal(transport.failure, undefined);
  assert.equal(kept.length, 1);
  assert.equal(Buffer.compare(kept[0]!.publicKey, staticKeyPair.publicKey), 0);
  assert.equal(kept[0]!.notAfter, statement.notAfter);
});

test('a known static key is used until its certificate ends', async () => {
  const patternOf = async (notAfter: number): Promise<number | undefined> => {
    let first: Buffer | undefined;
    const known = { publicKey: staticKeyPair.publicKey, notAfter, cipher: 'AESGCM' } as const;
    await run(
      socket => {
        socket.on('data', (chunk: Buffer) => {
          first ??= chunk;
          socket.destroy();
        });
      },
      { knownStaticKey: () => known },
    );
    return first?.[7];
  };
  assert.equal(await patternOf(nowMs / 1_000 + 1), 2);
  assert.equal(await patternOf(nowMs / 1_000 - 1), 1);
});

test('nobody there, nothing said, or something else there: unreachable', async () => {
  const silent = await run(socket => socket.end());
  assert.equal(silent.transport.failure?.code, 'unreachable');
  const cut = await run(socket => socket.on('data', () => socket.resetAndDestroy()));
  assert.equal(cut.transport.failure?.code, 'unreachable');
  const web = await run(socket => socket.write('HTTP/1.1 400 Bad Request\r\n\r\n'));
  assert.equal(web.transport.failure?.code, 'unreachable');
  const refused = await run(() => {}, { target: { host: '127.0.0.1', port: 1 } });
  assert.equal(refused.transport.failure?.code, 'unreachable');
  assert.deepEqual(refused.events, [{ kind: 'disconnected' }]);
});

test('a key that the pin did not sign, or that has ended: gatekeeper-not-certified, and nothing is kept', async () => {
  const other = generateKeyPairSync('ed25519').privateKey;
  for (const serve of [gatekeeper(other), gatekeeper(pin.privateKey, nowMs / 1_000 - 1)]) {
    const { transport, kept, events } = await run(serve);
    assert.equal(transport.failure?.code, 'gatekeeper-not-certified');
    assert.deepEqual(kept, []);
    assert.ok(events.every(event => event.kind !== 'element'));
  }
});

test('a proof that the gatekeeper cannot judge now: not-judged', async () => {
  const later = (): Promise<string> => Promise.resolve('later');
  const { transport, events } = await run(gatekeeper(), {}, () => {}, later);
  assert.equal(transport.failure?.code, 'not-judged');
  assert.deepEqual(events.at(-1), { kind: 'disconnected' });
});

test('a refused proof: proof-refused; no proof: what its source said', async () => {
  const refused = await run(
    gatekeeper(),
    {},
    () => {},
    () => Promise.resolve('not.a.proof'),
  );
  assert.equal(refused.transport.failure?.code, 'proof-refused');
  const none = await run(
    gatekeeper(),
    {},
    () => {},
    () => Promise.reject(new ClientError('sign-in-refused')),
  );
  assert.equal(none.transport.failure?.code, 'sign-in-refused');
  assert.deepEqual(none.events, [{ kind: 'disconnected' }]);
});

test('a server that stops being true ends the connection', async () => {
  let said = 0;
  const { transport, events } = await run(socket => {
    const write = socket.write.bind(socket);
    // The second thing that this server says is spoilt.
    socket.write = (bytes: Uint8Array) =>
      write(said++ === 1 ? bytes.map((byte, at) => (at === bytes.length - 1 ? byte ^ 1 : byte)) : bytes);
    gatekeeper()(socket);
  });
  assert.equal(transport.failure?.code, 'protocol-error');
  assert.deepEqual(
    events.map(event => event.kind),
    ['connected', 'disconnected'],
  );
});

test('keys are logged when asked for', async () => {
  const lines: string[] = [];
  await run(gatekeeper(), { keyLog: line => lines.push(line) }, ({ transport, events }) => {
    if (events.at(-1)?.kind === 'element') transport.close();
  });
  assert.match(lines.join('|'), /^COMPACT citadel\.example [0-9a-f]{64} [0-9a-f]{64} [0-9a-f]{64}$/);
});

test('a key log needs the word development, and a file that can be written', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-key-log-'));
  const options = { folder, passphrase: 'not a secret', gatekeeper: 'https://citadel.example' };
  const refused = { name: 'ClientError', code: 'invalid-argument' };
  try {
    await assert.rejects(openClient({ ...options, keyLogFile: join(folder, 'keys') }), refused);
    await assert.rejects(openClient({ ...options, keyLogFile: folder, development: true }), refused);
    const client = await openClient({ ...options, keyLogFile: join(folder, 'keys'), development: true });
    await client.close();
    assert.equal(statSync(join(folder, 'keys')).mode & 0o777, 0o600);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

const both: readonly CipherName[] = ['ChaChaPoly', 'AESGCM'];

test('the offered cipher is used, and kept with the key that a certificate named it for', async () => {
  for (const [offeredCiphers, offered, cipher] of [
    [both, both, 'ChaChaPoly'],
    [undefined, ['AESGCM'], 'AESGCM'],
    [['AESGCM', 'of-a-later-version'], ['AESGCM', 'of-a-later-version'], 'AESGCM'],
  ] as const) {
    const { kept, transport } = await run(
      gatekeeper(undefined, undefined, [], offered.filter(isKnown)),
      { offeredCiphers },
      ({ transport: open, events }) => {
        if (events.at(-1)?.kind === 'element') open.sendEnd();
      },
    );
    assert.equal(transport.failure, undefined);
    assert.deepEqual(
      kept.map(key => key?.cipher),
      [cipher],
    );
  }
});

test('a key that was certified for another cipher than the offer names is certified again', async () => {
  for (const cipher of [undefined, 'AESGCM', 'ChaChaPoly'] as const) {
    const known = { publicKey: staticKeyPair.publicKey, notAfter: statement.notAfter, cipher };
    const { kept, transport } = await run(
      gatekeeper(undefined, undefined, [], both),
      { offeredCiphers: both, knownStaticKey: () => known },
      ({ transport: open, events }) => {
        if (events.at(-1)?.kind === 'element') open.sendEnd();
      },
    );
    assert.equal(transport.failure, undefined);
    assert.equal(kept.length, cipher === 'ChaChaPoly' ? 0 : 1);
  }
});

test('an offer whose better cipher was taken out is noticed before anything is revealed, and mended', async () => {
  const connections: number[] = [];
  const frames: Element[][] = [];
  const serve = gatekeeper(undefined, undefined, frames, both);
  let proofs = 0;
  const sockets: Socket[] = [];
  const server = createServer(socket => {
    socket.on('error', () => {});
    sockets.push(socket);
    socket.once('data', (chunk: Buffer) => connections.push(chunk[7]!));
    serve(socket);
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const connect = compactTransport({
    target: { host: '127.0.0.1', port: (server.address() as AddressInfo).port },
    deviceKeyPair: generateKeyPair(),
    pinnedKey: () => pin.publicKey,
    offeredCiphers: ['AESGCM'],
    knownStaticKey: () => undefined,
    keepStaticKey: () => {},
    nowMs: () => nowMs,
  });
  const attempt = async (): Promise<Transport> => {
    const ended = Promise.withResolvers<void>();
    const transport: Transport = connect({
      domain,
      proof: () => Promise.resolve(proofs++ >= 0 ? 'a.b.c' : ''),
      emit: event => {
        if (event.kind === 'connected') transport.send(bind);
        if (event.kind === 'element') transport.sendEnd();
        if (event.kind === 'disconnected') ended.resolve();
      },
    });
    await ended.promise;
    return transport;
  };
  const first = await attempt();
  assert.equal(first.failure?.code, 'protocol-error');
  assert.equal(first.failure?.detail, 'cipher-downgraded');
  const second = await attempt();
  assert.equal(second.failure, undefined);
  assert.deepEqual(connections, [0x01, 0x11]);
  for (const socket of sockets) socket.destroy();
  await new Promise(resolve => server.close(resolve));
});

function isKnown(cipher: string): cipher is CipherName {
  return cipher === 'AESGCM' || cipher === 'ChaChaPoly';
}
