// Addresses and identifiers: JIDs, InteropIds, device ids, stanza ids. Knows nothing of accounts or of who exists.
// Source: docs/protocol/01-identifiers.md, RFC 7622.

import { maxDeviceId, maxJidPartBytes, maxRegistrationId, maxStanzaIdLength } from './limits.ts';
import type { Named } from './names.ts';

/** `<provider number>-<26 characters of lower-case base32>`: a person at one gatekeeper. */
export type InteropId = Named<'InteropId'>;
/** What a sender calls one of its stanzas: `[A-Za-z0-9._~:+/=-]{1,64}`. */
export type StanzaId = Named<'StanzaId'>;

/** An address in its parts; an empty string is an absent part. `domain` is never empty. */
export type Jid = { readonly local: string; readonly domain: string; readonly resource: string };

const kindLocal = 1;
const kindDomain = 2;
const kindResource = 4;
const upperCase = 8;

/** For each ASCII character the JID parts it may stand in. */
const jidCharacters = new Uint8Array(128);
for (let c = 0x20; c < 0x7f; c++) {
  const text = String.fromCharCode(c);
  let kinds = kindResource;
  if (c !== 0x20 && !'"&\'/:<>@'.includes(text)) kinds |= kindLocal;
  if (/[A-Za-z0-9.-]/.test(text)) kinds |= kindDomain;
  if (/[A-Z]/.test(text)) kinds |= upperCase;
  jidCharacters[c] = kinds;
}

const slash = 0x2f;
const at = 0x40;
const dot = 0x2e;
const hyphen = 0x2d;

/**
 * Reads a JID, local part and domain in lower case, one final dot of the domain removed (RFC 7622 section 3.2).
 *
 * ASCII only: InteropIds, device ids and the A-label form of domain names are all that this protocol uses, and refusing
 * the rest means that two addresses are equal exactly when their strings are. A domain is a DNS name or an IPv4 address.
 * Gives undefined for anything else.
 */
export function parseJid(text: string): Jid | undefined {
  const length = text.length;
  if (length === 0 || length > 3 * maxJidPartBytes + 2) return undefined;
  // The resource begins at the first slash, the domain behind the first at-sign before it.
  let resourceStart = length + 1;
  let domainStart = 0;
  let seen = 0;
  let kinds = kindLocal | kindDomain;
  for (let i = 0; i < length; i++) {
    const c = text.charCodeAt(i);
    if (c === slash) {
      resourceStart = i + 1;
      break;
    }
    if (c === at) {
      if (domainStart !== 0 || i === 0 || (kinds & kindLocal) === 0) return undefined;
      domainStart = i + 1;
      kinds = kindDomain;
      continue;
    }
    if (c > 0x7f) return undefined;
    const k = jidCharacters[c]!;
    kinds &= k;
    seen |= k;
    if (kinds === 0) return undefined;
  }
  if ((kinds & kindDomain) === 0) return undefined;
  for (let i = resourceStart; i < length; i++) {
    const c = text.charCodeAt(i);
    if (c > 0x7f || (jidCharacters[c]! & kindResource) === 0) return undefined;
  }
  if (resourceStart === length) return undefined;
  let domainEnd = resourceStart - 1;
  if (!isDomain(text, domainStart, domainEnd)) {
    // A final dot is not part of the name.
    if (domainEnd - domainStart < 2 || text.charCodeAt(domainEnd - 1) !== dot) return undefined;
    domainEnd--;
    if (!isDomain(text, domainStart, domainEnd)) return undefined;
  }
  if (domainStart - 1 > maxJidPartBytes || length - resourceStart > maxJidPartBytes) return undefined;
  let local = domainStart === 0 ? '' : text.slice(0, domainStart - 1);
  let domain = text.slice(domainStart, domainEnd);
  if ((seen & upperCase) !== 0) {
    local = local.toLowerCase();
    domain = domain.toLowerCase();
  }
  return { local, domain, resource: resourceStart > length ? '' : text.slice(resourceStart) };
}

/** Labels of 1..63 characters that neither begin nor end with a hyphen; the characters themselves are checked already. */
function isDomain(text: string, start: number, end: number): boolean {
  if (end <= start || end - start > maxJidPartBytes) return false;
  let labelStart = start;
  for (let i = start; i <= end; i++) {
    if (i !== end && text.charCodeAt(i) !== dot) continue;
    const size = i - labelStart;
    if (size === 0 || size > 63) return false;
    if (text.charCodeAt(labelStart) === hyphen || text.charCodeAt(i - 1) === hyphen) return false;
    labelStart = i + 1;
  }
  return true;
}

export function formatJid(jid: Jid): string {
  const bare = jid.local === '' ? jid.domain : `${jid.local}@${jid.domain}`;
  return jid.resource === '' ? bare : `${bare}/${jid.resource}`;
}

/** The address without its resource. */
export function bareJid(jid: Jid): Jid {
  return jid.resource === '' ? jid : { local: jid.local, domain: jid.domain, resource: '' };
}

const base32 = 'abcdefghijklmnopqrstuvwxyz234567';
const interopIdRandomLength = 26;
const maxProviderNumber = 65535;

/** Whether the text is an InteropId: a provider number 0..65535, a hyphen, 26 characters of lower-case base32. */
export function isInteropId(text: string): boolean {
  return providerNumberOf(text) !== undefined;
}

/** The provider number in an InteropId, 0 for the gatekeeper's own users; undefined when the text is none. */
export function providerNumberOf(interopId: string): number | undefined {
  const split = interopId.length - interopIdRandomLength - 1;
  if (split < 1 || split > 5 || interopId.charCodeAt(split) !== hyphen) return undefined;
  for (let i = split + 1; i < interopId.length; i++) {
    const c = interopId.charCodeAt(i);
    if (!((c >= 0x61 && c <= 0x7a) || (c >= 0x32 && c <= 0x37))) return undefined;
  }
  return parseDecimal(interopId, split, 0, maxProviderNumber);
}

const everybody = 'allpeopleofthisprovider222';

/**
 * Stands for all people of a provider where one person decides about another. Nobody has it: its last characters stand for
 * bits that an InteropId of a person does not have.
 */
export function everybodyOf(providerNumber: number): InteropId {
  return `${providerNumber}-${everybody}`;
}

export function isEverybody(interopId: InteropId): boolean {
  return interopId.endsWith(`-${everybody}`);
}

/**
 * Makes an InteropId of a provider number (0..65535) and 16 random bytes.
 * Throws on other numbers or sizes: both come from our own code.
 */
export function encodeInteropId(providerNumber: number, randomBytes16: Uint8Array): InteropId {
  if (!Number.isInteger(providerNumber) || providerNumber < 0 || providerNumber > maxProviderNumber) {
    throw new RangeError('a provider number is 0..65535');
  }
  if (randomBytes16.length !== 16) throw new RangeError('an InteropId holds 16 random bytes');
  let text = `${providerNumber}-`;
  let bits = 0;
  let held = 0;
  for (const byte of randomBytes16) {
    held = (held << 8) | byte;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      text += base32[(held >>> bits) & 31];
    }
    held &= (1 << bits) - 1;
  }
  return text + base32[(held << (5 - bits)) & 31];
}

/** A device id, 1..127, from its decimal form without leading zeros; otherwise undefined. */
export function parseDeviceId(text: string): number | undefined {
  return parseDecimal(text, text.length, 1, maxDeviceId);
}

/** A registration id, 1..16380, from its decimal form without leading zeros; otherwise undefined. */
export function parseRegistrationId(text: string): number | undefined {
  return parseDecimal(text, text.length, 1, maxRegistrationId);
}

/** The first `end` characters as a whole decimal number without leading zeros, or undefined. */
function parseDecimal(text: string, end: number, min: number, max: number): number | undefined {
  if (end === 0 || end > 5) return undefined;
  let value = 0;
  for (let i = 0; i < end; i++) {
    const digit = text.charCodeAt(i) - 0x30;
    if (digit < 0 || digit > 9 || (digit === 0 && i === 0 && end > 1)) return undefined;
    value = value * 10 + digit;
  }
  return value < min || value > max ? undefined : value;
}

const stanzaIdCharacters = new Uint8Array(128);
for (const c of 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~:+/=-') {
  stanzaIdCharacters[c.charCodeAt(0)] = 1;
}

/** Whether the text may be a stanza's id: `[A-Za-z0-9._~:+/=-]{1,64}`. */
export function isStanzaId(text: string): boolean {
  if (text.length === 0 || text.length > maxStanzaIdLength) return false;
  for (let i = 0; i < text.length; i++) if (stanzaIdCharacters[text.charCodeAt(i)] !== 1) return false;
  return true;
}
