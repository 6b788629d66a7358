// What the handshake's payloads say: the login (ownership proof and first stanzas), the gatekeeper's certificate for
// its static key, a refusal. All are compact stanzas, so that one strict decoder reads everything.
// Knows nothing of Noise, of keys' meaning or of who is admitted. Source: docs/protocol/05-compact.md section 5.3.
import type { CipherName } from '@drawbridge/noise/crypto';
import { decodeCompactFrame } from '@drawbridge/wire/compact-decoder';
import type { CompactContext } from '@drawbridge/wire/compact-value';
import { attribute, childElement, type Element, element } from '@drawbridge/wire/element';
import { xmlLimitsAfterLogin, xmlLimitsBeforeLogin } from '@drawbridge/wire/limits';
import { encodeStanzas } from './compact-frames.ts';

export const NS_LOGIN = 'urn:drawbridge:login:1';

/** The first bytes of a connection: `D`, `B`, the major version, the dictionary. */
export const compactPrologue = Uint8Array.of(0x44, 0x42, 1, 1);

/** The Noise prologue: the connection's first bytes and the domain that both sides mean. */
export function noisePrologue(domain: string): Uint8Array {
  return Buffer.concat([compactPrologue, Buffer.from(domain, 'latin1')]);
}

/** The ciphers of this protocol version, as the reference offer and certificates name them; the client chooses. */
export const compactCiphers: readonly CipherName[] = ['ChaChaPoly', 'AESGCM'];
/** A gatekeeper that names none is of version 0.1.0. */
const ciphersOfOld: readonly string[] = ['AESGCM'];
const maxCipherNames = 8;

/** What a client uses with a gatekeeper that offers these. Both are as strong; ChaChaPoly costs both sides less. */
export function preferredCipher(offered: readonly string[] = ciphersOfOld): CipherName {
  return compactCiphers.find(cipher => offered.includes(cipher)) ?? 'AESGCM';
}

export type Login = {
  readonly proof: string;
  /** Stanzas that the client sends at once: bind or resume, enable, and what it has to say. */
  readonly stanzas: readonly Element[];
};

export function encodeLogin(login: Login, context: CompactContext): Uint8Array {
  return encodeStanzas([element('login', NS_LOGIN, {}, [login.proof]), ...login.stanzas], context);
}

export function parseLogin(payload: Uint8Array, context: CompactContext): Login | undefined {
  const elements = decodeCompactFrame(payload, context, xmlLimitsAfterLogin);
  if ('code' in elements) return undefined;
  const [first, ...stanzas] = elements;
  if (first === undefined || first.ns !== NS_LOGIN || first.name !== 'login' || first.attrs.length > 0)
    return undefined;
  const proof = first.children.length === 1 ? first.children[0] : undefined;
  return typeof proof === 'string' ? { proof, stanzas } : undefined;
}

/** A statement, signed by the gatekeeper's long-term key, that this Noise static key is its own for a time. */
export type StaticKeyCertificate = {
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  /** Whole seconds since 1970. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** Ed25519, 64 bytes; whoever pinned the key verifies it. */
  readonly signature: Uint8Array;
  /**
   * The ciphers that the gatekeeper offers, in no order; undefined from one of version 0.1.0. Not signed: the handshake
   * authenticates it with the certified key, as it does the whole payload.
   */
  readonly ciphers?: readonly string[] | undefined;
};

export function encodeCertificate(certificate: StaticKeyCertificate, context: CompactContext): Uint8Array {
  const { publicKey, notBefore, notAfter, signature, ciphers } = certificate;
  const attrs = { 'not-before': String(notBefore), 'not-after': String(notAfter), ciphers: ciphers?.join(' ') };
  const children = [element('key', NS_LOGIN, {}, [publicKey]), element('signature', NS_LOGIN, {}, [signature])];
  return encodeStanzas([element('certificate', NS_LOGIN, attrs, children)], context);
}

export function parseCertificate(payload: Uint8Array, context: CompactContext): StaticKeyCertificate | undefined {
  const elements = decodeCompactFrame(payload, context, xmlLimitsBeforeLogin);
  if ('code' in elements || elements.length !== 1) return undefined;
  const el = elements[0]!;
  if (el.ns !== NS_LOGIN || el.name !== 'certificate' || el.children.length !== 2) return undefined;
  const notBefore = parseSeconds(attribute(el, 'not-before'));
  const notAfter = parseSeconds(attribute(el, 'not-after'));
  const publicKey = bytesOf(childElement(el, 'key', NS_LOGIN), 32);
  const signature = bytesOf(childElement(el, 'signature', NS_LOGIN), 64);
  if (notBefore === undefined || notAfter === undefined || publicKey === undefined || signature === undefined)
    return undefined;
  const ciphers = attribute(el, 'ciphers')?.split(' ', maxCipherNames);
  return { publicKey, notBefore, notAfter, signature, ...(ciphers === undefined ? {} : { ciphers }) };
}

/** The one word that a refused peer gets. */
export const refusal = element('refused', NS_LOGIN);

/** The one word for a proof that can't be judged now, as RFC 6120 section 6.5.11 has it: come again later. */
export const temporaryRefusal = element('temporary-auth-failure', NS_LOGIN);

/** The end of a session in good order: nothing is kept to be resumed. */
export const goodbye = element('close', NS_LOGIN);

export function isGoodbye(el: Element): boolean {
  return el.ns === NS_LOGIN && el.name === 'close';
}

export function isRefusal(el: Element): boolean {
  return el.ns === NS_LOGIN && el.name === 'refused';
}

export function isTemporaryRefusal(el: Element): boolean {
  return el.ns === NS_LOGIN && el.name === 'temporary-auth-failure';
}

function parseSeconds(text: string | undefined): number | undefined {
  return text !== undefined && /^[1-9][0-9]{0,11}$/.test(text) ? Number(text) : undefined;
}

function bytesOf(el: Element | undefined, length: number): Uint8Array | undefined {
  const child = el?.children.length === 1 ? el.children[0] : undefined;
  if (child === undefined) return undefined;
  const bytes = typeof child === 'string' ? Buffer.from(child, 'base64') : child;
  return bytes instanceof Uint8Array && bytes.length === length ? bytes : undefined;
}
