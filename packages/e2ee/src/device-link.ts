// Linking another device of the same person: the new device shows a code, one that is there answers with a sealed ticket
// that holds the person's identity key. Whoever carries the ticket can't read it.
// Knows nothing of how code and ticket travel, nor of the gatekeeper's `authorise` (docs/protocol/06 section 6.4).
// Source: docs/protocol/09-content.md section 9.5; RFC 9180 (HPKE base mode, as libsignal's PublicKey.seal does it).
import { hash, randomBytes, scryptSync } from 'node:crypto';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import * as Signal from '@signalapp/libsignal-client';
import { isInteropId, type InteropId } from '@drawbridge/wire/jid';
import {
  type KnownDecision as KnownDecisionMessage,
  KnownDecision_State,
  type LinkRequest as LinkRequestMessage,
  LinkRequestSchema,
  type LinkTicket as LinkTicketMessage,
  LinkTicketSchema,
} from './gen/device_pb.ts';
import { MAX_TIME_MS, MESSAGE_ID_BYTES } from './content/checks.ts';
import { type KnownPerson, MAX_KNOWN_PEOPLE, personBytes, personMessage, readPerson } from './known-people.ts';
import type { Result } from './suite.ts';

export type { KnownPerson };

/** As long as the gatekeeper's authorisation of a device key lasts. */
export const LINK_LIFETIME_MS = 600_000;
/** Clocks of two devices may differ by this. */
export const LINK_SKEW_MS = 60_000;
export const MAX_LINK_CODE_CHARACTERS = 512;
/** Beyond these, people follow a ticket: one of each provider, then verified ones come first. */
export const MAX_LINK_PEOPLE = 500;
export const MAX_LINK_PEOPLE_BYTES = 81_920;
export const MAX_LINK_TICKET_CHARACTERS = 131_072;
/** Beyond these, decisions are left out of a ticket: blocks come first. The new device asks the others for the rest. */
export const MAX_LINK_DECISIONS = 180;

const VERSION = 2;
const SEAL_KEY_BYTES = 33;
const SEAL_PRIVATE_KEY_BYTES = 32;
const THUMBPRINT_BYTES = 32;
const NONCE_BYTES = 16;
const MAX_DEVICE_ID = 127;
const INFO = 'drawbridge device link 2';

/** Those that need a device's protection most come first. */
const heldStates = ['blocked', 'denied', 'request'] as const;
const heldCodes: Readonly<Record<KnownDecision['state'], KnownDecision_State>> = {
  blocked: KnownDecision_State.BLOCKED,
  denied: KnownDecision_State.DENIED,
  request: KnownDecision_State.REQUEST,
};

export type LinkError =
  /** Not a code or ticket of this version, or damaged. */
  | { readonly code: 'invalid-link-code' }
  | { readonly code: 'link-expired' }
  /** The ticket was made for another request, or changed on its way. */
  | { readonly code: 'ticket-not-for-this-device' };

/** `code` is shown (QR, text) to the other device; `secret` stays here until the ticket comes. */
export type LinkRequest = {
  readonly code: string;
  /** Shown on both devices: equal only when the code was not swapped on its way. */
  readonly requestCode: string;
  readonly secret: Uint8Array;
};

/** What the other device reads: authorise `deviceKeyThumbprint` (base64url) at the gatekeeper. */
export type ReadLinkRequest = {
  readonly deviceKeyThumbprint: string;
  readonly requestCode: string;
  readonly bytes: Uint8Array;
  readonly createdAtMs: number;
};

/** What the new device learns. It shows `identifier` and `provider` to its person before it uses the keys. */
export type LinkTicket = {
  /** libsignal's IdentityKeyPair: secret; for `createDevice`. */
  readonly identityKeyPair: Uint8Array;
  readonly interopId: InteropId;
  /** The gatekeeper's domain. */
  readonly domain: string;
  readonly identifier: string;
  readonly provider: string;
  /** The gatekeeper's, as pinned; `signingKey` is empty when it has none. */
  readonly issuer: string;
  readonly signingKey: string;
  readonly people: readonly KnownPerson[];
  /** The device that made it. */
  readonly deviceId: number;
  /** How many people it has no room for: that device tells of them later, and until then the new one meets nobody new. */
  readonly peopleToFollow: number;
  readonly decisions: readonly KnownDecision[];
};

/** Somebody from whom the person is held back: a block or denial of theirs, or a request that waits. */
export type KnownDecision = {
  readonly interopId: InteropId;
  readonly state: 'blocked' | 'denied' | 'request';
  readonly atMs: number;
  /** Of the content by which one of the person's devices said so; empty: it is the gatekeeper's word alone. */
  readonly messageId: Uint8Array;
};

/** What a ticket says, but for people. */
export type LinkWords = Omit<LinkTicket, 'people' | 'deviceId' | 'peopleToFollow' | 'decisions'>;

/** Starts linking on the new device. `deviceKeyThumbprint`: of its device key, as in `DeviceKey.thumbprint`. */
export function createLinkRequest(deviceKeyThumbprint: string, nowMs: number): LinkRequest {
  const key = Signal.PrivateKey.generate();
  const bytes = toBinary(
    LinkRequestSchema,
    create(LinkRequestSchema, {
      version: VERSION,
      sealKey: key.getPublicKey().serialize(),
      deviceKeyThumbprint: Buffer.from(deviceKeyThumbprint, 'base64url'),
      nonce: randomBytes(NONCE_BYTES),
      createdAtMs: BigInt(nowMs),
    }),
  );
  const code = Buffer.from(bytes).toString('base64url');
  return { code, requestCode: requestCode(bytes), secret: Buffer.concat([key.serialize(), bytes]) };
}

/** Reads a code on a device that is there. */
export function readLinkRequest(code: string, nowMs: number): Result<ReadLinkRequest, LinkError> {
  const bytes = decodeText(code, MAX_LINK_CODE_CHARACTERS);
  const request = bytes && parseRequest(bytes);
  if (bytes === undefined || request === undefined) return { ok: false, error: { code: 'invalid-link-code' } };
  const createdAtMs = Number(request.createdAtMs);
  if (!isFresh(createdAtMs, nowMs)) return { ok: false, error: { code: 'link-expired' } };
  const deviceKeyThumbprint = Buffer.from(request.deviceKeyThumbprint).toString('base64url');
  return { ok: true, value: { deviceKeyThumbprint, requestCode: requestCode(bytes), bytes, createdAtMs } };
}

/**
 * Answers a request: only the device that made it can open the ticket, and only together with that request.
 * `peopleToFollow`: whom this device is itself still to learn of; those who don't fit are added to it.
 */
export function sealLinkTicket(request: ReadLinkRequest, ticket: LinkTicket, nowMs: number): Result<string, LinkError> {
  const parsed = parseRequest(request.bytes);
  if (parsed === undefined) return { ok: false, error: { code: 'invalid-link-code' } };
  const people = fitting(ticket.people);
  const plain = toBinary(
    LinkTicketSchema,
    create(LinkTicketSchema, {
      ...ticket,
      people: people.map(personMessage),
      peopleToFollow: Math.min(MAX_KNOWN_PEOPLE, ticket.peopleToFollow + ticket.people.length - people.length),
      decisions: ticket.decisions
        .toSorted((a, b) => heldStates.indexOf(a.state) - heldStates.indexOf(b.state))
        .slice(0, MAX_LINK_DECISIONS)
        .map(({ state, atMs, ...rest }) => ({ ...rest, state: heldCodes[state], atMs: BigInt(atMs) })),
      version: VERSION,
      createdAtMs: BigInt(nowMs),
    }),
  );
  const sealKey = Signal.PublicKey.deserialize(Uint8Array.from(parsed.sealKey));
  const sealed = sealKey.seal(Uint8Array.from(plain), INFO, Uint8Array.from(request.bytes));
  return { ok: true, value: Buffer.from(sealed).toString('base64url') };
}

/** Opens the ticket on the new device. `answerCode` is that of `answerCode` on the device that made it. */
export function openLinkTicket(
  secret: Uint8Array,
  ticket: string,
  nowMs: number,
): Result<LinkTicket & { readonly answerCode: string }, LinkError> {
  const sealed = decodeText(ticket, MAX_LINK_TICKET_CHARACTERS);
  if (sealed === undefined) return { ok: false, error: { code: 'invalid-link-code' } };
  let plain: Uint8Array;
  try {
    const key = Signal.PrivateKey.deserialize(Uint8Array.from(secret.subarray(0, SEAL_PRIVATE_KEY_BYTES)));
    plain = key.open(Uint8Array.from(sealed), INFO, Uint8Array.from(secret.subarray(SEAL_PRIVATE_KEY_BYTES)));
  } catch {
    return { ok: false, error: { code: 'ticket-not-for-this-device' } };
  }
  const read = parseTicket(plain);
  if (read === undefined) return { ok: false, error: { code: 'invalid-link-code' } };
  if (!isFresh(Number(read.createdAtMs), nowMs)) return { ok: false, error: { code: 'link-expired' } };
  const { identityKeyPair, interopId, domain, identifier, provider, issuer, signingKey } = read;
  const { people, deviceId, peopleToFollow } = read;
  const words = { identityKeyPair, interopId, domain, identifier, provider, issuer, signingKey };
  // A state of a later version says nothing to this one.
  const decisions = read.decisions.flatMap(({ interopId: about, state, atMs, messageId }) => {
    const held = heldStates.find(each => heldCodes[each] === state);
    return held === undefined ? [] : [{ interopId: about, state: held, atMs: Number(atMs), messageId }];
  });
  const value = { ...words, people, deviceId, peopleToFollow, decisions };
  return { ok: true, value: { ...value, answerCode: answerCode(secret.subarray(SEAL_PRIVATE_KEY_BYTES), value) } };
}

/** Nine digits in groups of three: who wants another request to have the same must try about a thousand million times. */
function requestCode(request: Uint8Array): string {
  return shortCode('request', request);
}

/** The same for what a ticket says: whose identity it holds, and where. `request`: `ReadLinkRequest.bytes`. */
export function answerCode(request: Uint8Array, ticket: LinkWords): string {
  const { interopId, domain, identifier, provider, issuer, signingKey } = ticket;
  const identity = Signal.IdentityKeyPair.deserialize(Uint8Array.from(ticket.identityKeyPair)).publicKey.serialize();
  const words = JSON.stringify([interopId, domain, identifier, provider, issuer, signingKey]);
  return shortCode('answer', Buffer.concat([hash('sha256', request, 'buffer'), identity, Buffer.from(words)]));
}

/** Slow on purpose: each try costs 32 MiB and some 0.1 s, and requests and tickets live for ten minutes. */
function shortCode(what: string, bytes: Uint8Array): string {
  const derived = scryptSync(bytes, `drawbridge device link ${what} 2`, 8, { N: 32_768, r: 8, maxmem: 67_108_864 });
  const digits = String(derived.readBigUInt64BE() % 1_000_000_000n).padStart(9, '0');
  return digits.replaceAll(/\d{3}(?=\d)/g, '$& ');
}

/** How many people don't fit into a ticket. */
export function leftOutOfTicket(people: readonly KnownPerson[]): number {
  return people.length - fitting(people).length;
}

/** One of each provider, so that its number is known; then verified people first. Those who don't fit are left out. */
function fitting(people: readonly KnownPerson[]): readonly KnownPerson[] {
  const byTrust = [...people].sort((a, b) => Number(b.verified) - Number(a.verified));
  const firsts = new Set(new Map(byTrust.toReversed().map(person => [person.provider, person])).values());
  let sizeBytes = 0;
  return byTrust
    .sort((a, b) => Number(firsts.has(b)) - Number(firsts.has(a)))
    .slice(0, MAX_LINK_PEOPLE)
    .filter(person => {
      sizeBytes += personBytes(person);
      return sizeBytes <= MAX_LINK_PEOPLE_BYTES;
    });
}

function isFresh(createdAtMs: number, nowMs: number): boolean {
  return createdAtMs <= nowMs + LINK_SKEW_MS && nowMs - createdAtMs <= LINK_LIFETIME_MS;
}

/** Canonical base64url without padding. */
function decodeText(text: string, maxCharacters: number): Uint8Array | undefined {
  if (text.length === 0 || text.length > maxCharacters) return undefined;
  const bytes = Buffer.from(text, 'base64url');
  return bytes.toString('base64url') === text ? bytes : undefined;
}

function parseRequest(bytes: Uint8Array): LinkRequestMessage | undefined {
  try {
    const request = fromBinary(LinkRequestSchema, bytes);
    if (request.version !== VERSION || request.sealKey.length !== SEAL_KEY_BYTES) return undefined;
    if (request.deviceKeyThumbprint.length !== THUMBPRINT_BYTES || request.nonce.length !== NONCE_BYTES)
      return undefined;
    Signal.PublicKey.deserialize(Uint8Array.from(request.sealKey));
    return request;
  } catch {
    // Anything that a person can paste or scan.
    return undefined;
  }
}

type ReadTicket = Omit<LinkTicketMessage, 'people'> & { readonly people: readonly KnownPerson[] };

function parseTicket(bytes: Uint8Array): ReadTicket | undefined {
  try {
    const ticket = fromBinary(LinkTicketSchema, bytes);
    if (ticket.version !== VERSION || !isInteropId(ticket.interopId)) return undefined;
    Signal.IdentityKeyPair.deserialize(Uint8Array.from(ticket.identityKeyPair));
    const people = ticket.people.map(readPerson).filter(person => person !== undefined);
    if (people.length < ticket.people.length || people.length > MAX_LINK_PEOPLE) return undefined;
    if (ticket.decisions.length > MAX_LINK_DECISIONS || !ticket.decisions.every(isDecision)) return undefined;
    const { deviceId, peopleToFollow } = ticket;
    const isAskable = deviceId >= 1 && deviceId <= MAX_DEVICE_ID && peopleToFollow <= MAX_KNOWN_PEOPLE;
    if (peopleToFollow > 0 && !isAskable) return undefined;
    return { ...ticket, people };
  } catch {
    // Made by the other device, yet not a ticket.
    return undefined;
  }
}

function isDecision({ interopId, atMs, messageId }: KnownDecisionMessage): boolean {
  const isNamed = messageId.length === 0 || messageId.length === MESSAGE_ID_BYTES;
  return isInteropId(interopId) && isNamed && Number(atMs) <= MAX_TIME_MS;
}
