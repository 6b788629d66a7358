// What an attack of the crowd is, and what all attacks share: addresses to come from, proofs, a count of what was done.
// Knows no particular attack.
import { connect, type Socket } from 'node:net';
import type { RawStream } from '../durability/raw-stream.ts';
import type { Person, Target } from './network.ts';

export type Crowd = {
  readonly target: Target;
  /** Ten accounts of the hostile provider. */
  readonly accounts: readonly Person[];
  /** People of the hostile provider who are never there. */
  readonly sleepers: readonly Person[];
  /** Honest people whom they may reach: one who is there, one who never is. */
  readonly victims: { readonly there: Person; readonly away: Person };
  /** An address of the crowd: one of a /64 while `subnet` is 0, of the same /48 in any case. */
  readonly address: (subnet?: number) => string;
  /** Logs an account in. */
  readonly open: (account: Person, on?: Partial<Parameters<typeof RawStream.open>[0]>) => Promise<RawStream>;
  /** A proof of the hostile provider for anybody of its own, or, in the name of another issuer, of nobody. */
  readonly proof: (subject: string, jkt: string, issuer?: string) => Promise<string>;
  readonly stopped: () => boolean;
  /** Something of this attack was done. */
  readonly count: (what: string, by?: number) => void;
};

export type Attack = (crowd: Crowd) => Promise<void>;

/** Where crowds come from when the machine lets them have IPv6 addresses (2001:db8::/32 is for documentation). */
const site = '2001:db8:66';

/** Addresses of one /48, or, without IPv6, one IPv4 address. */
export function crowdAddresses(hasIpv6: boolean): Crowd['address'] {
  let next = 1;
  return (subnet = 0) => (hasIpv6 ? `${site}:${subnet.toString(16)}::${(next++ % 60_000).toString(16)}` : '127.0.0.66');
}

/** A socket from one of the crowd's addresses; undefined when none was to be had. */
export function dial(crowd: Crowd, port: number, subnet = 0): Promise<Socket | undefined> {
  const localAddress = crowd.address(subnet);
  const host = localAddress.includes(':') ? '::1' : '127.0.0.1';
  const socket = connect({ host, port, localAddress, noDelay: true });
  socket.on('error', () => {});
  return new Promise(resolve => {
    socket.once('connect', () => resolve(socket));
    socket.once('close', () => resolve(undefined));
  });
}

export async function pause(ms: number): Promise<void> {
  await new Promise(resolve => setTimeout(resolve, ms));
}

/** Does it again and again, `lanes` at once, until the crowd goes home; what fails is tried again a moment later. */
export async function repeat(crowd: Crowd, lanes: number, work: (lane: number) => Promise<void>): Promise<void> {
  await Promise.all(
    Array.from({ length: lanes }, async (_, lane) => {
      while (!crowd.stopped()) {
        try {
          await work(lane);
        } catch {
          await pause(50);
        }
      }
    }),
  );
}

/** Fulfilled when the socket is closed, or the crowd goes home. */
export async function untilClosed(crowd: Crowd, socket: Socket): Promise<void> {
  while (!socket.closed && !crowd.stopped()) await pause(20);
  socket.destroy();
}
