// The text of a personal link, as it stands in a message or a QR code: where, who, the secret that lets a stranger in, and the
// identity key to expect. Pure. Source: docs/protocol/10-consent-and-reports.md section 10.8.
import type { UserName } from '../directory/user-name.ts';
import { readUserName } from '../directory/user-name.ts';

export type LinkText = {
  /** The gatekeeper's domain. */
  readonly domain: string;
  readonly name: UserName;
  /** 16 random bytes, base64url. */
  readonly secret: string;
  readonly identityKey: Uint8Array;
};

/** Fits into a QR code that a phone reads. */
export const maxLinkLength = 1_024;
const identityKeyBytes = 33;

export function encodeLink({ domain, name, secret, identityKey }: LinkText): string {
  const key = Buffer.from(identityKey).toString('base64url');
  const query = new URLSearchParams({ at: domain, of: name.provider, name: name.identifier, secret, key });
  return `drawbridge:meet?${query.toString()}`;
}

/** Undefined for everything else; spaces around it are forgiven. */
export function parseLink(text: string): LinkText | undefined {
  const trimmed = text.trim();
  if (trimmed.length > maxLinkLength || !trimmed.startsWith('drawbridge:meet?')) return undefined;
  const query = new URLSearchParams(trimmed.slice('drawbridge:meet?'.length));
  const names = ['at', 'of', 'name', 'secret', 'key'];
  if ([...query.keys()].toSorted().join() !== names.toSorted().join()) return undefined;
  const [domain, provider, identifier, secret, key] = names.map(each => query.get(each)!);
  const name = readUserName(provider, identifier);
  const identityKey = Buffer.from(key!, 'base64url');
  const isKey = identityKey.length === identityKeyBytes && identityKey.toString('base64url') === key;
  if (name === undefined || !isKey || domain === '' || !/^[A-Za-z0-9_-]{22}$/.test(secret!)) return undefined;
  return { domain: domain!, name, secret: secret!, identityKey };
}
