// What happens when a message can't be decrypted: the receiver asks for it again, within bounds that no loop survives.
// Knows nothing of stanzas on the wire, of the cache of sent content, or of where counts are kept.
// Source: docs/protocol/09-content.md section 9.7; libsignal's DecryptionErrorMessage and PlaintextContent.
import { createHash } from 'node:crypto';
import * as Signal from '@signalapp/libsignal-client';
import type { SessionKind } from '@drawbridge/wire/envelope';
import type { StanzaId } from '@drawbridge/wire/jid';
import { type DeviceAddress, encodeDeviceAddress, isDeviceId } from './addresses.ts';
import type { Result } from './suite.ts';

/** Requests about one stanza, and answers to requests about one stanza, per device. */
export const MAX_RETRIES_PER_STANZA = 3;
/**
 * Requests to, and answers for, one device within `RETRY_WINDOW_MS`, whatever they are about: as many as a session that broke
 * may take with it. A request costs whoever causes it a message, and an answer is one of at most three of what was said anyway.
 */
export const MAX_RETRIES_PER_DEVICE = 128;
export const RETRY_WINDOW_MS = 3_600_000;

/** 48 bits of the SHA-256 of a stanza id: stands in the `timestamp` of a decryption error, since stanzas show no time. */
export function stanzaTag(stanzaId: StanzaId): number {
  return createHash('sha256').update(stanzaId).digest().readUIntBE(0, 6);
}

/**
 * libsignal's DecryptionErrorMessage about a ciphertext: ratchet key, tag of the stanza id, sending device; no text.
 * `not-a-message` for bytes that libsignal can't even take apart: nothing to ask for.
 */
export function makeDecryptionError(failed: {
  readonly from: DeviceAddress;
  readonly kind: SessionKind;
  readonly bytes: Uint8Array;
  readonly stanzaId: StanzaId;
}): Result<Uint8Array, { readonly code: 'not-a-message' }> {
  const type = failed.kind === 'prekey' ? Signal.CiphertextMessageType.PreKey : Signal.CiphertextMessageType.Whisper;
  try {
    const original = Uint8Array.from(failed.bytes);
    const tag = stanzaTag(failed.stanzaId);
    const error = Signal.DecryptionErrorMessage.forOriginal(original, type, tag, failed.from.deviceId);
    return { ok: true, value: error.serialize() };
  } catch {
    return { ok: false, error: { code: 'not-a-message' } };
  }
}

/**
 * The body of a `kind='plaintext-retry'` ciphertext: for when no fresh session can be made. Not authenticated and readable
 * by the gatekeeper: it says which ratchet key failed, not what about. `decryptionError` comes from `makeDecryptionError`.
 */
export function makePlaintextRetry(decryptionError: Uint8Array): Uint8Array {
  const message = Signal.DecryptionErrorMessage.deserialize(Uint8Array.from(decryptionError));
  return Signal.PlaintextContent.from(message).serialize();
}

/** What an authenticated retry request (content body `retry-request`) says about the failed ciphertext. */
export function readDecryptionError(
  decryptionError: Uint8Array,
): Result<{ readonly tag: number; readonly deviceId: number }, { readonly code: 'invalid-decryption-error' }> {
  try {
    const message = Signal.DecryptionErrorMessage.deserialize(Uint8Array.from(decryptionError));
    const deviceId = message.deviceId();
    if (isDeviceId(deviceId)) return { ok: true, value: { tag: message.timestamp(), deviceId } };
  } catch {
    // Bytes of another person's device, refused below.
  }
  return { ok: false, error: { code: 'invalid-decryption-error' } };
}

export type RetryRow = {
  readonly key: string;
  readonly value: Uint8Array;
  /** A window of `RETRY_WINDOW_MS` begins with it. */
  readonly isFirst: boolean;
};

/**
 * `row` is to be kept in all cases, and `attempt` with the stanza, when it is within the device's quota. `isBeyond`: the first
 * attempt beyond the stanza's bound, once: a reader that gives up still says so, and the sender's own bound makes that the end.
 */
export type RetryDecision = {
  readonly allowed: boolean;
  readonly isBeyond: boolean;
  readonly hasQuota: boolean;
  readonly row: RetryRow;
};

/** The row that counts this device's retries of all stanzas. */
export function retryKey(purpose: 'request' | 'resend', device: DeviceAddress): string {
  return `${purpose} ${encodeDeviceAddress(device)}`;
}

/**
 * Whether one more retry is within bounds: `request` (ask a device to send again) or `resend` (send again to a device).
 *
 * `attempt`: which one it is for this stanza, from 1; it counts with what is kept of the stanza, so that nothing else can push
 * it out. `kept` is the row of `retryKey`, when there is one. Both bounds count attempts that were refused as well, so that a
 * device that never stops asking is never answered again within the window.
 */
export function decideRetry(
  purpose: 'request' | 'resend',
  device: DeviceAddress,
  attempt: number,
  nowMs: number,
  kept: Uint8Array | undefined,
): RetryDecision {
  const { count, row } = nextCount(retryKey(purpose, device), nowMs, kept);
  const hasQuota = count <= MAX_RETRIES_PER_DEVICE;
  return {
    allowed: hasQuota && attempt <= MAX_RETRIES_PER_STANZA,
    isBeyond: hasQuota && attempt === MAX_RETRIES_PER_STANZA + 1,
    hasQuota,
    row,
  };
}

/** Whether a row counts nothing any more: its window is over. */
export function isRetryRowOver(value: Uint8Array, nowMs: number): boolean {
  return countIn(value, nowMs) === undefined;
}

const ROW_BYTES = 12;

/** One more attempt in a row: 4 bytes count, 8 bytes start of the window (ms). */
function nextCount(key: string, nowMs: number, kept: Uint8Array | undefined): { count: number; row: RetryRow } {
  const before = kept === undefined ? undefined : countIn(kept, nowMs);
  const count = Math.min((before?.attempts ?? 0) + 1, 0xffff_ffff);
  const value = new Uint8Array(ROW_BYTES);
  const view = new DataView(value.buffer);
  view.setUint32(0, count);
  view.setFloat64(4, before?.startMs ?? nowMs);
  return { count, row: { key, value, isFirst: before === undefined } };
}

/** Undefined: the window is over. A clock that was set back begins a new one rather than one that never ends. */
function countIn(value: Uint8Array, nowMs: number): { attempts: number; startMs: number } | undefined {
  if (value.length !== ROW_BYTES) return undefined;
  const view = new DataView(value.buffer, value.byteOffset, ROW_BYTES);
  const startMs = view.getFloat64(4);
  return nowMs >= startMs && nowMs - startMs < RETRY_WINDOW_MS ? { attempts: view.getUint32(0), startMs } : undefined;
}
