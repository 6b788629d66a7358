// Safety numbers: what two people compare to know that nobody sits between them.
// Knows nothing of sessions or stores. Stable identifiers are the InteropIds (UTF-8).
// Source: Signal's numeric fingerprint version 2, 5200 iterations; docs/protocol/09-content.md section 9.4.
import * as Signal from '@signalapp/libsignal-client';
import type { InteropId } from '@drawbridge/wire/jid';
import type { Result, SafetyNumber } from './suite.ts';

const ITERATIONS = 5_200;
const VERSION = 2;

export type Party = { readonly interopId: InteropId; readonly identityKey: Uint8Array };

/**
 * The same 60 digits on both sides. Takes about 5 ms of this thread.
 * Identity keys are serialised public keys that libsignal has read before; others are a mistake of the caller.
 */
export function safetyNumberOf(local: Party, remote: Party): SafetyNumber {
  const id = (party: Party): Uint8Array<ArrayBuffer> => new TextEncoder().encode(party.interopId);
  const key = (party: Party): Signal.PublicKey => Signal.PublicKey.deserialize(Uint8Array.from(party.identityKey));
  const fingerprint = Signal.Fingerprint.new(ITERATIONS, VERSION, id(local), key(local), id(remote), key(remote));
  return {
    digits: fingerprint.displayableFingerprint().toString(),
    scannable: fingerprint.scannableFingerprint().toBuffer(),
  };
}

/** Twelve groups of five digits, as people read them aloud. */
export function formatSafetyNumber(digits: string): string {
  return digits.match(/.{1,5}/g)?.join(' ') ?? '';
}

/** Whether what was scanned from the other person's screen belongs to the same two keys and people. */
export function compareScanned(
  own: SafetyNumber,
  scanned: Uint8Array,
): Result<boolean, { readonly code: 'unreadable-code' }> {
  try {
    const theirs = Signal.ScannableFingerprint._fromBuffer(Uint8Array.from(scanned));
    return { ok: true, value: Signal.ScannableFingerprint._fromBuffer(Uint8Array.from(own.scannable)).compare(theirs) };
  } catch {
    return { ok: false, error: { code: 'unreadable-code' } };
  }
}
