// What may stand in a provider's application. Everything that it names lies at its own domain, so that control of that
// domain is all that has to be proven. Knows nothing of signatures, storage or other providers.
// Source: docs/protocol/10 section 10.6.
import type { ApplicationTerms, ProviderStatement } from '@drawbridge/identity/provider-statement';
import { parseJid } from '@drawbridge/wire/jid';

export type ApplicationPolicy = {
  readonly suites: readonly string[];
  /** Any when empty. */
  readonly regions: readonly string[];
  /** Ports besides 443, plain HTTP on loopback: for networks on one machine. */
  readonly development: boolean;
};

const loopbackHosts = ['127.0.0.1', '[::1]', 'localhost'];

/** Whether anything may be fetched from there at all: strangers choose this URL. */
export function mayAskIssuer(issuer: string, development: boolean): boolean {
  if (!URL.canParse(issuer)) return false;
  const url = new URL(issuer);
  if (issuer.endsWith('/') || !url.href.startsWith(issuer)) return false;
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') return false;
  if (development && loopbackHosts.includes(url.hostname)) return true;
  return url.protocol === 'https:' && url.port === '';
}

/** What is wrong with an application, in words for its engineer; undefined when nothing is. */
export function applicationFault(
  { issuer, application }: Extract<ProviderStatement, { act: 'apply' }>,
  policy: ApplicationPolicy,
): string | undefined {
  const { name, keySetOrigins, mediaOrigins, wakeUpUrl, eventsUrl, suites, regions } = application;
  const host = new URL(issuer).hostname;
  if (!isDomainName(name) || host !== name) {
    return `name is not the host of the issuer (${host}): a name is given to those who control it`;
  }
  // A last label of letters: an address has none.
  if (!policy.development && !/\.[a-z][a-z0-9-]*$/.test(name)) return 'name is not a DNS name of the Internet';
  for (const origin of [...keySetOrigins, ...mediaOrigins]) {
    if (!URL.canParse(origin) || new URL(origin).origin !== origin) return `${origin} is not an origin`;
    if (!isBelow(origin, name, policy)) return elsewhere(origin, name);
  }
  if (new Set(mediaOrigins).size < mediaOrigins.length) return 'a media origin is named twice';
  for (const place of [wakeUpUrl, eventsUrl]) {
    if (place !== undefined && !isBelow(place, name, policy)) return elsewhere(place, name);
  }
  const suite = suites.find(each => !policy.suites.includes(each));
  if (suite !== undefined) return `suite ${suite} is not admitted here: ${policy.suites.join(', ')}`;
  const region = regions.find(each => policy.regions.length > 0 && !policy.regions.includes(each));
  if (region !== undefined) return `region ${region} is not covered here: ${policy.regions.join(', ')}`;
  if (policy.regions.length > 0 && regions.length === 0) {
    return `declare the regions of your people, of: ${policy.regions.join(', ')}`;
  }
  return undefined;
}

/** The share of what may wait: the last two labels. Coarse for names such as example.co.uk, which share one. */
export function shareOf({ name }: ApplicationTerms): string {
  return name.split('.').slice(-2).join('.');
}

function isDomainName(text: string): boolean {
  const jid = parseJid(text);
  return jid !== undefined && jid.local === '' && jid.resource === '' && jid.domain === text;
}

function isBelow(text: string, name: string, { development }: ApplicationPolicy): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, hostname, username, password, hash, port } = new URL(text);
  if (username !== '' || password !== '' || hash !== '') return false;
  if (development && loopbackHosts.includes(hostname)) return true;
  return protocol === 'https:' && port === '' && (hostname === name || hostname.endsWith(`.${name}`));
}

function elsewhere(place: string, name: string): string {
  return `${place} is not https at ${name} or below it: an operator can enter other places by hand`;
}
