// `drawbridge gatekeeper` as an operator runs it: a process of its own, a configuration file, signals and log lines.
// For tests.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { connect } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { type Client, openClient } from '@drawbridge/client';
import { freePorts, loopbackAddresses } from '../dev-config.ts';
import { type DevPki, ensureDevPki } from '../dev-pki.ts';

export type LogLine = { readonly level: string; readonly event: string } & Readonly<Record<string, unknown>>;

export const commandFile = fileURLToPath(new URL('../main.ts', import.meta.url));

/** A gatekeeper's folder with certificate and configuration; nothing runs yet. */
export async function makeGatekeeperFolder(): Promise<GatekeeperFolder> {
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-operate-'));
  const pki = await ensureDevPki(join(folder, 'pki'), ['citadel.example']);
  const [xmpp, xmpps, compact, http, admin, health] = await freePorts(6);
  const at = (port: number | undefined): object => ({ host: '127.0.0.1', port });
  const config = {
    mode: 'development',
    domain: 'citadel.example',
    issuer: `https://localhost:${http}`,
    publicHost: 'localhost',
    dataFolder: 'data',
    tls: { certFile: 'pki/server.pem', keyFile: 'pki/server-key.pem', watchSeconds: 1 },
    listeners: { xmpp: at(xmpp), xmpps: at(xmpps), compact: at(compact), http: at(http), admin: at(admin) },
    ownUsers: { kind: 'embedded', registration: 'open' },
    egress: { allowAddresses: loopbackAddresses, caFile: 'pki/ca.pem' },
  };
  return new GatekeeperFolder(folder, pki, config, {
    xmpp: xmpp!,
    xmpps: xmpps!,
    compact: compact!,
    http: http!,
    admin: admin!,
    health: health!,
  });
}

type Ports = Readonly<Record<'xmpp' | 'xmpps' | 'compact' | 'http' | 'admin' | 'health', number>>;

export class GatekeeperFolder {
  readonly folder: string;
  readonly file: string;
  readonly pki: DevPki;
  readonly config: Record<string, unknown>;
  readonly ports: Ports;

  constructor(folder: string, pki: DevPki, config: Record<string, unknown>, ports: Ports) {
    this.folder = folder;
    this.file = join(folder, 'gatekeeper.json');
    this.pki = pki;
    this.config = config;
    this.ports = ports;
    this.write({});
  }

  /** Writes the configuration with these members in place of its own. */
  write(members: Record<string, unknown>): void {
    writeFileSync(this.file, JSON.stringify({ ...this.config, ...members }));
  }

  /** Starts the command and waits until it listens. */
  async start(clockAheadMs = 0): Promise<RunningGatekeeper> {
    const running = this.launch(clockAheadMs);
    await running.line('listening');
    return running;
  }

  /** Starts the command, with a wall clock that is wrong by so much. */
  launch(clockAheadMs = 0): RunningGatekeeper {
    return new RunningGatekeeper(
      spawn(process.execPath, ['--conditions=drawbridge-source', commandFile, 'gatekeeper', '--config', this.file], {
        stdio: ['ignore', 'pipe', 'pipe'],
        env: clockAheadMs === 0 ? process.env : { ...process.env, NODE_OPTIONS: shiftedClock(clockAheadMs) },
      }),
    );
  }

  /** A person of the gatekeeper's own, enlisted; not connected. */
  async person(identifier: string): Promise<Client> {
    const issuer = String(this.config['issuer']);
    const folder = join(this.folder, 'people', identifier);
    mkdirSync(folder, { recursive: true });
    const client = await openClient({
      folder,
      key: new Uint8Array(32).fill(7),
      gatekeeper: issuer,
      provider: { url: `${issuer}/users`, identifier, password: `password of ${identifier}`, signUp: true },
      ca: this.pki.caFile,
    });
    await client.account.enlist();
    return client;
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export class RunningGatekeeper {
  readonly lines: LogLine[] = [];
  readonly #child: ChildProcess;
  readonly #waiting = new Set<() => void>();
  /** Exit code, and what it wrote to standard error. */
  readonly ended: Promise<{ readonly code: number | null; readonly err: string }>;

  constructor(child: ChildProcess) {
    this.#child = child;
    let err = '';
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (err += text));
    createInterface({ input: child.stdout! }).on('line', text => {
      this.lines.push(JSON.parse(text) as LogLine);
      for (const look of this.#waiting) look();
    });
    this.ended = new Promise(resolve => child.on('close', code => resolve({ code, err })));
  }

  /** The next line of that event after a number of lines, also one that is there already. Rejects when the process ends first. */
  async line(event: string, after = 0): Promise<LogLine> {
    const find = (): LogLine | undefined => this.lines.slice(after).find(line => line.event === event);
    const { promise, resolve } = Promise.withResolvers<void>();
    const look = (): void => void (find() !== undefined && resolve());
    this.#waiting.add(look);
    look();
    const ended = this.ended.then(({ code, err }) => {
      throw new Error(`ended with ${code} before ${event}: ${err}\n${JSON.stringify(this.lines)}`);
    });
    await Promise.race([promise, ended]);
    this.#waiting.delete(look);
    return find()!;
  }

  signal(name: 'SIGHUP' | 'SIGTERM' | 'SIGKILL'): void {
    this.#child.kill(name);
  }

  async stop(): Promise<number | null> {
    this.signal('SIGTERM');
    return (await this.ended).code;
  }
}

/** Makes Node's wall clock wrong, in all threads; the one that only goes forward stays. */
export function shiftedClock(aheadMs: number): string {
  const program = `const D=Date;const a=${aheadMs};const n=()=>D.now.call(D)+a;globalThis.Date=class extends D{constructor(...x){if(x.length)super(...x);else super(n())}static now(){return n()}}`;
  return `--import=data:text/javascript,${encodeURIComponent(program)}`;
}

/** The serial number of the certificate that a port serves. */
export async function servedSerial(port: number, protocol = 'xmpp-client'): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ALPNProtocols: [protocol] });
  await new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject));
  const { serialNumber } = socket.getPeerCertificate();
  socket.destroy();
  return serialNumber;
}
