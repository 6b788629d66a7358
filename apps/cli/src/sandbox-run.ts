// Runs a sandbox: certificates → two issuers on one port → a gatekeeper in its own process → accounts. In this process
// proofs are signed; the gatekeeper's process does nothing but a gatekeeper's work, so that it can be measured alone.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { join, resolve } from 'node:path';
import { makeFolder } from '@drawbridge/identity/make-folder';
import type { Config } from '@drawbridge/gatekeeper/config';
import { createHttpPort, type HttpPort } from '@drawbridge/gatekeeper/listeners/http-port';
import { openProviderDatabase } from '@drawbridge/provider/provider-database';
import { createProvider, type Provider } from '@drawbridge/provider/provider';
import { createSqliteDirectory } from '@drawbridge/provider/sqlite-directory';
import type { UserDirectory } from '@drawbridge/provider/user-directory';
import { parseJid } from '@drawbridge/wire/jid';
import { CommandError, usageError } from './command-error.ts';
import { devEgress, devGatekeeperConfig, devGatekeeperIssuer, portFault } from './dev-config.ts';
import { type DevPki, ensureDevPki } from './dev-pki.ts';
import { lockFolder } from './folder-lock.ts';
import { forkGatekeeper, type GatekeeperProcess } from './gatekeeper-process.ts';
import { type OwnProvider, writeTrust } from './own-provider.ts';
import { readAccounts, type SandboxAccount, sandboxProvider, writeAccounts } from './sandbox-accounts.ts';
import { makeDevices } from './sandbox-devices.ts';
import { createSandboxHttp } from './sandbox-http.ts';
import { sandboxPage } from './sandbox-page.ts';

export const sandboxLimits = { maxAccounts: 100_000 } as const;

/** What every account `u0`, `u1`, … logs in to its provider with. People who register choose their own. */
export const sandboxPassword = 'drawbridge';

/** The third party. */
export const sandboxThirdParty = { number: 1, path: '/skylark', name: 'skylark.localhost' } as const;
const ownProviderNumber = 2;
const ownUsersPath = '/users';

export type SandboxPorts = {
  readonly xmpp: number;
  readonly xmpps: number;
  readonly websocket: number;
  readonly compact: number;
  readonly http: number;
  readonly sandbox: number;
  readonly admin: number;
};

export type SandboxOptions = {
  readonly data: string;
  /** The first of seven ports; 0 takes any seven that are free. */
  readonly basePort: number;
  readonly accounts: number;
  readonly domain: string;
  /** An address of loopback, or `localhost`. */
  readonly host: string;
  readonly unlimited: boolean;
  /** First messages across providers are requests. */
  readonly requests?: boolean;
  readonly tls: boolean;
  readonly verbose: boolean;
  readonly keyLogFile?: string;
  /** Registered beside the third party, with the number 2; runs elsewhere on this machine. */
  readonly ownProvider?: OwnProvider;
  /** Told how many accounts are enlisted so far. */
  readonly onProgress?: (accounts: number) => void;
};

/** What a ready sandbox says about itself; the first line of `--json`. */
export type SandboxReady = {
  readonly ready: true;
  readonly domain: string;
  readonly ports: SandboxPorts;
  /** PEM file to trust. */
  readonly ca: string;
  /** File with a JSON line for each account. */
  readonly accounts: string;
  readonly pids: { readonly gatekeeper: number };
};

export type Sandbox = {
  readonly ready: SandboxReady;
  readonly accounts: readonly SandboxAccount[];
  /** Resolves with words when the gatekeeper's process ends by itself. */
  readonly died: Promise<string>;
  readonly close: () => Promise<void>;
};

/** Checks options that need no I/O. Throws a CommandError with exit code 2. */
export function checkSandboxOptions(options: SandboxOptions): void {
  const { accounts, basePort, domain, host } = options;
  if (!Number.isInteger(accounts) || accounts < 1 || accounts > sandboxLimits.maxAccounts) {
    throw usageError('--accounts is out of range', `give a number from 1 to ${sandboxLimits.maxAccounts}`);
  }
  if (!Number.isInteger(basePort) || basePort < 0 || basePort > 65_529) {
    throw usageError('--base-port is out of range', 'seven ports are needed: give 1 to 65529, or 0 for any free ones');
  }
  if (!isLoopback(host)) {
    throw usageError(
      `--host ${host} is not loopback: a sandbox gives everybody who reaches it the right to be anybody in it`,
      'use 127.0.0.1, ::1 or localhost; for other machines run `drawbridge gatekeeper` and `drawbridge provider`',
    );
  }
  const jid = parseJid(domain);
  if (jid === undefined || jid.local !== '' || jid.resource !== '' || jid.domain !== domain) {
    throw usageError('--domain is not a DNS name in lower case', 'give one such as localhost or citadel.example');
  }
  if (domain === sandboxThirdParty.name)
    throw usageError('--domain is the third party of the sandbox', 'choose another');
  const ownName = options.ownProvider?.registration.name;
  if (ownName === sandboxThirdParty.name || ownName === domain)
    throw usageError("--provider-name is the third party's or the domain", 'choose another');
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}

/** Starts everything and enlists the accounts that are missing. Rejects, with everything stopped, when it can't. */
export async function startSandbox(options: SandboxOptions): Promise<Sandbox> {
  checkSandboxOptions(options);
  const folder = resolve(options.data);
  makeFolder(folder);
  const closers: (() => Promise<unknown> | void)[] = [];
  const close = async (): Promise<void> => {
    for (const closeOne of closers.splice(0).reverse()) await closeOne();
  };
  try {
    closers.push(lockFolder(folder, 'sandbox'));
    keepDomain(folder, options.domain);
    const ports = await choosePorts(options.basePort, options.host);
    const gatekeeper = forkGatekeeper();
    closers.push(gatekeeper.stop);

    const pki = await ensureDevPki(join(folder, 'pki'), [options.domain, sandboxThirdParty.name]);
    const accountsFile = join(folder, 'accounts.jsonl');
    let accounts = readAccounts(accountsFile);
    const ownMediaOrigin = await addressOrigin(options.host, ports.sandbox);
    const issuers = await openIssuers(folder, pki, ports, ownMediaOrigin, () => accounts);
    closers.push(issuers.close);
    const http = await listen(ports.sandbox, options.host, pki, {
      gatekeeper: devGatekeeperIssuer(ports.http),
      domain: options.domain,
      issuers: new Map([
        [sandboxThirdParty.path, issuers.thirdParty],
        [ownUsersPath, issuers.ownUsers],
      ]),
      issuerOf: provider => (provider === 0 ? issuers.ownUsers : issuers.thirdParty),
      accounts: () => accounts,
      ca: readFileSync(pki.caFile, 'utf8'),
      page: () =>
        sandboxPage({
          ...{ ready, accounts, tls: options.tls, password: sandboxPassword, ownMediaOrigin },
          ownProvider: options.ownProvider?.registration,
        }),
    });
    closers.push(() => http.close());

    await gatekeeper.start({
      config: gatekeeperConfig(options, folder, pki, ports, issuers, ownMediaOrigin),
      plaintextXmpp: !options.tls,
      logLevel: options.verbose ? 'info' : 'error',
      ...(options.keyLogFile === undefined ? {} : { keyLogFile: resolve(options.keyLogFile) }),
    });
    if (accounts.length < options.accounts) {
      accounts = await enlistMissing(gatekeeper, accounts, options);
      writeAccounts(accountsFile, accounts);
    }
    const ready: SandboxReady = {
      ready: true,
      domain: options.domain,
      ports,
      ca: pki.caFile,
      accounts: accountsFile,
      pids: { gatekeeper: gatekeeper.pid },
    };
    return { ready, accounts, died: gatekeeper.died, close };
  } catch (error) {
    await close();
    throw error;
  }
}

function gatekeeperConfig(
  options: SandboxOptions,
  folder: string,
  pki: DevPki,
  ports: SandboxPorts,
  issuers: Issuers,
  ownMediaOrigin: string,
): Config {
  const { domain, host, unlimited, requests, ownProvider } = options;
  const { number, name } = sandboxThirdParty;
  const { issuer } = issuers.thirdParty;
  return devGatekeeperConfig({
    ...{ folder: join(folder, 'gatekeeper'), pki, domain, host, ports, unlimited },
    requests: requests === true ? 'across-providers' : 'none',
    providers: [
      { number, name, issuer, wakeUpUrl: wakeUps(issuer), eventsUrl: `${issuer}/v1/events` },
      ...(ownProvider === undefined ? [] : [{ number: ownProviderNumber, ...ownProvider.registration }]),
    ],
    ownUsers: {
      issuer: issuers.ownUsers.issuer,
      wakeUpUrl: wakeUps(issuers.ownUsers.issuer),
      mediaOrigins: [ownMediaOrigin],
    },
    // People of one's own provider may reach those of the third party, and each other.
    admittedPairs: ownProvider === undefined ? [] : [number, ownProviderNumber].map(each => [each, ownProviderNumber]),
    plainHttpOrigins: ownProvider?.plainHttpOrigins ?? [],
    caFile: writeTrust(join(folder, 'pki'), pki, ownProvider),
  });
}

/** The accounts' addresses hold the domain, so a folder keeps the one it was made with. */
function keepDomain(folder: string, domain: string): void {
  const file = join(folder, 'sandbox.json');
  if (!existsSync(file)) {
    writeFileSync(file, `${JSON.stringify({ version: 1, domain })}\n`);
    return;
  }
  let kept: unknown;
  try {
    kept = (JSON.parse(readFileSync(file, 'utf8')) as { domain?: unknown }).domain;
  } catch {
    throw new CommandError(`${file} is damaged`, 'remove the data folder to start again, or name another with --data');
  }
  if (kept === domain) return;
  throw new CommandError(
    `${folder} was made for the domain ${String(kept)}`,
    `start it with --domain ${String(kept)}, or name another folder with --data`,
  );
}

async function choosePorts(basePort: number, host: string): Promise<SandboxPorts> {
  for (let tries = 0; ; tries++) {
    const base = basePort === 0 ? 20_000 + Math.floor(Math.random() * 12_000) : basePort;
    const ports: SandboxPorts = {
      xmpp: base,
      xmpps: base + 1,
      websocket: base + 2,
      compact: base + 3,
      http: base + 4,
      sandbox: base + 5,
      admin: base + 6,
    };
    let taken: CommandError | undefined;
    for (const [name, port] of Object.entries(ports)) {
      const fault = await portFault(port, host);
      if (fault === undefined) continue;
      const words = fault === 'EADDRINUSE' ? 'is in use' : `can't be listened on (${fault})`;
      const lowPort = fault === 'EACCES' ? 'ports below 1024 need a privilege: ' : '';
      taken ??= new CommandError(
        `port ${port} (${name}) of ${host} ${words}`,
        `${lowPort}choose seven other ports with --base-port (0 takes any that are free), or stop what listens there`,
      );
    }
    if (taken === undefined) return ports;
    if (basePort !== 0 || tries === 50) throw taken;
  }
}

/**
 * The sandbox's port by address instead of by name. Whose file it is, is told by the origin, and both issuers share a
 * port: own users' files lie at this one, the third party's at `localhost`.
 */
async function addressOrigin(host: string, port: number): Promise<string> {
  const address = host === 'localhost' ? (await lookup(host)).address : host;
  return `https://${isIP(address) === 6 ? `[${address}]` : address}:${port}`;
}

type Issuers = { readonly thirdParty: Provider; readonly ownUsers: Provider; readonly close: () => Promise<void> };

async function openIssuers(
  folder: string,
  pki: DevPki,
  ports: SandboxPorts,
  ownMediaOrigin: string,
  accounts: () => readonly SandboxAccount[],
): Promise<Issuers> {
  const open = (path: string, number: 0 | 1): Promise<Provider> => {
    const dataFolder = join(folder, path.slice(1));
    makeFolder(dataFolder);
    return createProvider({
      issuer: `https://localhost:${ports.sandbox}${path}`,
      gatekeepers: [{ issuer: devGatekeeperIssuer(ports.http) }],
      dataFolder,
      registration: 'open',
      egress: devEgress(pki),
      directory: sandboxDirectory(join(dataFolder, 'people.sqlite'), number, accounts),
      media: number === 0 ? { url: `${ownMediaOrigin}${path}/media` } : {},
    });
  };
  const thirdParty = await open(sandboxThirdParty.path, 1);
  const ownUsers = await open(ownUsersPath, 0);
  return {
    thirdParty,
    ownUsers,
    close: async () => void (await Promise.all([thirdParty.close(), ownUsers.close()])),
  };
}

/** The sandbox's accounts, who all have one password, and beside them whoever registers. */
function sandboxDirectory(file: string, provider: 0 | 1, accounts: () => readonly SandboxAccount[]): UserDirectory {
  const database = openProviderDatabase(file);
  const registered = createSqliteDirectory(database, Date.now);
  const isAccount = (identifier: string): boolean => {
    const index = /^u(0|[1-9][0-9]{0,6})$/.exec(identifier)?.[1];
    return index !== undefined && accounts()[Number(index)]?.provider === provider;
  };
  return {
    authenticate: async (identifier, password) =>
      isAccount(identifier)
        ? { kind: password === sandboxPassword ? 'authenticated' : 'refused' }
        : await registered.authenticate(identifier, password),
    exists: async identifier => isAccount(identifier) || (await registered.exists(identifier)),
    // All names of this form are kept for accounts that a later start may add.
    register: async (identifier, password) =>
      /^u[0-9]+$/.test(identifier)
        ? { kind: 'refused', code: 'identifier-taken' }
        : await registered.register(identifier, password),
    close: () => database.close(),
  };
}

function wakeUps(issuer: string): string {
  return `${issuer}/v1/wake-ups`;
}

async function listen(
  port: number,
  host: string,
  pki: DevPki,
  served: Parameters<typeof createSandboxHttp>[0],
): Promise<HttpPort> {
  const http = createHttpPort(createSandboxHttp(served), {
    tls: { cert: readFileSync(pki.certFile), key: readFileSync(pki.keyFile) },
    alsoPlain: true,
    limits: { maxConnections: 10_000, headersTimeoutMs: 15_000, requestTimeoutMs: 30_000 },
    isUpload: request => [...served.issuers.values()].some(issuer => issuer.media?.serves(request) === true),
  });
  await new Promise<void>((resolve, reject) => {
    http.server.once('error', reject);
    http.server.listen(port, host, () => resolve());
  });
  return http;
}

/** Enlists the accounts from the first missing one on; gives back all. */
async function enlistMissing(
  gatekeeper: GatekeeperProcess,
  kept: readonly SandboxAccount[],
  { accounts: wanted, domain, onProgress = () => {} }: SandboxOptions,
): Promise<SandboxAccount[]> {
  const accounts = [...kept];
  for (const devices of makeDevices(wanted - kept.length, Date.now())) {
    const first = accounts.length;
    const list = devices.map(({ device }, index) => ({
      provider: sandboxProvider(first + index),
      identifier: `u${first + index}`,
      device,
    }));
    const results = await gatekeeper.enlist(list, sandboxThirdParty.number);
    for (const [index, result] of results.entries()) {
      const { identifier, provider } = list[index]!;
      if (result.kind === 'refused') {
        throw new CommandError(
          `the gatekeeper refuses to enlist ${identifier}: ${result.code}`,
          'remove the data folder to start again',
        );
      }
      accounts.push({
        account: identifier,
        jid: `${result.interopId}@${domain}/${result.deviceId}`,
        device: result.deviceId,
        identifier,
        provider,
        deviceKey: devices[index]!.deviceKey,
      });
    }
    onProgress(accounts.length);
  }
  return accounts;
}
