// The gatekeeper's configuration: one JSON file, read once, into a value that can't be wrong.
// Knows nothing of what the values do; docs/operations/configuration.md is made from this schema.
import { accessSync, constants, readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { dirname, resolve } from 'node:path';
import { endpointFault, type MediaStorage, mediaStorageSchema } from '@drawbridge/provider/media-storage';
import { parseJid } from '@drawbridge/wire/jid';
import { type Static, type TProperties, Type } from 'typebox';
import { Value } from 'typebox/value';

type Options = { readonly description?: string; readonly default?: unknown };

/** An object that has exactly these members. */
function closed<P extends TProperties>(properties: P, options: Options = {}) {
  return Type.Object(properties, { additionalProperties: false, ...options });
}

function count(value: number, maximum: number, description: string) {
  return Type.Integer({ minimum: 1, maximum, default: value, description });
}

/** `burst` at once, then one more every `refillSeconds`. */
function budget(burst: number, refillSeconds: number, description: string) {
  return closed(
    {
      burst: Type.Integer({ minimum: 1, maximum: 1_000_000, default: burst, description: 'how many at once' }),
      refillSeconds: Type.Number({
        minimum: 0.0001,
        maximum: 86_400,
        default: refillSeconds,
        description: 'then one more every so many seconds',
      }),
    },
    { description, default: {} },
  );
}

const hostText = 'address or name to listen on';
const url = (description: string) => Type.String({ minLength: 8, maxLength: 2048, pattern: '^https?://', description });

function listener(description: string, defaultHost = '::') {
  return closed(
    {
      host: Type.String({ minLength: 1, maxLength: 255, default: defaultHost, description: hostText }),
      port: Type.Integer({ minimum: 0, maximum: 65535, description: 'TCP port; 0 (any free one) in development only' }),
    },
    { description },
  );
}

const suites = Type.Array(Type.String({ pattern: '^[a-z0-9][a-z0-9.-]{0,31}$' }), {
  minItems: 1,
  maxItems: 16,
  uniqueItems: true,
  default: ['signal-1'],
  description: 'end-to-end encryption suites that its users may send (docs/suites.md)',
});
const keySetOrigins = Type.Array(url('origin'), {
  maxItems: 4,
  default: [],
  description: "origins besides the issuer's own where its key set may lie",
});
const mediaOrigins = Type.Array(url('origin'), {
  maxItems: 16,
  default: [],
  description: 'origins where the encrypted files of its users lie; the media proxy fetches from nowhere else',
});
const wakeUpUrl = Type.Optional(url('where wake-ups are posted; none are sent without it'));

const providerSchema = closed({
  number: Type.Integer({ minimum: 1, maximum: 65535, description: 'its number for ever; never given to another' }),
  name: Type.String({ minLength: 1, maxLength: 253, description: 'its DNS name' }),
  issuer: url('its issuer URL, exactly as in its proofs; no slash at the end'),
  keySetOrigins,
  mediaOrigins,
  wakeUpUrl,
  suites,
  status: Type.Union([Type.Literal('live'), Type.Literal('suspended')], {
    default: 'live',
    description: '`suspended` here can not be lifted by the admin API',
  }),
  trustClass: Type.Union([Type.Literal('standard'), Type.Literal('trial')], {
    default: 'standard',
    description: "`trial`: a tenth of every provider's budget",
  }),
  quotas: closed(
    { enlistments: count(10_000_000, 1_000_000_000, 'people of this provider that may be enlisted') },
    { default: {}, description: 'what this provider may use up' },
  ),
});

const embeddedUsers = closed({
  kind: Type.Literal('embedded', { description: 'the provider kit inside this process is their issuer, at `/users`' }),
  registration: Type.Union([Type.Literal('open'), Type.Literal('closed')], {
    default: 'closed',
    description: '`open`: anybody may make a user over HTTP; `closed`: the operator makes them',
  }),
  wakeUps: Type.Boolean({ default: true, description: "wake own users through the kit's wake-up stream" }),
  suites,
  mediaStorage: Type.Optional(mediaStorageSchema),
});
const issuedUsers = closed({
  kind: Type.Literal('issuer', { description: "the operator's own OpenID issuer" }),
  issuer: url('issuer URL'),
  keySetOrigins,
  mediaOrigins,
  wakeUpUrl,
  suites,
});

const configSchema = closed({
  mode: Type.Union([Type.Literal('production'), Type.Literal('development')], {
    default: 'production',
    description: '`development` allows plain HTTP, loopback addresses, port 0 and unlimited budgets',
  }),
  domain: Type.String({ minLength: 1, maxLength: 253, description: 'DNS name that stands in every JID' }),
  issuer: url("this gatekeeper's issuer URL: the `aud` of every ownership proof; no slash at the end"),
  dataFolder: Type.String({ minLength: 1, default: 'data', description: 'database, keys, admin token' }),
  publicHost: Type.Optional(
    Type.String({ minLength: 1, maxLength: 253, description: 'name that clients connect to; the domain when absent' }),
  ),
  terms: Type.Optional(url('terms and reference offer for people and providers')),
  tls: Type.Optional(
    closed(
      {
        certFile: Type.String({ minLength: 1, description: 'PEM, with the intermediate certificates' }),
        keyFile: Type.String({ minLength: 1, description: 'PEM' }),
      },
      { description: 'certificate of all listeners but `admin` and `compact`; needed in production' },
    ),
  ),
  listeners: closed(
    {
      xmpp: Type.Optional(listener('XMPP with STARTTLS; usually 5222')),
      xmpps: Type.Optional(listener('XMPP with direct TLS; usually 5223')),
      websocket: Type.Optional(listener('XMPP over WebSocket, path /xmpp; may be the same as `http`')),
      compact: Type.Optional(listener('compact transport over TCP')),
      compactWebsocket: Type.Optional(listener('compact transport over WebSocket; may be the same as `http`')),
      http: listener('enlistment API and well-known documents'),
      admin: closed(
        {
          host: Type.String({ minLength: 1, maxLength: 255, default: '127.0.0.1', description: hostText }),
          port: Type.Integer({ minimum: 0, maximum: 65535, default: 9320, description: 'TCP port' }),
        },
        { description: 'admin API, metrics, health; plain HTTP, keep it off the Internet', default: {} },
      ),
    },
    { description: 'absent ones do not listen' },
  ),
  trustedProxies: Type.Array(Type.String(), {
    maxItems: 32,
    default: [],
    description: 'addresses of reverse proxies whose X-Forwarded-For is believed; none by default',
  }),
  ownUsers: Type.Union([embeddedUsers, issuedUsers], {
    default: { kind: 'embedded' },
    description: "who vouches for the gatekeeper's own users (provider 0)",
  }),
  providers: Type.Array(providerSchema, { maxItems: 4096, default: [], description: 'third-party providers' }),
  policy: closed(
    {
      admittedPairs: Type.Array(
        Type.Tuple([Type.Integer({ minimum: 1, maximum: 65535 }), Type.Integer({ minimum: 1, maximum: 65535 })]),
        {
          maxItems: 4096,
          default: [],
          description: 'pairs of third-party providers whose users may reach each other here; [n, n] within one',
        },
      ),
    },
    { default: {}, description: 'who may reach whom' },
  ),
  egress: closed(
    {
      allowAddresses: Type.Array(Type.String(), {
        maxItems: 16,
        default: [],
        description: 'addresses that are not public and may be reached all the same; development only',
      }),
      allowPlainHttpOrigins: Type.Array(url('origin'), {
        maxItems: 64,
        default: [],
        description: 'loopback origins that may be reached without TLS; development only',
      }),
      caFile: Type.Optional(
        Type.String({ minLength: 1, description: "PEM, trusted instead of the system's authorities" }),
      ),
    },
    { default: {}, description: 'outgoing requests' },
  ),
  limits: closed(
    {
      devicesPerAccount: count(16, 64, 'devices that one person may have at once'),
      oneTimeKeysPerCall: count(50, 100, 'one-time keys of each kind in one `publish`'),
      oneTimeKeysPerEnlistment: count(100, 100, 'one-time keys of each kind in one enlistment'),
      oneTimeKeysKept: count(200, 1_000, 'one-time keys of each kind kept for a device'),
      lowKeysNotice: count(20, 100, 'below this many one-time keys, the device is told'),
      authorisationsPerAccount: count(10, 100, 'device authorisations that wait to be used'),
      authorisationLifetimeSeconds: count(600, 86_400, 'life of a device authorisation'),
      mailboxEntries: count(200_000, 10_000_000, 'messages that may wait for one device'),
      mailboxBytes: count(268_435_456, 17_179_869_184, 'bytes that may wait for one device'),
      mailboxEntriesPerSender: count(50_000, 10_000_000, 'of these, messages of one person'),
      mailboxBytesPerSender: count(67_108_864, 17_179_869_184, 'of these, bytes of one person'),
      mailboxDays: count(30, 365, 'days until a waiting message expires'),
      connectionsPerAddress: count(32, 100_000, 'connections of one address (IPv4, or /64 of IPv6) before login'),
      connectionsPerSite: count(256, 100_000, 'connections of one /48 of IPv6 before login'),
      connectionsBeforeLogin: count(20_000, 10_000_000, 'all connections before login'),
      streams: count(
        200_000,
        10_000_000,
        'connections of clients in this process, HTTP included; each needs an open file',
      ),
      httpConnections: count(2_048, 100_000, 'open connections of each HTTP listener, WebSockets not counted'),
      httpConnectionsPerAddress: count(
        128,
        100_000,
        'of these, connections of one address (IPv4, or /64 of IPv6); `trustedProxies` are exempt',
      ),
      httpConnectionsPerSite: count(512, 100_000, 'of these, connections of one /48 of IPv6'),
      accountCacheEntries: count(100_000, 10_000_000, 'accounts held in memory'),
      wakeUpIntervalSeconds: count(30, 3_600, 'at most one wake-up per person in this time'),
      wakeUpsWaiting: count(100_000, 10_000_000, 'wake-ups that may wait to be sent'),
      wakeUpLifetimeSeconds: count(3_600, 86_400, 'a wake-up that could not be sent for so long is given up'),
      wakeUpsAtOnce: count(8, 256, 'wake-ups under way to one provider'),
      mediaFileBytes: count(
        2_170_552_320,
        1_099_511_627_776,
        'largest encrypted file that the media proxy passes on; the default fits a file of 2 GiB',
      ),
      mediaFetches: count(256, 10_000, 'fetches under way in the media proxy'),
      mediaFetchesPerAccount: count(8, 1_000, 'fetches under way for one person'),
      mediaFetchSeconds: count(3_600, 86_400, 'longest time of one fetch; the client goes on with a range'),
      mediaIdleSeconds: count(30, 3_600, 'a fetch in which nothing moves for so long is ended'),
      mediaGrantSeconds: count(3_600, 86_400, 'life of a media grant'),
    },
    { default: {}, description: 'sizes and counts' },
  ),
  budgets: closed(
    {
      unlimited: Type.Boolean({ default: false, description: 'no budgets at all, for load tests; development only' }),
      keysTracked: count(100_000, 10_000_000, 'parties remembered by each budget'),
      bundlesPerPair: budget(6, 600, 'prekey bundles of one device for one person'),
      bundlesPerRequester: budget(100, 10, 'prekey bundles for one person'),
      bundlesPerTarget: budget(200, 30, 'prekey bundles of one device for all'),
      bundlesPerTargetAndProvider: budget(60, 60, 'prekey bundles of one device for all people of one provider'),
      lookupsPerRequester: budget(60, 10, 'directory questions of one person'),
      lookupsPerProvider: budget(3_000, 0.05, 'directory questions of all people of one third-party provider'),
      publishesPerDevice: budget(30, 60, 'key uploads of one device'),
      changesPerAccount: budget(30, 60, 'consent changes, authorisations and removals by one person'),
      mediaGrantsPerAccount: budget(300, 1, 'media grants for one person'),
      mediaMebibytesPerAccount: budget(8_192, 0.02, 'MiB through the media proxy for one person; above it, slower'),
      enlistmentsPerProvider: budget(2_000, 0.05, 'enlistments of one provider'),
      enlistmentsPerAddress: budget(60, 10, 'enlistments from one address'),
      requestsPerAddress: budget(300, 0.1, 'HTTP requests from one address'),
    },
    { default: {}, description: 'rates; each says `wait` and when to come again' },
  ),
});

export { configSchema };
export type Config = Static<typeof configSchema>;
export type Limits = Config['limits'];
export type BudgetConfig = Config['budgets'];

export type ConfigErrorCode =
  | 'file-missing'
  | 'file-unreadable'
  | 'not-json'
  | 'unknown-key'
  | 'missing-key'
  | 'wrong-value'
  | 'contradiction';

/** `key` is the path in the file (`providers[0].issuer`), empty for the file as a whole; `message` says what to do. */
export type ConfigError = { readonly code: ConfigErrorCode; readonly key: string; readonly message: string };

export type ConfigResult =
  | { readonly kind: 'loaded'; readonly config: Config }
  | { readonly kind: 'refused'; readonly errors: readonly ConfigError[] };

/** Reads, checks and completes the file. Paths in it are relative to its folder. Never throws. */
export function loadConfig(file: string): ConfigResult {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    return { kind: 'refused', errors: [fileError(error, '', file, 'configuration file')] };
  }
  let value: unknown;
  try {
    value = JSON.parse(text.replace(/^\uFEFF/, ''));
  } catch (error) {
    const message = `${file} is not JSON: ${error instanceof Error ? error.message : 'unreadable'}`;
    return { kind: 'refused', errors: [{ code: 'not-json', key: '', message }] };
  }
  const parsed = parseConfig(value, dirname(resolve(file)));
  if (parsed.kind === 'refused') return parsed;
  const { tls, egress } = parsed.config;
  const files: [string, string | undefined][] = [
    ['tls.certFile', tls?.certFile],
    ['tls.keyFile', tls?.keyFile],
    ['egress.caFile', egress.caFile],
    ['ownUsers.mediaStorage.credentialsFile', mediaStorageOf(parsed.config)?.credentialsFile],
    ['ownUsers.mediaStorage.caFile', mediaStorageOf(parsed.config)?.caFile],
  ];
  const errors = files.flatMap(([key, path]) => (path === undefined ? [] : unreadable(key, path)));
  return errors.length === 0 ? parsed : { kind: 'refused', errors };
}

/** Checks and completes a configuration; relative paths are taken from `folder`. No I/O. */
export function parseConfig(value: unknown, folder: string): ConfigResult {
  const copy = Value.Clone(value) as { ownUsers?: { kind?: unknown } } | undefined;
  // Completed by its own kind, so that errors speak of the form that was meant.
  if (copy?.ownUsers?.kind === 'issuer') Value.Default(issuedUsers, copy.ownUsers);
  if (copy?.ownUsers?.kind === 'embedded') Value.Default(embeddedUsers, copy.ownUsers);
  const config: unknown = Value.Default(configSchema, copy);
  if (!Value.Check(configSchema, config)) return { kind: 'refused', errors: schemaErrors(config) };
  config.dataFolder = resolve(folder, config.dataFolder);
  if (config.tls !== undefined) {
    config.tls.certFile = resolve(folder, config.tls.certFile);
    config.tls.keyFile = resolve(folder, config.tls.keyFile);
  }
  if (config.egress.caFile !== undefined) config.egress.caFile = resolve(folder, config.egress.caFile);
  const storage = mediaStorageOf(config);
  if (storage?.credentialsFile !== undefined) storage.credentialsFile = resolve(folder, storage.credentialsFile);
  if (storage?.caFile !== undefined) storage.caFile = resolve(folder, storage.caFile);
  const errors = contradictions(config);
  return errors.length === 0 ? { kind: 'loaded', config } : { kind: 'refused', errors };
}

/** The bucket for own users' files, when there is one. */
export function mediaStorageOf({ ownUsers }: Config): MediaStorage | undefined {
  return ownUsers.kind === 'embedded' ? ownUsers.mediaStorage : undefined;
}

function unreadable(key: string, path: string): ConfigError[] {
  try {
    accessSync(path, constants.R_OK);
    return [];
  } catch (error) {
    return [fileError(error, key, path, 'file')];
  }
}

function fileError(error: unknown, key: string, path: string, what: string): ConfigError {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'ENOENT') {
    const message = `there is no ${what} ${path}: create it, or name the right one`;
    return { code: 'file-missing', key, message };
  }
  const reason = code === 'EACCES' ? 'this user may not read it: change its owner or mode' : (code ?? 'unreadable');
  return { code: 'file-unreadable', key, message: `${what} ${path} can't be read: ${reason}` };
}

function keyOf(pointer: string): string {
  const parts = pointer.split('/').slice(1);
  const names = parts.map(part => part.replaceAll('~1', '/').replaceAll('~0', '~'));
  return names.map((name, i) => (/^[0-9]+$/.test(name) ? `[${name}]` : i === 0 ? name : `.${name}`)).join('');
}

function schemaErrors(config: unknown): ConfigError[] {
  const found = new Map<string, ConfigError>();
  const add = (error: ConfigError): void => {
    if (!found.has(error.key) && found.size < 20) found.set(error.key, error);
  };
  const ownUsers = (config as { ownUsers?: { kind?: unknown } } | undefined)?.ownUsers;
  const otherBranch = ownUsers?.kind === 'issuer' ? '/ownUsers/anyOf/0' : '/ownUsers/anyOf/1';
  for (const error of Value.Errors(configSchema, config)) {
    const key = keyOf(error.instancePath);
    if (error.schemaPath.includes(otherBranch)) continue;
    if (error.keyword === 'boolean' || error.keyword === 'anyOf') continue;
    if (error.keyword === 'additionalProperties') {
      for (const name of error.params.additionalProperties) {
        const path = key === '' ? name : `${key}.${name}`;
        add({ code: 'unknown-key', key: path, message: `${path} is no known key: remove it or mend its spelling` });
      }
    } else if (error.keyword === 'required') {
      for (const name of error.params.requiredProperties) {
        const path = key === '' ? name : `${key}.${name}`;
        add({ code: 'missing-key', key: path, message: `${path} is missing: add it` });
      }
    } else {
      const message = `${key === '' ? 'the file' : key} ${error.message}: mend it (docs/operations/configuration.md)`;
      add({ code: 'wrong-value', key, message });
    }
  }
  if (found.size === 0) {
    add({
      code: 'wrong-value',
      key: '',
      message: 'the configuration fits no known form (docs/operations/configuration.md)',
    });
  }
  return [...found.values()];
}

function isDomainName(text: string): boolean {
  const jid = parseJid(text);
  return jid !== undefined && jid.local === '' && jid.resource === '' && jid.domain === text;
}

const loopbackHosts = ['127.0.0.1', '[::1]', 'localhost'];

/** What is wrong with a URL that others compare character for character; undefined when nothing is. */
function urlFault(text: string, development: boolean, kind: 'issuer' | 'url' | 'origin'): string | undefined {
  if (!URL.canParse(text)) return 'is not a URL';
  const parsed = new URL(text);
  if (parsed.username !== '' || parsed.password !== '') return 'holds credentials: remove them';
  if (parsed.hash !== '' || (kind !== 'url' && parsed.search !== '')) return 'has a query or fragment: remove it';
  if (kind === 'origin' && text !== parsed.origin) return 'is not an origin (scheme, host and port alone)';
  if (kind === 'issuer' && text.endsWith('/')) return 'ends with a slash: remove it';
  if (kind === 'issuer' && !parsed.href.startsWith(text))
    return 'is not in its normal spelling (lower-case host, no default port)';
  if (parsed.protocol === 'https:') return undefined;
  if (development && loopbackHosts.includes(parsed.hostname)) return undefined;
  return 'must begin with https:// (http:// only for loopback, in development)';
}

function contradictions(config: Config): ConfigError[] {
  const errors: ConfigError[] = [];
  const development = config.mode === 'development';
  const contradiction = (key: string, message: string): void => {
    errors.push({ code: 'contradiction', key, message: `${key} ${message}` });
  };
  const checkUrl = (key: string, text: string | undefined, kind: 'issuer' | 'url' | 'origin'): void => {
    const fault = text === undefined ? undefined : urlFault(text, development, kind);
    if (fault !== undefined) errors.push({ code: 'wrong-value', key, message: `${key} ${fault}` });
  };
  const checkDomain = (key: string, text: string | undefined): void => {
    if (text === undefined || isDomainName(text)) return;
    errors.push({ code: 'wrong-value', key, message: `${key} is not a DNS name in lower case` });
  };

  // Which provider a file belongs to is told by its origin; and the proxy must not be led to itself.
  const mediaOriginsSeen = new Set<string>([config.issuer]);
  const checkMediaOrigin = (key: string, origin: string): void => {
    checkUrl(key, origin, 'origin');
    if (mediaOriginsSeen.has(origin)) contradiction(key, "names another provider's origin or this gatekeeper's own");
    mediaOriginsSeen.add(origin);
  };

  checkDomain('domain', config.domain);
  checkDomain('publicHost', config.publicHost);
  checkUrl('issuer', config.issuer, 'issuer');
  if (URL.canParse(config.issuer) && new URL(config.issuer).pathname !== '/') {
    contradiction('issuer', 'has a path: the well-known documents lie at the root of its origin');
  }
  checkUrl('terms', config.terms, 'url');

  const numbers = new Set<number>([0]);
  const names = new Set<string>([config.domain]);
  const issuers = new Set<string>(
    config.ownUsers.kind === 'issuer' ? [config.ownUsers.issuer] : [`${config.issuer}/users`],
  );
  if (config.ownUsers.kind === 'issuer') {
    checkUrl('ownUsers.issuer', config.ownUsers.issuer, 'issuer');
    checkUrl('ownUsers.wakeUpUrl', config.ownUsers.wakeUpUrl, 'url');
    for (const origin of config.ownUsers.keySetOrigins) checkUrl('ownUsers.keySetOrigins', origin, 'origin');
    for (const origin of config.ownUsers.mediaOrigins) checkMediaOrigin('ownUsers.mediaOrigins', origin);
  }
  const storage = mediaStorageOf(config);
  const storageFault = storage === undefined ? undefined : endpointFault(storage);
  if (storageFault !== undefined) {
    errors.push({
      code: 'wrong-value',
      key: 'ownUsers.mediaStorage',
      message: `ownUsers.mediaStorage.${storageFault}`,
    });
  }
  for (const [index, provider] of config.providers.entries()) {
    const key = `providers[${index}]`;
    checkDomain(`${key}.name`, provider.name);
    checkUrl(`${key}.issuer`, provider.issuer, 'issuer');
    checkUrl(`${key}.wakeUpUrl`, provider.wakeUpUrl, 'url');
    for (const origin of provider.keySetOrigins) checkUrl(`${key}.keySetOrigins`, origin, 'origin');
    for (const origin of provider.mediaOrigins) checkMediaOrigin(`${key}.mediaOrigins`, origin);
    // One number, name and issuer each: otherwise one provider could speak for the people of another.
    if (numbers.has(provider.number)) contradiction(`${key}.number`, 'is given to another provider: choose another');
    if (names.has(provider.name)) contradiction(`${key}.name`, "is another provider's or the domain: choose another");
    if (issuers.has(provider.issuer)) contradiction(`${key}.issuer`, "is another provider's: each has its own");
    numbers.add(provider.number);
    names.add(provider.name);
    issuers.add(provider.issuer);
  }
  for (const [index, pair] of config.policy.admittedPairs.entries()) {
    for (const number of pair) {
      if (!numbers.has(number))
        contradiction(`policy.admittedPairs[${index}]`, `names provider ${number}, which is not configured`);
    }
  }
  for (const [index, address] of [...config.egress.allowAddresses].entries()) {
    if (isIP(address) === 0) contradiction(`egress.allowAddresses[${index}]`, 'is not an IP address');
  }
  for (const [index, range] of config.trustedProxies.entries()) {
    const [address = '', prefix] = range.split('/', 2);
    const bits = isIP(address) === 4 ? 32 : 128;
    const fits = prefix === undefined || (/^[0-9]{1,3}$/.test(prefix) && Number(prefix) <= bits);
    if (isIP(address) === 0 || !fits) contradiction(`trustedProxies[${index}]`, 'is not an IP address or range');
  }
  for (const origin of config.egress.allowPlainHttpOrigins) {
    const parsed = URL.canParse(origin) ? new URL(origin) : undefined;
    if (parsed === undefined || parsed.protocol !== 'http:' || !loopbackHosts.includes(parsed.hostname)) {
      contradiction('egress.allowPlainHttpOrigins', 'must name loopback origins such as http://127.0.0.1:8080');
    } else checkUrl('egress.allowPlainHttpOrigins', origin, 'origin');
  }
  if (!development) {
    if (config.tls === undefined) contradiction('tls', 'is needed in production: name certFile and keyFile');
    if (config.egress.allowAddresses.length > 0) contradiction('egress.allowAddresses', 'is for development only');
    if (config.egress.allowPlainHttpOrigins.length > 0) {
      contradiction('egress.allowPlainHttpOrigins', 'is for development only');
    }
    if (config.budgets.unlimited) contradiction('budgets.unlimited', 'is for development only');
    for (const [name, listener] of Object.entries(config.listeners)) {
      if (listener.port === 0) contradiction(`listeners.${name}.port`, 'is 0: name a port (0 is for development only)');
    }
  }
  return errors;
}
