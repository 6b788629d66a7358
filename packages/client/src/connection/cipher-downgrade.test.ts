// Somebody on the line who wants the other cipher: between the real transport and the real server half, each connection is
// attacked in one way. What holds: no login is ever read under the other cipher, the client never asks for it, and once
// the line is clean again it logs in with its own.
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { type AddressInfo, connect as connectTcp, createServer, type Server, type Socket } from 'node:net';
import { test } from 'node:test';
import { certifyStaticKey } from '@drawbridge/identity/static-key-certificate';
import { generateKeyPair, nodeSuite } from '@drawbridge/noise/node-crypto';
import { compactCiphers, encodeCertificate } from '@drawbridge/stream/compact-login';
import { CompactServer } from '@drawbridge/stream/compact-server';
import { compactContext } from '@drawbridge/wire/compact-value';
import { element } from '@drawbridge/wire/element';
import { NS_CLIENT } from '@drawbridge/wire/namespaces';
import type { Transport } from './transport.ts';
import { compactTransport, type KnownStaticKey } from './transport-compact.ts';

const domain = 'citadel.example';
const nowMs = 1_790_000_000_000;
const pin = generateKeyPairSync('ed25519');
const staticKeyPair = generateKeyPair();
const bind = element('iq', NS_CLIENT, { type: 'set', id: 'bind' });
/** Where pattern bytes stand: behind prologue and frame length, and behind the length alone. */
const [patternAt, answerPatternAt] = [7, 3];
const cipherBits = 0xf0;
const chaCha = 0x10;
const connections = 4;

/** What goes on, or undefined to cut the line. */
type Attack = {
  readonly fromClient?: (chunk: Buffer, isFirst: boolean) => Buffer | undefined;
  readonly fromServer?: (chunk: Buffer, isFirst: boolean) => Buffer | undefined;
};

function flipped(chunk: Buffer, at: number, isFirst: boolean): Buffer {
  const changed = Buffer.from(chunk);
  if (isFirst) changed[at]! ^= chaCha;
  return changed;
}

/** An XX message of AESGCM with keys of the attacker's own, in place of the client's. */
const ownMessage = Buffer.concat([
  Buffer.from('44420101000021', 'hex'),
  Buffer.from([0x01]),
  generateKeyPair().publicKey,
]);

const attacks: Readonly<Record<string, Attack>> = {
  'names the other cipher to the gatekeeper': { fromClient: (chunk, isFirst) => flipped(chunk, patternAt, isFirst) },
  'names it to both': {
    fromClient: (chunk, isFirst) => flipped(chunk, patternAt, isFirst),
    fromServer: (chunk, isFirst) => flipped(chunk, answerPatternAt, isFirst),
  },
  'names it to the client': { fromServer: (chunk, isFirst) => flipped(chunk, answerPatternAt, isFirst) },
  'cuts whatever names the better one': { fromClient: () => undefined },
  'cuts the answer': { fromServer: () => undefined },
  'resets behind the answer': { fromServer: (chunk, isFirst) => (isFirst ? chunk : undefined) },
  'asks in its own name and passes the answer on': { fromClient: (chunk, isFirst) => (isFirst ? ownMessage : chunk) },
  'spoils the answer': {
    fromServer: (chunk, isFirst) => {
      const changed = Buffer.from(chunk);
      if (isFirst) changed[changed.length - 1]! ^= 1;
      return changed;
    },
  },
};

/** A gatekeeper of both ciphers: notes the cipher of each login that it could read. */
function serve(socket: Socket, logins: number[]): void {
  const statement = { publicKey: staticKeyPair.publicKey, notBefore: nowMs / 1_000 - 9, notAfter: nowMs / 1_000 + 9 };
  const certificate = certifyStaticKey(domain, statement, pin.privateKey);
  const half = new CompactServer({
    domain,
    suites: compactCiphers.map(cipher => nodeSuite(cipher, 'SHA256')),
    staticKeyPairs: [staticKeyPair],
    certificate: encodeCertificate({ ...certificate, ciphers: compactCiphers }, compactContext(domain)),
  });
  let named = 0;
  const take = (events: ReturnType<CompactServer['receive']>): void => {
    for (const event of events) {
      if (event.kind === 'send') socket.write(event.bytes);
      else if (event.kind === 'login') {
        logins.push(named & cipherBits);
        take(half.admit(event.stanzas));
      } else if (event.kind === 'failed') socket.destroy();
    }
  };
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk: Buffer) => {
    named ||= chunk[patternAt]!;
    take(half.receive(chunk));
  });
}

async function listen(server: Server): Promise<number> {
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

/** One connection of the client until it is over; it says goodbye as soon as it is in. */
async function connectOnce(connect: ReturnType<typeof compactTransport>): Promise<Transport> {
  const ended = Promise.withResolvers<void>();
  const transport: Transport = connect({
    domain,
    proof: () => Promise.resolve('a.b.c'),
    emit: event => {
      if (event.kind === 'connected') transport.send(bind);
      if (event.kind === 'element') transport.sendEnd();
      if (event.kind === 'disconnected') ended.resolve();
    },
  });
  await ended.promise;
  return transport;
}

for (const knowsKey of [false, true]) {
  for (const [what, attack] of Object.entries(attacks)) {
    test(`${knowsKey ? 'IK' : 'XX'}: somebody ${what}, and gets no other cipher`, async () => {
      const logins: number[] = [];
      const named: number[] = [];
      let present: Attack = attack;
      const gatekeeper = createServer(socket => serve(socket, logins));
      const target = { host: '127.0.0.1', port: await listen(gatekeeper) };
      const line = createServer(client => {
        const server = connectTcp(target);
        const pass = (from: Socket, to: Socket, change: Attack['fromClient'], note: (chunk: Buffer) => void): void => {
          let isFirst = true;
          from.on('data', (chunk: Buffer) => {
            if (isFirst) note(chunk);
            const changed = change === undefined ? chunk : change(chunk, isFirst);
            isFirst = false;
            if (changed === undefined) from.destroy();
            else to.write(changed);
          });
          from.on('error', () => from.destroy());
          from.on('close', () => to.destroy());
        };
        pass(client, server, present.fromClient, chunk => named.push(chunk[patternAt]! & cipherBits));
        pass(server, client, present.fromServer, () => {});
      });
      const known: KnownStaticKey = {
        publicKey: staticKeyPair.publicKey,
        notAfter: nowMs / 1_000 + 9,
        cipher: 'ChaChaPoly',
      };
      let kept = knowsKey ? known : undefined;
      const connect = compactTransport({
        target: { host: '127.0.0.1', port: await listen(line) },
        deviceKeyPair: generateKeyPair(),
        pinnedKey: () => pin.publicKey,
        offeredCiphers: compactCiphers,
        knownStaticKey: () => kept,
        keepStaticKey: key => (kept = key),
        nowMs: () => nowMs,
      });
      for (let i = 0; i < connections; i++) await connectOnce(connect);
      present = {};
      assert.equal((await connectOnce(connect)).failure, undefined);
      assert.deepEqual([...new Set(named)], [chaCha]);
      assert.deepEqual([...new Set(logins)], [chaCha]);
      for (const server of [line, gatekeeper]) await new Promise(resolve => server.close(resolve));
    });
  }
}
