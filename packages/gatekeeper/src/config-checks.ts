// What a well-formed configuration may still contradict: names, URLs, numbers that belong together, production's needs.
// Knows nothing of files. Source: docs/operations/configuration.md.
import { isIP } from 'node:net';
import { endpointFault, type MediaStorage } from '@drawbridge/provider/media-storage';
import { parseJid } from '@drawbridge/wire/jid';
import type { Config } from './config-schema.ts';

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

/** The bucket for own users' files, when there is one. */
export function mediaStorageOf({ ownUsers }: Config): MediaStorage | undefined {
  return ownUsers.kind === 'embedded' ? ownUsers.mediaStorage : undefined;
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

/** Gathers what is wrong; one check each for what stands in several places. */
class Findings {
  readonly errors: ConfigError[] = [];
  readonly #development: boolean;
  /** Which provider a file belongs to is told by its origin; and the proxy must not be led to itself. */
  readonly #mediaOrigins: Set<string>;

  constructor(config: Config) {
    this.#development = config.mode === 'development';
    this.#mediaOrigins = new Set([config.issuer]);
  }

  contradiction(key: string, message: string): void {
    this.errors.push({ code: 'contradiction', key, message: `${key} ${message}` });
  }

  wrongValue(key: string, message: string): void {
    this.errors.push({ code: 'wrong-value', key, message });
  }

  checkUrl(key: string, text: string | undefined, kind: 'issuer' | 'url' | 'origin'): void {
    const fault = text === undefined ? undefined : urlFault(text, this.#development, kind);
    if (fault !== undefined) this.wrongValue(key, `${key} ${fault}`);
  }

  checkDomain(key: string, text: string | undefined): void {
    if (text !== undefined && !isDomainName(text)) this.wrongValue(key, `${key} is not a DNS name in lower case`);
  }

  checkRange(key: string, range: string): void {
    const [address = '', prefix] = range.split('/', 2);
    const bits = isIP(address) === 4 ? 32 : 128;
    const fits = prefix === undefined || (/^[0-9]{1,3}$/.test(prefix) && Number(prefix) <= bits);
    if (isIP(address) === 0 || !fits) this.contradiction(key, 'is not an IP address or range');
  }

  checkMediaOrigin(key: string, origin: string): void {
    this.checkUrl(key, origin, 'origin');
    if (this.#mediaOrigins.has(origin))
      this.contradiction(key, "names another provider's origin or this gatekeeper's own");
    this.#mediaOrigins.add(origin);
  }
}

/** What is wrong with a configuration that has the right shape; empty when nothing is. */
export function contradictions(config: Config): ConfigError[] {
  const found = new Findings(config);
  checkOwnNames(config, found);
  checkStorage(config, found);
  checkIntegrity(config, found);
  checkOwnUsers(config, found);
  checkProviders(config, found);
  checkAddresses(config, found);
  checkProxyHeaders(config, found);
  if (config.mode !== 'development') checkProduction(config, found);
  return found.errors;
}

function checkIntegrity({ integrity }: Config, found: Findings): void {
  const { slowed, acceptedOnly, suspended, provider, voicesPerProvider } = integrity;
  if (voicesPerProvider >= slowed.refusals) {
    found.contradiction(
      'integrity.voicesPerProvider',
      'must be below slowed.refusals: one provider alone could have anybody slowed down',
    );
  }
  if (acceptedOnly.refusals < slowed.refusals || suspended.refusals < acceptedOnly.refusals) {
    found.contradiction('integrity', 'has a harder step with fewer refusals than a milder one');
  }
  if (provider.acceptedOnly.refusals < provider.slowed.refusals) {
    found.contradiction('integrity.provider', 'has a harder step with fewer refusals than a milder one');
  }
}

function checkOwnNames(config: Config, found: Findings): void {
  found.checkDomain('domain', config.domain);
  found.checkDomain('publicHost', config.publicHost);
  found.checkUrl('issuer', config.issuer, 'issuer');
  if (URL.canParse(config.issuer) && new URL(config.issuer).pathname !== '/') {
    found.contradiction('issuer', 'has a path: the well-known documents lie at the root of its origin');
  }
  found.checkUrl('terms', config.terms, 'url');
  const { noticeSeconds, spreadSeconds, deadlineSeconds } = config.drain;
  if (noticeSeconds + spreadSeconds >= deadlineSeconds) {
    found.contradiction('drain.deadlineSeconds', 'must be more than noticeSeconds and spreadSeconds together');
  }
}

/** A password in the file would be in every copy of it. */
function checkStorage({ storage, bus, ownUsers }: Config, found: Findings): void {
  if (bus !== undefined && storage.kind !== 'postgres') {
    found.contradiction('bus', 'is for several nodes, which need one database: set storage to postgres');
  }
  if (bus !== undefined && ownUsers.kind === 'embedded') {
    found.contradiction(
      'ownUsers.kind',
      "can't be embedded with a bus: run `drawbridge provider` and name it as issuer",
    );
  }
  if (storage.kind !== 'postgres') return;
  if (/^postgres(ql)?:\/\/[^/@]*:[^/@]*@/.test(storage.url)) {
    found.contradiction('storage.url', 'holds a password: put it into a file and name that as storage.passwordFile');
  }
}

function checkOwnUsers(config: Config, found: Findings): void {
  const { ownUsers } = config;
  if (ownUsers.kind === 'issuer') {
    found.checkUrl('ownUsers.issuer', ownUsers.issuer, 'issuer');
    found.checkUrl('ownUsers.wakeUpUrl', ownUsers.wakeUpUrl, 'url');
    found.checkUrl('ownUsers.eventsUrl', ownUsers.eventsUrl, 'url');
    for (const origin of ownUsers.keySetOrigins) found.checkUrl('ownUsers.keySetOrigins', origin, 'origin');
    for (const origin of ownUsers.mediaOrigins) found.checkMediaOrigin('ownUsers.mediaOrigins', origin);
  }
  const storage = mediaStorageOf(config);
  const fault = storage === undefined ? undefined : endpointFault(storage);
  if (fault !== undefined) found.wrongValue('ownUsers.mediaStorage', `ownUsers.mediaStorage.${fault}`);
}

function checkProviders(config: Config, found: Findings): void {
  const { ownUsers } = config;
  const numbers = new Set<number>([0]);
  const names = new Set<string>([config.domain]);
  const issuers = new Set<string>([ownUsers.kind === 'issuer' ? ownUsers.issuer : `${config.issuer}/users`]);
  for (const [index, provider] of config.providers.entries()) {
    const key = `providers[${index}]`;
    found.checkDomain(`${key}.name`, provider.name);
    found.checkUrl(`${key}.issuer`, provider.issuer, 'issuer');
    found.checkUrl(`${key}.wakeUpUrl`, provider.wakeUpUrl, 'url');
    found.checkUrl(`${key}.eventsUrl`, provider.eventsUrl, 'url');
    for (const origin of provider.keySetOrigins) found.checkUrl(`${key}.keySetOrigins`, origin, 'origin');
    for (const origin of provider.mediaOrigins) found.checkMediaOrigin(`${key}.mediaOrigins`, origin);
    // One number, name and issuer each: otherwise one provider could speak for the people of another.
    if (numbers.has(provider.number)) {
      found.contradiction(`${key}.number`, 'is given to another provider: choose another');
    }
    if (names.has(provider.name)) {
      found.contradiction(`${key}.name`, "is another provider's or the domain: choose another");
    }
    if (issuers.has(provider.issuer)) {
      found.contradiction(`${key}.issuer`, "is another provider's: each has its own");
    }
    numbers.add(provider.number);
    names.add(provider.name);
    issuers.add(provider.issuer);
  }
  for (const [index, pair] of config.policy.admittedPairs.entries()) {
    for (const number of pair) {
      if (!numbers.has(number))
        found.contradiction(`policy.admittedPairs[${index}]`, `names provider ${number}, which is not configured`);
    }
  }
}

function checkAddresses(config: Config, found: Findings): void {
  for (const [index, address] of [...config.egress.allowAddresses].entries()) {
    if (isIP(address) === 0) found.contradiction(`egress.allowAddresses[${index}]`, 'is not an IP address');
  }
  for (const [index, server] of config.egress.nameServers.entries()) {
    const [, bracketed, plain] = /^(?:\[([^\]]+)\](?::[1-9][0-9]{0,4})?|([^\]]+))$/.exec(server) ?? [];
    const address = bracketed ?? (isIP(plain ?? '') === 0 ? plain?.replace(/:[1-9][0-9]{0,4}$/, '') : plain);
    if (isIP(address ?? '') === 0) found.contradiction(`egress.nameServers[${index}]`, 'is not an IP address');
  }
  for (const [index, range] of config.trustedProxies.entries()) found.checkRange(`trustedProxies[${index}]`, range);
  for (const [number, relay] of config.relays.entries()) {
    for (const [index, range] of relay.addresses.entries()) {
      found.checkRange(`relays[${number}].addresses[${index}]`, range);
    }
  }
  for (const origin of config.egress.allowPlainHttpOrigins) {
    const parsed = URL.canParse(origin) ? new URL(origin) : undefined;
    if (parsed === undefined || parsed.protocol !== 'http:' || !loopbackHosts.includes(parsed.hostname)) {
      found.contradiction('egress.allowPlainHttpOrigins', 'must name loopback origins such as http://127.0.0.1:8080');
    } else found.checkUrl('egress.allowPlainHttpOrigins', origin, 'origin');
  }
}

function checkProxyHeaders({ listeners, trustedProxies }: Config, found: Findings): void {
  const seen = new Map<string, boolean>();
  for (const name of ['xmpp', 'xmpps', 'compact', 'http', 'websocket', 'compactWebsocket'] as const) {
    const listener = listeners[name];
    if (listener === undefined) continue;
    const key = `listeners.${name}.proxyProtocol`;
    const place = `${listener.host}:${listener.port}`;
    if (listener.proxyProtocol && trustedProxies.length === 0) {
      found.contradiction(key, 'needs trustedProxies: name the addresses of the load balancers');
    }
    if (listener.port !== 0 && (seen.get(place) ?? listener.proxyProtocol) !== listener.proxyProtocol) {
      found.contradiction(key, 'differs from that of another listener on the same port: give both the same');
    }
    seen.set(place, listener.proxyProtocol);
  }
}

function checkProduction(config: Config, found: Findings): void {
  if (config.tls === undefined) found.contradiction('tls', 'is needed in production: name certFile and keyFile');
  if (config.egress.allowAddresses.length > 0) {
    found.contradiction('egress.allowAddresses', 'is for development only');
  }
  if (config.egress.allowPlainHttpOrigins.length > 0) {
    found.contradiction('egress.allowPlainHttpOrigins', 'is for development only');
  }
  if (config.budgets.unlimited) found.contradiction('budgets.unlimited', 'is for development only');
  for (const [name, listener] of Object.entries(config.listeners)) {
    if (listener.port === 0) {
      found.contradiction(`listeners.${name}.port`, 'is 0: name a port (0 is for development only)');
    }
  }
}
