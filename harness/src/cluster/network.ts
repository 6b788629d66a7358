// Several nodes of one gatekeeper, each a process, behind a plain balancer; PostgreSQL, NATS, and the provider of own users.
// Knows nothing of what the tests do with it.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { devGatekeeperConfig, devGatekeeperIssuer, freePorts } from '@drawbridge/cli/dev-config';
import { startDevProvider } from '@drawbridge/cli/dev-network';
import { ensureDevPki } from '@drawbridge/cli/dev-pki';
import { type Client, openClient } from '@drawbridge/client';
import type { Config } from '@drawbridge/gatekeeper/config';
import { type NatsServer, startNats } from '../nats-server.ts';
import { type PostgresServer, startPostgres } from '../postgres-server.ts';

const portNames = ['http', 'xmpp', 'xmpps', 'websocket', 'compact'] as const;
/** What all nodes have to have alike. */
const sharedFiles = [
  'compact-keys.json',
  'compact-backup-key.json',
  'event-keys.json',
  'media-grant-key',
  'stamp-secret',
  'admin-token',
];

export type ClusterNode = {
  readonly host: string;
  start(): Promise<void>;
  kill(signal: 'SIGKILL' | 'SIGSTOP' | 'SIGCONT'): Promise<void>;
  /** Drains and ends it. */
  stop(): Promise<void>;
};

export type ClusterNetwork = {
  readonly nodes: readonly ClusterNode[];
  readonly postgres: PostgresServer;
  readonly nats: NatsServer;
  /** New connections go to this node while it answers, else to another. */
  prefer(node: number): void;
  /** Streams of the compact transport, by node. */
  streams(): number[];
  /** Asks a node's admin API, by its owner. Rejects unless it says that it is done. */
  admin(node: number, method: 'GET' | 'POST' | 'DELETE', path: string): Promise<Record<string, unknown>>;
  /** A person's client in their own folder, enlisted and connected. */
  open(identifier: string): Promise<Client>;
  close(): Promise<void>;
};

/** Something else than the plain balancer in front of the nodes, which says whose a connection is (PROXY protocol). */
export type Front = (places: {
  readonly hosts: readonly string[];
  /** Listened on at 127.0.0.1, and by each node. */
  readonly ports: Readonly<Record<(typeof portNames)[number], number>>;
  readonly healthPort: number;
}) => Promise<{ close(): Promise<void> }>;

export async function startClusterNetwork(count: number, front?: Front): Promise<ClusterNetwork> {
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-cluster-'));
  const pki = await ensureDevPki(join(folder, 'pki'), ['citadel.example']);
  const free = await freePorts(portNames.length + 2);
  const ports = Object.fromEntries(portNames.map((name, i) => [name, free[i]!])) as Record<
    (typeof portNames)[number],
    number
  >;
  const postgres = startPostgres();
  const url = postgres.createDatabase();
  const nats = await startNats();
  const issuer = devGatekeeperIssuer(ports.http);
  const provider = await startDevProvider({ folder: join(folder, 'users'), pki, gatekeepers: [issuer] });
  const { wakeUpUrl } = provider;
  const nodes = Array.from({ length: count }, (_, i) => {
    const host = `127.0.0.${i + 2}`;
    const config = devGatekeeperConfig({
      folder: join(folder, `node-${i}`),
      pki,
      host,
      domain: 'citadel.example',
      ports: { ...ports, admin: free[portNames.length]! },
      providers: [],
      ownUsers: { issuer: provider.issuer, wakeUpUrl },
      unlimited: true,
      storage: { kind: 'postgres', url },
      bus: { kind: 'nats', servers: [nats.address] },
    });
    return clusterNode(host, front === undefined ? config : behindFront(config, free[portNames.length + 1]!));
  });
  const first = nodes[0]!;
  await first.start();
  for (const [i, node] of nodes.entries()) {
    if (i === 0) continue;
    const target = join(folder, `node-${i}`);
    mkdirSync(target, { mode: 0o700 });
    for (const file of sharedFiles) {
      const source = join(folder, 'node-0', file);
      if (existsSync(source)) copyFileSync(source, join(target, file));
    }
    await node.start();
  }
  let preferred = 0;
  const fronts =
    front === undefined
      ? undefined
      : await front({ hosts: nodes.map(node => node.host), ports, healthPort: free[portNames.length + 1]! });
  const balancers = await Promise.all(
    (front === undefined ? portNames : []).map(name =>
      startBalancer(ports[name], () => nodes.map((_, i) => nodes[(preferred + i) % count]!.host)),
    ),
  );
  const compact = balancers[portNames.indexOf('compact')];
  const clients: Client[] = [];
  return {
    nodes,
    postgres,
    nats,
    prefer(node) {
      preferred = node;
    },
    streams: () => nodes.map(({ host }) => compact?.connections(host) ?? 0),
    async admin(node, method, path) {
      const authorization = `Bearer ${readFileSync(join(folder, 'node-0', 'admin-token'), 'utf8').trim()}`;
      const url = `http://${nodes[node]!.host}:${free[portNames.length]}/admin/v1${path}`;
      const answer = await fetch(url, { method, headers: { authorization } });
      const body = await answer.text();
      if (!answer.ok) throw new Error(`${answer.status} ${body}`);
      return body === '' ? {} : (JSON.parse(body) as Record<string, unknown>);
    },
    async open(identifier) {
      const client = await openClient({
        folder: join(folder, 'people', identifier),
        key: new Uint8Array(32).fill(7),
        gatekeeper: issuer,
        provider: { url: provider.issuer, identifier, password: `the password of ${identifier}`, signUp: true },
        ca: pki.caFile,
      });
      clients.push(client);
      return client;
    },
    async close() {
      for (const client of clients) await client.close();
      for (const node of nodes) await node.kill('SIGKILL');
      for (const balancer of balancers) balancer.close();
      await fronts?.close();
      await provider.close();
      await nats.close();
      postgres.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function behindFront(config: Config, healthPort: number): Config {
  const { listeners } = config;
  for (const name of ['xmpp', 'xmpps', 'websocket', 'compact', 'compactWebsocket', 'http'] as const) {
    const listener = listeners[name];
    if (listener !== undefined) listener.proxyProtocol = true;
  }
  const health = { host: listeners.admin.host, port: healthPort };
  return { ...config, listeners: { ...listeners, health }, trustedProxies: ['127.0.0.1/32'] };
}

function clusterNode(host: string, config: Config): ClusterNode {
  let child: ChildProcess | undefined;
  return {
    host,
    async start() {
      mkdirSync(config.dataFolder, { recursive: true, mode: 0o700 });
      const file = join(config.dataFolder, 'node.json');
      writeFileSync(file, JSON.stringify(config));
      const program = new URL('./node-child.ts', import.meta.url).pathname;
      const node = spawn(process.execPath, ['--conditions=drawbridge-source', program, file], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      child = node;
      const ended = once(node, 'exit').then(() => Promise.reject(new Error(`node ${host} ended before it was ready`)));
      ended.catch(() => undefined);
      await Promise.race([once(node.stdout, 'data'), ended]);
    },
    async kill(signal) {
      if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, 'exit');
      child.kill(signal);
      if (signal === 'SIGKILL') await gone;
    },
    async stop() {
      if (child === undefined) return;
      const gone = once(child, 'exit');
      child.kill('SIGTERM');
      await gone;
    },
  };
}

/** Passes bytes on to the first of these hosts that answers, as a plain balancer does. */
type Balancer = { connections(host: string): number; close(): void };

async function startBalancer(port: number, hosts: () => readonly string[]): Promise<Balancer> {
  const sockets = new Set<Socket>();
  const open = new Map<string, number>();
  const count = (host: string, change: 1 | -1): void => void open.set(host, (open.get(host) ?? 0) + change);
  const server: Server = createServer(socket => {
    sockets.add(socket);
    socket.on('error', () => undefined).once('close', () => sockets.delete(socket));
    passOn(socket, port, hosts(), count);
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return {
    connections: host => open.get(host) ?? 0,
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

function passOn(
  socket: Socket,
  port: number,
  [host, ...others]: readonly string[],
  count: (host: string, change: 1 | -1) => void,
): void {
  if (host === undefined) {
    socket.destroy();
    return;
  }
  const upstream = connect(port, host);
  let isOpen = false;
  upstream.once('connect', () => {
    isOpen = true;
    count(host, 1);
    socket.pipe(upstream).pipe(socket);
  });
  upstream.on('error', () => {
    if (isOpen) socket.destroy();
    else passOn(socket, port, others, count);
  });
  upstream.once('close', () => {
    if (!isOpen) return;
    count(host, -1);
    socket.destroy();
  });
  socket.once('close', () => upstream.destroy());
}
