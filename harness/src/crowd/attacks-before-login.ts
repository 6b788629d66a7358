// What strangers can do without an account: connections, idling, half of everything, white space, garbage.
import type { Socket } from 'node:net';
import { type Attack, type Crowd, dial, pause, repeat, untilClosed } from './attack.ts';

function portsOf({ target: { ports } }: Crowd): number[] {
  return [ports.xmpp, ports.xmpps, ports.compact, ports.websocket, ports.http];
}

/** Connections that say nothing, from many addresses of one /64 and of its neighbours in the /48; new ones for those that are cut. */
export const connections: Attack = crowd =>
  repeat(crowd, 400, async lane => {
    const ports = portsOf(crowd);
    const socket = await dial(crowd, ports[lane % ports.length]!, lane < 200 ? 0 : lane);
    if (socket === undefined) {
      crowd.count('refused');
      await pause(20);
      return;
    }
    crowd.count('opened');
    socket.resume();
    await untilClosed(crowd, socket);
  });

/** Requests that never come to an end: half a header, or a body a byte at a time. */
export const httpIdles: Attack = crowd =>
  repeat(crowd, 100, async lane => {
    const socket = await dial(crowd, crowd.target.ports.http, lane);
    if (socket === undefined) return await pause(20);
    crowd.count('opened');
    socket.resume();
    const head = 'POST /v1/enlistments HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n';
    socket.write(lane % 2 === 0 ? head : `${head}content-length: 500000\r\n\r\n{`);
    while (!socket.closed && !crowd.stopped()) {
      socket.write(lane % 2 === 0 ? 'x' : ' ');
      await pause(500);
    }
    socket.destroy();
  });

/** Whole requests, as fast as they are answered: discovery, and grants of media that were never given. */
export const httpRequests: Attack = crowd =>
  repeat(crowd, 16, async lane => {
    const socket = await dial(crowd, crowd.target.ports.http, lane);
    if (socket === undefined) return await pause(20);
    const paths = [
      '/.well-known/interop-gatekeeper',
      '/openapi.json',
      `/media/${'A'.repeat(4_000)}`,
      '/users/v1/sessions',
    ];
    let answered = 0;
    socket.on('data', () => answered++);
    for (let i = 0; !socket.closed && !crowd.stopped(); i++) {
      const before = answered;
      socket.write(`GET ${paths[i % paths.length]} HTTP/1.1\r\nhost: localhost\r\n\r\n`);
      crowd.count('requests');
      for (let wait = 0; answered === before && wait < 500 && !socket.closed; wait++) await pause(2);
    }
    socket.destroy();
  });

async function pourInto(crowd: Crowd, socket: Socket, piece: string | Uint8Array): Promise<void> {
  socket.resume();
  while (!socket.closed && !crowd.stopped()) {
    socket.write(piece);
    crowd.count('bytes', piece.length);
    do await pause(1);
    while (socket.writableNeedDrain && !socket.closed && !crowd.stopped());
  }
  socket.destroy();
}

const blank = ' '.repeat(64 * 1024);

/** White space before login, as much as is taken. */
export const blankBeforeLogin: Attack = crowd =>
  repeat(crowd, 8, async lane => {
    const socket = await dial(crowd, crowd.target.ports.xmpp, 1_000 + lane);
    if (socket === undefined) return await pause(20);
    crowd.count('opened');
    await pourInto(crowd, socket, blank);
  });

const hello = Buffer.from('16030100c8010000c40303', 'hex');
const noise = Buffer.concat([Buffer.from([0x44, 0x42, 1, 1, 0, 0x7f, 0xff]), Buffer.alloc(32_767, 0x5a)]);

/** Handshakes of nonsense, for TLS and Noise. */
export const brokenHandshakes: Attack = crowd =>
  repeat(crowd, 8, async lane => {
    const isTls = lane % 2 === 0;
    const { xmpps, compact } = crowd.target.ports;
    const socket = await dial(crowd, isTls ? xmpps : compact, 2_000 + lane);
    if (socket === undefined) return await pause(20);
    crowd.count('opened');
    socket.resume();
    socket.write(isTls ? Buffer.concat([hello, Buffer.alloc(200, 0x5a)]) : noise);
    for (let i = 0; i < 100 && !socket.closed; i++) await pause(10);
    socket.destroy();
  });

/** Logins with proofs of providers whose keys nobody can fetch, and with proofs that were used. */
export const hopelessLogins =
  (issuers: readonly string[]): Attack =>
  crowd =>
    repeat(crowd, 16, async lane => {
      const account = crowd.accounts[lane % crowd.accounts.length]!;
      const proof = await crowd.proof(account.identifier, account.jkt, issuers[lane % issuers.length]);
      await crowd.open(account, { proof, localAddress: crowd.address(3_000 + lane) }).catch(() => {});
      crowd.count('logins');
    });
