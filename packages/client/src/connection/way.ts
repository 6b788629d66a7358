// The way to another machine: straight or through a relay, over sockets of the system's or of the app's.
// Knows nothing of what is carried.
import { Agent } from 'node:https';
import type { Duplex } from 'node:stream';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';
import { ClientError } from '../errors.ts';
import { type ConnectSocket, openSocket, type Place } from './connect-socket.ts';
import { openTunnel, type Relay, relayFor } from './relay-tunnel.ts';

export type Way = {
  /** Through which the other is reached, so that it does not see this device's address. */
  readonly relay?: Relay | undefined;
  /** What opens sockets in place of the system. */
  readonly connectSocket?: ConnectSocket | undefined;
};

/** A stream to `target`; calls `opened` once when bytes can go. Otherwise it ends with an error. */
export function openWay({ relay, connectSocket }: Way, target: Place, opened: () => void): Duplex {
  if (relay !== undefined) return openTunnel(relay, target, opened, connectSocket);
  return openSocket(target, connectSocket).once('connect', opened);
}

/** For requests over HTTPS and WebSockets: each has a connection of its own. False: as the system does it. */
export function agentFor(way: Way | undefined, url: string): Agent | false {
  const relay = relayFor(way?.relay, url);
  const connectSocket = way?.connectSocket;
  if (relay === undefined && connectSocket === undefined) return false;
  const agent = new Agent({ keepAlive: false });
  agent.createConnection = (options, done) => {
    const { host, port } = options as { readonly host: string; readonly port: number | string };
    const who = relay === undefined ? 'it' : 'the relay';
    let failure: Error = new ClientError('unreachable', { detail: `${who} ended the connection` });
    const lost = (): void => done?.(failure, undefined as never);
    const socket = openWay({ relay, connectSocket }, { host, port: Number(port) }, () => {
      socket.off('close', lost);
      done?.(null, connectTls({ ...(options as ConnectionOptions), socket, ALPNProtocols: ['http/1.1'] }));
    });
    socket.on('error', error => (failure = error));
    socket.once('close', lost);
    return undefined;
  };
  return agent;
}
