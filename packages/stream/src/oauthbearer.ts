// SASL OAUTHBEARER: the client's first message, read and written; used by both ends of a stream.
// Knows nothing of what a token says or who may use it.
// Source: RFC 7628 section 3.1 (message), RFC 5801 section 4 (GS2 header), RFC 6750 section 2.1 (token syntax).

/** Longest message read or written, in bytes: an ownership proof (8,192) with a header and room for other keys. */
export const maxOauthBearerBytes = 12_288;

/** Longest ownership proof (docs/protocol/02-ownership-proof.md). */
const maxTokenLength = 8_192;

/** `authorizationId` is the `a=` of the GS2 header, unescaped: who the client says it wants to be. */
export type OauthBearer = { readonly token: string; readonly authorizationId?: string };

/** What a client answers to the server's JSON challenge after a failure: one %x01 (RFC 7628 section 3.2.3). */
export const oauthBearerFailureAnswer: Uint8Array = Uint8Array.of(1);

const kvsep = '\u0001';
const bearerToken = /^[A-Za-z0-9\-._~+/]+=*$/;
/** RFC 7628 section 3.1: value = VCHAR / SP / HTAB / CR / LF. */
const pair = /^([A-Za-z]{1,64})=([\x21-\x7e \t\r\n]*)$/;
const bearer = /^bearer +(.+)$/i;
// A saslname holds no bare comma or equals sign, and no NUL (RFC 5801 section 4).
// oxlint-disable-next-line no-control-regex -- NUL and the separator are what is refused
const saslName = /^(?:[^\u0000\u0001,=]|=2C|=3D){1,1024}$/;

/**
 * Reads a client's first message; undefined for anything malformed.
 *
 * Only the header `n` is taken: `y` and `p` speak of channel binding, which OAUTHBEARER has not. Keys other than
 * `auth` (`host`, `port`, …) are checked for syntax and ignored; a repeated key, a missing `auth`, another scheme than
 * Bearer, bytes after the last separator and invalid UTF-8 are refused.
 */
export function parseOauthBearer(message: Uint8Array | string): OauthBearer | undefined {
  if (message.length > maxOauthBearerBytes) return undefined;
  const text = typeof message === 'string' ? message : utf8(message);
  if (text === undefined || !text.endsWith(kvsep + kvsep)) return undefined;
  const [header, ...pairs] = text.slice(0, -2).split(kvsep);
  if (header === undefined || !header.startsWith('n,') || !header.endsWith(',') || header.length < 3) return undefined;
  const name = header.slice(2, -1);
  let authorizationId: string | undefined;
  if (name !== '') {
    if (!name.startsWith('a=') || !saslName.test(name.slice(2))) return undefined;
    authorizationId = name.slice(2).replaceAll('=2C', ',').replaceAll('=3D', '=');
  }
  const seen = new Map<string, string>();
  for (const entry of pairs) {
    const match = pair.exec(entry);
    if (match === null || seen.has(match[1]!)) return undefined;
    seen.set(match[1]!, match[2]!);
  }
  const token = bearer.exec(seen.get('auth') ?? '')?.[1];
  if (token === undefined || !bearerToken.test(token)) return undefined;
  return authorizationId === undefined ? { token } : { token, authorizationId };
}

/** Whether a text has a bearer token's syntax (RFC 6750 section 2.1), which every JWT has. */
export function isBearerToken(text: string): boolean {
  return text.length <= maxTokenLength && bearerToken.test(text);
}

/** Writes a client's first message. The token must have RFC 6750 syntax, which every JWT has. */
export function encodeOauthBearer(value: OauthBearer): Uint8Array {
  const { token, authorizationId } = value;
  if (!bearerToken.test(token)) throw new TypeError('a bearer token has RFC 6750 syntax');
  const name =
    authorizationId === undefined ? '' : `a=${authorizationId.replaceAll('=', '=3D').replaceAll(',', '=2C')}`;
  return new TextEncoder().encode(`n,${name},${kvsep}auth=Bearer ${token}${kvsep}${kvsep}`);
}

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function utf8(bytes: Uint8Array): string | undefined {
  try {
    return strictUtf8.decode(bytes);
  } catch {
    return undefined;
  }
}
