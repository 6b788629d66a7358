// The bus on core NATS, which may lose what is said and keeps nothing. A connection that is lost is made again for as long as
// the node runs; what is said meanwhile is lost, and so is what a server that stands still has no room for. Knows nothing of
// what is said.
// Source: docs/decisions/0067.
import { readFileSync } from 'node:fs';
import { connect, credsAuthenticator, type NatsConnection } from '@nats-io/transport-node';
import type { Config } from '../config-schema.ts';
import { StartError } from '../start-error.ts';
import type { Bus } from './bus.ts';
import { UnreadBytes } from './unread-bytes.ts';

const firstConnectMs = 5_000;
const reconnectMs = 1_000;
/** A server that has not answered for so long is gone. */
const pingEveryMs = 5_000;
const maxPingsOut = 2;
/** Beside its subject and itself, in the client's memory and on the wire. */
const messageBytes = 64;

export type NatsOptions = NonNullable<Config['bus']>;

/** Each time it connects, so that credentials can be replaced while it runs; without a readable file as before. */
function credentialsOf(file: string): () => Uint8Array {
  let known: Uint8Array = readFileSync(file);
  return () => {
    try {
      known = readFileSync(file);
    } catch {
      // It is being replaced.
    }
    return known;
  };
}

/** `lost` is followed by `back`, and `behind` (the server does not read what is said, which is lost) by either or by `keeps-up`. */
export type BusState = 'lost' | 'back' | 'behind' | 'keeps-up';

/** Rejects with a StartError when there is no server. */
export async function openNatsBus(
  { servers, credentialsFile, caFile }: NatsOptions,
  prefix: string,
  onState: (state: BusState) => void,
): Promise<Bus> {
  let connection: NatsConnection;
  try {
    connection = await connect({
      servers,
      name: 'drawbridge',
      timeout: firstConnectMs,
      maxReconnectAttempts: -1,
      reconnectTimeWait: reconnectMs,
      pingInterval: pingEveryMs,
      maxPingOut: maxPingsOut,
      // Credentials may be put right: nothing but the end of the process ends its tries.
      ignoreAuthErrorAbort: true,
      ...(credentialsFile === undefined ? {} : { authenticator: credsAuthenticator(credentialsOf(credentialsFile)) }),
      ...(caFile === undefined ? {} : { tls: { caFile } }),
    });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new StartError(
      'bus-unusable',
      `bus.servers: NATS can't be reached (${reason}): start it, or mend the address`,
    );
  }
  let isConnected = true;
  let isClosed = false;
  const unread = new UnreadBytes(
    () => connection.flush(),
    isBehind => {
      if (isConnected) onState(isBehind ? 'behind' : 'keeps-up');
    },
  );
  const watching = watch(connection, state => {
    if (state === 'back') unread.begin();
    isConnected = state === 'back' && !isClosed;
    if (!isClosed) onState(state);
  });
  return {
    publish(subject, message) {
      // What is said while nobody hears is not kept for later: storage knows it.
      if (!isConnected || !unread.take(message.length + prefix.length + subject.length + messageBytes)) return;
      try {
        connection.publish(prefix + subject, message);
        unread.said();
      } catch {
        // Too large for this server, or closed in this moment: lost, as anything may be.
      }
    },
    subscribe(subject, hear) {
      if (isClosed) return () => undefined;
      const subscription = connection.subscribe(prefix + subject, {
        callback: (error, message) => {
          if (error === null) hear(message.data);
        },
      });
      return () => subscription.unsubscribe();
    },
    get isConnected() {
      return isConnected;
    },
    get lost() {
      return unread.lost;
    },
    async close() {
      isClosed = true;
      isConnected = false;
      await connection.close();
      await watching;
    },
  };
}

async function watch(connection: NatsConnection, onState: (state: 'lost' | 'back') => void): Promise<void> {
  for await (const { type } of connection.status()) {
    if (type === 'disconnect') onState('lost');
    else if (type === 'reconnect') onState('back');
    else if (type === 'close') onState('lost');
  }
}

/** One cluster's words among others on the same servers. */
export function busPrefix(domain: string): string {
  return `drawbridge.${domain.replaceAll('.', '-')}.`;
}
