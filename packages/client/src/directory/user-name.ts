// A name that people know somebody by, in its one form: two spellings of it never lead to two people.
// Knows nothing of who has a name. Pure.
// Source: docs/protocol/01-identifiers.md, 09-content.md section 9.4.
import { isUserIdentifier } from '@drawbridge/identity/ownership-proof';
import { parseJid } from '@drawbridge/wire/jid';
import { ClientError } from '../errors.ts';

declare const inOneForm: unique symbol;

/** Made by this file alone. */
export type UserName = {
  readonly provider: string;
  readonly identifier: string;
  readonly [inOneForm]: true;
};

/** Octets of a provider's name. */
const maxProviderName = 253;
/** Code units of what an application may give as an identifier: 128 characters, taken apart (NFD), are fewer. */
const maxGivenIdentifier = 1_024;

/** A DNS name in lower case, without a final dot; undefined for what is none. Nothing outside of ASCII becomes ASCII. */
export function readProviderName(text: unknown): string | undefined {
  if (typeof text !== 'string') return undefined;
  const jid = parseJid(text);
  const isName = jid?.local === '' && jid.resource === '' && jid.domain.length <= maxProviderName;
  return isName ? jid.domain : undefined;
}

/** A provider as `readProviderName` gives it, and an identifier in NFC; undefined when no provider can give such a name. */
export function readUserName(provider: unknown, identifier: unknown): UserName | undefined {
  const name = readProviderName(provider);
  if (name === undefined || typeof identifier !== 'string' || identifier.length > maxGivenIdentifier) return undefined;
  const normal = identifier.normalize('NFC');
  return isUserIdentifier(normal) ? ({ provider: name, identifier: normal } as UserName) : undefined;
}

/** As `readUserName`, of what an application gives; throws `invalid-argument`. */
export function needUserName(provider: unknown, identifier: unknown): UserName {
  const name = readUserName(provider, identifier);
  if (name !== undefined) return name;
  const detail =
    readProviderName(provider) === undefined
      ? 'provider: it is a DNS name in ASCII, such as skylark.example'
      : 'identifier: 1 to 128 characters that can be seen, without space at either end';
  throw new ClientError('invalid-argument', { detail });
}

export function isSameName(a: UserName, b: UserName): boolean {
  return a.provider === b.provider && a.identifier === b.identifier;
}

/** For the keys of rows: a provider's name holds no line break. */
export function nameText({ provider, identifier }: UserName): string {
  return `${provider}\n${identifier}`;
}
