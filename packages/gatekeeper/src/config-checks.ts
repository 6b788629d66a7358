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

/** What is wrong with a configuration that has the right shape; empty when nothing is. */
export function contradictions(config: Config): ConfigError[] {
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
