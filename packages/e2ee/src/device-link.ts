// Linking another device of the same person: the new device shows a code, one that is there answers with a sealed ticket
// that holds the person's identity key. Whoever carries the ticket can't read it.
// Knows nothing of how code and ticket travel, nor of the gatekeeper's `authorise` (docs/protocol/06 section 6.4).
// Source: docs/protocol/09-content.md section 9.5; RFC 9180 (HPKE base mode, as libsignal's PublicKey.seal does it).
import { randomBytes } from 'node:crypto';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import * as Signal from '@signalapp/libsignal-client';
import { isInteropId, type InteropId } from './addresses.ts';
import {
  type LinkRequest as LinkRequestMessage,
  LinkRequestSchema,
  type LinkTicket as LinkTicketMessage,
  LinkTicketSchema,
} from './gen/device_pb.ts';
import type { Result } from './suite.ts';

/** As long as the gatekeeper's authorisation of a device key lasts. */
export const LINK_LIFETIME_MS = 600_000;
/** Clocks of two devices may differ by this. */
export const LINK_SKEW_MS = 60_000;
export const MAX_LINK_CODE_CHARACTERS = 512;
export const MAX_LINK_TICKET_CHARACTERS = 2_048;

const VERSION = 1;
const SEAL_KEY_BYTES = 33;
const SEAL_PRIVATE_KEY_BYTES = 32;
const THUMBPRINT_BYTES = 32;
const NONCE_BYTES = 16;
const INFO = 'drawbridge device link 1';

export type LinkError =
  /** Not a code or ticket of this version, or damaged. */
  | { readonly code: 'invalid-link-code' }
  | { readonly code: 'link-expired' }
  /** The ticket was made for another request, or changed on its way. */
  | { readonly code: 'ticket-not-for-this-device' };

/** `code` is shown (QR, text) to the other device; `secret` stays here until the ticket comes. */
export type LinkRequest = { readonly code: string; readonly secret: Uint8Array };

/** What the other device reads: authorise `deviceKeyThumbprint` (base64url) at the gatekeeper. */
export type ReadLinkRequest = {
  readonly deviceKeyThumbprint: string;
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
};

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
  return { code: Buffer.from(bytes).toString('base64url'), secret: Buffer.concat([key.serialize(), bytes]) };
}

/** Reads a code on a device that is there. */
export function readLinkRequest(code: string, nowMs: number): Result<ReadLinkRequest, LinkError> {
  const bytes = decodeText(code, MAX_LINK_CODE_CHARACTERS);
  const request = bytes && parseRequest(bytes);
  if (bytes === undefined || request === undefined) return { ok: false, error: { code: 'invalid-link-code' } };
  const createdAtMs = Number(request.createdAtMs);
  if (!isFresh(createdAtMs, nowMs)) return { ok: false, error: { code: 'link-expired' } };
  const deviceKeyThumbprint = Buffer.from(request.deviceKeyThumbprint).toString('base64url');
  return { ok: true, value: { deviceKeyThumbprint, bytes, createdAtMs } };
}

/** Answers a request: only the device that made it can open the ticket, and only together with that request. */
export function sealLinkTicket(request: ReadLinkRequest, ticket: LinkTicket, nowMs: number): Result<string, LinkError> {
  const parsed = parseRequest(request.bytes);
  if (parsed === undefined) return { ok: false, error: { code: 'invalid-link-code' } };
  const plain = toBinary(
    LinkTicketSchema,
    create(LinkTicketSchema, { ...ticket, version: VERSION, createdAtMs: BigInt(nowMs) }),
  );
  const sealKey = Signal.PublicKey.deserialize(Uint8Array.from(parsed.sealKey));
  const sealed = sealKey.seal(Uint8Array.from(plain), INFO, Uint8Array.from(request.bytes));
  return { ok: true, value: Buffer.from(sealed).toString('base64url') };
}

/** Opens the ticket on the new device. */
export function openLinkTicket(secret: Uint8Array, ticket: string, nowMs: number): Result<LinkTicket, LinkError> {
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
  const { identityKeyPair, interopId, domain, identifier, provider } = read;
  return { ok: true, value: { identityKeyPair, interopId, domain, identifier, provider } };
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

function parseTicket(bytes: Uint8Array): LinkTicketMessage | undefined {
  try {
    const ticket = fromBinary(LinkTicketSchema, bytes);
    if (ticket.version !== VERSION || !isInteropId(ticket.interopId)) return undefined;
    Signal.IdentityKeyPair.deserialize(Uint8Array.from(ticket.identityKeyPair));
    return ticket;
  } catch {
    // Made by the other device, yet not a ticket.
    return undefined;
  }
}
