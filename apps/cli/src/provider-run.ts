// Runs the provider kit by itself, and keeps its people and keys. Knows nothing of how a provider works.
import { existsSync, readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { dirname, join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { makeFolder } from '@drawbridge/identity/make-folder';
import type { ControlLog } from '@drawbridge/gatekeeper/control';
import { clientAddress, proxyCheck } from '@drawbridge/gatekeeper/http/client-address';
import { isUserIdentifier } from '@drawbridge/identity/ownership-proof';
import { createIssuer } from '@drawbridge/provider/issuer';
import { issuerKeyFile } from '@drawbridge/provider/issuer-key-file';
import { isPassword } from '@drawbridge/provider/password-hash';
import { type MediaStorage, openMediaStorage, parseMediaStorage } from '@drawbridge/provider/media-storage';
import {
  createProvider,
  type GatekeeperNotice,
  type Provider,
  type ProviderOptions,
} from '@drawbridge/provider/provider';
import { openProviderDatabase } from '@drawbridge/provider/provider-database';
import { createSqliteDirectory } from '@drawbridge/provider/sqlite-directory';
import { askSecret } from './secrets.ts';
import { CommandError, exitCodes, usageError } from './command-error.ts';
import { loopbackAddresses } from './dev-config.ts';
import { lockFolder } from './folder-lock.ts';
import { closeWithin, onReload, untilStopped } from './lifetime.ts';
import { createOperatorLog } from './operator-log.ts';
import { needed, type ProviderFlags } from './provider.ts';

const closeMs = 8_000;
const loggedSteps = new Set(['sandbox', 'live', 'suspended', 'resumed', 'withdrawn', 'terms-changed', 'keys-revoked']);

export type ProviderRun = {
  readonly provider: ProviderOptions;
  readonly listen: Parameters<Provider['listen']>[0];
  readonly mediaStorage?: MediaStorage;
};

/** The members of `provider.json`, which are the options of the command; the operator's page has a row for each. */
export const members: Readonly<Record<Exclude<keyof ProviderFlags, 'config'>, (value: unknown) => boolean>> = {
  data: isText,
  issuer: isText,
  gatekeeper: value => Array.isArray(value) && value.length > 0 && value.every(isText),
  host: isText,
  port: value => Number.isInteger(value),
  tlsCert: isText,
  tlsKey: isText,
  registration: value => value === 'open' || value === 'closed',
  trustedProxy: value => Array.isArray(value) && value.every(isText),
  connectionsPerAddress: value => Number.isInteger(value),
  developmentCa: isText,
  mediaStorage: value => typeof value === 'object' && value !== null,
};

function isText(value: unknown): boolean {
  return typeof value === 'string' && value.length > 0;
}

/** Checks options or the configuration file. Throws a CommandError that says what to mend. */
export function readProviderOptions(flags: ProviderFlags): ProviderRun {
  const { config, ...rest } = flags;
  if (config !== undefined && Object.keys(rest).length > 0) {
    throw usageError('--config stands in place of the other options', 'put them into the file, or leave --config out');
  }
  const given = config === undefined ? rest : readConfigFile(config);
  const folder = config === undefined ? '.' : dirname(config);
  const {
    host = '127.0.0.1',
    port = 8443,
    tlsCert,
    tlsKey,
    registration = 'closed',
    developmentCa,
    trustedProxy = [],
    connectionsPerAddress,
  } = given;
  const development = developmentCa !== undefined;
  const issuer = issuerUrl('issuer', needed(given.issuer, 'issuer'), development);
  const gatekeepers = needed(given.gatekeeper, 'gatekeeper').map(url => issuerUrl('gatekeeper', url, development));
  if (port < 0 || port > 65_535) throw usageError('--port is out of range', 'give a port up to 65535');
  if ((tlsCert === undefined) !== (tlsKey === undefined)) {
    throw usageError('--tls-cert and --tls-key belong together', 'give both, or neither behind your own proxy');
  }
  if (connectionsPerAddress !== undefined && (connectionsPerAddress < 1 || connectionsPerAddress > 20_000)) {
    throw usageError('--connections-per-address is out of range', 'give 1 to 20000');
  }
  const notAddress = trustedProxy.find(each => !isAddressOrNetwork(each));
  if (notAddress !== undefined) {
    throw usageError(
      `--trusted-proxy ${notAddress} is not an address`,
      'give addresses such as 10.0.0.7 or 10.0.0.0/24',
    );
  }
  const mediaStorage = given.mediaStorage === undefined ? undefined : storageOf(given.mediaStorage, folder);
  const read = (file: string): string => readFileSync(resolve(folder, file), 'utf8');
  return {
    provider: {
      issuer,
      gatekeepers: gatekeepers.map(gatekeeper => ({ issuer: gatekeeper })),
      dataFolder: resolve(folder, needed(given.data, 'data')),
      registration,
      // Else everybody behind a proxy would share its budget of logins.
      ...(trustedProxy.length === 0 ? {} : { clientAddress: clientAddress(trustedProxy) }),
      ...(developmentCa === undefined
        ? {}
        : { egress: { allow: { addresses: loopbackAddresses, ca: read(developmentCa) } } }),
    },
    listen: {
      host,
      port,
      ...(tlsCert === undefined || tlsKey === undefined ? {} : { tls: { cert: read(tlsCert), key: read(tlsKey) } }),
      ...(connectionsPerAddress === undefined ? {} : { connectionsPerAddress }),
      ...(trustedProxy.length === 0 ? {} : { isProxy: proxyCheck(trustedProxy) }),
    },
    ...(mediaStorage === undefined ? {} : { mediaStorage }),
  };
}

function isAddressOrNetwork(text: string): boolean {
  const [address = '', prefix, ...more] = text.split('/');
  const family = isIP(address);
  if (family === 0 || more.length > 0) return false;
  return prefix === undefined || (/^[0-9]{1,3}$/.test(prefix) && Number(prefix) <= (family === 4 ? 32 : 128));
}

function storageOf(value: object, folder: string): MediaStorage {
  const storage = parseMediaStorage(value);
  if (typeof storage === 'string') {
    throw new CommandError(`mediaStorage: ${storage}`, 'see docs/operations/configuration.md');
  }
  const { credentialsFile, caFile } = storage;
  return {
    ...storage,
    ...(credentialsFile === undefined ? {} : { credentialsFile: resolve(folder, credentialsFile) }),
    ...(caFile === undefined ? {} : { caFile: resolve(folder, caFile) }),
  };
}

function readConfigFile(file: string): Omit<ProviderFlags, 'config'> {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new CommandError(`${file} is not JSON: ${error.message}`, 'mend it; `drawbridge provider --help` shows one');
  }
  if (typeof value !== 'object' || value === null) throw new CommandError(`${file} is not a JSON object`, 'mend it');
  for (const [name, member] of Object.entries(value)) {
    if (!Object.hasOwn(members, name)) {
      throw new CommandError(
        `${file}: ${name} is not a known member`,
        `remove it; known: ${Object.keys(members).join(', ')}`,
      );
    }
    if (!members[name as keyof typeof members](member)) {
      throw new CommandError(`${file}: ${name} has a wrong value`, 'see `drawbridge provider --help`');
    }
  }
  return value;
}

/** Gatekeepers compare issuers character for character, so only the normal spelling is taken. */
function issuerUrl(name: string, url: string, development: boolean): string {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  const loopback = parsed !== undefined && ['localhost', '127.0.0.1', '[::1]'].includes(parsed.hostname);
  const scheme = parsed?.protocol === 'https:' || (parsed?.protocol === 'http:' && loopback && development);
  const normal = parsed !== undefined && parsed.href.replace(/\/$/, '') === url && parsed.search + parsed.hash === '';
  if (scheme && normal && parsed.username === '') return url;
  throw usageError(
    `--${name} ${url} is not an issuer URL`,
    'give https://, a lower-case host and no slash, query or default port at the end',
  );
}

/** Runs until a signal. Rejects with a CommandError or the system's error when it can't start. */
export async function runProvider(flags: ProviderFlags): Promise<void> {
  const { provider: options, listen, mediaStorage } = readProviderOptions(flags);
  const log = createOperatorLog(process.stdout);
  makeFolder(options.dataFolder);
  const stopped = untilStopped();
  let running: Provider | undefined;
  onReload(() => {
    if (running !== undefined) reloadProvider(running, flags, log);
  });
  const start = async (): Promise<Provider> => {
    const warn = (event: string, code: string): void => log('warn', event, { code });
    const store =
      mediaStorage === undefined
        ? undefined
        : await openMediaStorage(mediaStorage, {
            spoolFolder: join(options.dataFolder, 'media', 'spool'),
            environment: process.env,
            log: warn,
          });
    return await createProvider({
      media: store === undefined ? {} : { store },
      ...options,
      log: ({ event, code }) => warn(event, code),
      onEvent: notice => log('info', 'gatekeeper-told', { code: wordOf(notice) }),
    });
  };
  const provider = await start().catch((error: unknown): never => {
    throw new CommandError(error instanceof Error ? error.message : String(error), '');
  });
  try {
    const at = await provider.listen(listen);
    running = provider;
    log('info', 'listening', { host: at.host, port: at.port, tls: listen.tls === undefined ? 'no' : 'yes' });
    await stopped;
  } finally {
    await closeWithin(closeMs, provider.close);
  }
  log('info', 'stopped', {});
  process.exit(exitCodes.ok);
}

/** Names nobody, and nothing that somebody else has written. */
function wordOf(notice: GatekeeperNotice): string {
  return notice.kind !== 'provider-step' || !loggedSteps.has(notice.step) ? notice.kind : `provider-${notice.step}`;
}

/** Takes the certificate again; whatever else changed in the options needs a restart. */
function reloadProvider(provider: Provider, flags: ProviderFlags, log: ControlLog): void {
  try {
    const { tls } = readProviderOptions(flags).listen;
    if (tls !== undefined) provider.setCertificate(tls);
    log('info', 'reloaded', { certificate: tls === undefined ? 'none' : 'read' });
  } catch (error) {
    const next = error instanceof Error ? error.message : String(error);
    log('error', 'reload-refused', { code: 'certificate-or-options', next });
  }
}

/** Adds a person whose password is typed, or stands on standard input. A provider that runs sees them at once. */
export async function addUser(folder: string, identifier: string): Promise<void> {
  if (!isUserIdentifier(identifier)) {
    throw usageError(
      'that is not a user-visible identifier',
      'give 1 to 128 characters, no space at the ends, in form NFC',
    );
  }
  const password = process.stdin.isTTY
    ? await askSecret({ question: `Password of ${identifier}: ` })
    : (await text(process.stdin)).replace(/\r?\n$/, '');
  if (!isPassword(password)) throw usageError('that is not a password', 'give 8 characters to 512 bytes, in one line');
  makeFolder(folder);
  const database = openProviderDatabase(join(folder, 'provider.sqlite'));
  try {
    const registration = await createSqliteDirectory(database, Date.now).register(identifier, password);
    if (registration.kind !== 'registered') {
      const code = registration.kind === 'busy' ? 'busy' : registration.code;
      throw new CommandError(`not added: ${code}`, 'choose another identifier');
    }
  } finally {
    await database.close();
  }
  process.stdout.write('added\n');
}

/** A running issuer would go on with its old keys, and nothing would have changed. */
function lockForKeys(folder: string): () => void {
  try {
    return lockFolder(folder, 'provider');
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    throw new CommandError(
      error.message,
      "stop it first; a gatekeeper's own users: POST /admin/v1/providers/0/revoke-keys replaces the keys while it runs",
    );
  }
}

export async function rotateKeys(folder: string): Promise<void> {
  const file = join(folder, 'signing-keys.json');
  if (!existsSync(file)) throw new CommandError(`${folder} holds no signing keys`, "name the provider's data folder");
  const unlock = lockForKeys(folder);
  try {
    const issuer = await createIssuer({ store: issuerKeyFile(file), nowMs: Date.now });
    await issuer.replaceAllKeys();
    process.stdout.write(`new signing key ${issuer.signingKey().kid}\nNext: start the provider\n`);
  } finally {
    unlock();
  }
}
