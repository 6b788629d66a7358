// Stamps: the gatekeeper's word, under a key that it alone has, that it took a message with this commitment over, from whom, for
// whom and when. Keys change each week and follow from one secret; nothing is kept of a stamp.
// Knows nothing of contents, accounts or reports. Source: docs/protocol/10-consent-and-reports.md section 10.4; decision 0063.
import { createHash, hkdfSync, timingSafeEqual } from 'node:crypto';
import { macKeyBytes, messageMac } from '@drawbridge/noise/message-mac';
import type { Stampable } from '@drawbridge/wire/envelope';

export const stampEpochMs = 7 * 86_400_000;
/** Of how many epochs before the present one the key's commitment is published; reports of older messages are refused. */
export const pastStampEpochs = 8;
/** Clocks of nodes differ. */
const aheadMs = 300_000;

/** What binds the gatekeeper to the key of one epoch before it has to show it to anybody. */
export type EpochCommitment = { readonly epoch: number; readonly commitment: string };

export type StampFault = 'too-old' | 'not-stamped';

export class Stamps {
  readonly #secret: Uint8Array;
  readonly #keys = new Map<number, Uint8Array>();
  /** Nothing in it outlives a call. */
  readonly #scratch = Buffer.allocUnsafeSlow(512);

  /** 32 random bytes, the same on all nodes. */
  constructor(secret: Uint8Array) {
    this.#secret = secret;
  }

  stamp(message: Stampable, atMs: number): Uint8Array {
    const { from, to, id, commitment } = message;
    const scratch = this.#scratch;
    // No part of it holds a line break; 1 + 34 + 34 + 64 + 15 characters and a commitment fit.
    const length = scratch.write(`drawbridge stamp 1\n${from}\n${to}\n${id}\n${atMs}\n`, 'latin1');
    scratch.set(commitment, length);
    return messageMac(this.#key(epochOf(atMs)), scratch.subarray(0, length + commitment.length));
  }

  /** Whether this gatekeeper made the stamp, for exactly this message; undefined: it did. */
  fault(message: Stampable, atMs: number, mac: Uint8Array, nowMs: number): StampFault | undefined {
    if (atMs > nowMs + aheadMs) return 'not-stamped';
    if (epochOf(atMs) < epochOf(nowMs) - pastStampEpochs) return 'too-old';
    const own = this.stamp(message, atMs);
    return mac.length === own.length && timingSafeEqual(mac, own) ? undefined : 'not-stamped';
  }

  /** Of the next epoch, this one and those before it whose messages may be reported. */
  epochCommitments(nowMs: number): EpochCommitment[] {
    const now = epochOf(nowMs);
    return Array.from({ length: pastStampEpochs + 2 }, (_, i) => {
      const epoch = now + 1 - i;
      const text = `drawbridge stamp epoch 1\n${epoch}\n`;
      return { epoch, commitment: createHash('sha256').update(text).update(this.#key(epoch)).digest('base64url') };
    });
  }

  #key(epoch: number): Uint8Array {
    const known = this.#keys.get(epoch);
    if (known !== undefined) return known;
    const info = `drawbridge stamp key 1 ${epoch}`;
    const key = new Uint8Array(hkdfSync('sha256', this.#secret, '', info, macKeyBytes));
    if (this.#keys.size > 2 * pastStampEpochs) this.#keys.clear();
    this.#keys.set(epoch, key);
    return key;
  }
}

function epochOf(atMs: number): number {
  return Math.floor(atMs / stampEpochMs);
}
