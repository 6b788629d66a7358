// Which provider a file's URL belongs to, by the registered media origins, and who may have it fetched.
// Knows nothing of grants or fetching. Source: docs/protocol/11-media.md section 11.6.
import type { Config } from '../config-schema.ts';
import type { Account } from '../enlistment/account.ts';
import type { ReachPolicy } from '../consent/may-reach.ts';

export const maxMediaUrlLength = 2_048;

export type MediaPlace = {
  readonly provider: number;
  readonly url: string;
  /** The port to allow besides 443, when the origin was registered with one. */
  readonly ports: readonly number[];
  /** The file's identifier in the embedded media origin of own users; such a file is read in this process. */
  readonly ownFile: string | undefined;
};

/** Undefined: no URL in its one normal spelling, or of an origin that nobody registered. */
export type FindMediaPlace = (url: string) => MediaPlace | undefined;

export function createMediaPlaces(
  config: Pick<Config, 'issuer' | 'ownUsers'>,
  providerOfOrigin: (origin: string) => number | undefined,
): FindMediaPlace {
  const own = config.ownUsers.kind === 'embedded' ? `${config.issuer}/users/media/` : undefined;

  return url => {
    if (url.length > maxMediaUrlLength || !URL.canParse(url)) return undefined;
    const parsed = new URL(url);
    // One spelling: what was checked is what is fetched, and nobody has to know how others read a strange one.
    if (parsed.href !== url || parsed.username !== '' || parsed.password !== '' || parsed.hash !== '') return undefined;
    if (own !== undefined && url.startsWith(own)) {
      const ownFile = url.slice(own.length);
      return /^[A-Za-z0-9_-]{43}$/.test(ownFile) ? { provider: 0, url, ports: [], ownFile } : undefined;
    }
    const provider = providerOfOrigin(parsed.origin);
    if (provider === undefined) return undefined;
    return { provider, url, ports: parsed.port === '' ? [] : [Number(parsed.port)], ownFile: undefined };
  };
}

/**
 * True when files of this provider's people may be fetched for the account: of its own provider's, of own users' (number
 * 0) and of those providers' that it opted in to; between two third parties by the operator's policy alone.
 */
export function mayFetch(account: Account, provider: number, policy: ReachPolicy): boolean {
  if (account.status !== 'active' || !policy.isLive(account.provider) || !policy.isLive(provider)) return false;
  if (account.provider === provider) return true;
  if (account.provider === 0) return account.optIns.includes(provider);
  return provider === 0 || policy.admitsPair(account.provider, provider);
}
