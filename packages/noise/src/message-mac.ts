// A message authentication code at the price of a routed message: HMAC-SHA-512 cut to 32 bytes (libsodium's `crypto_auth`),
// by libsodium where it is there, else by node:crypto: the same bytes either way. Knows nothing of what is authenticated.
// Source: RFC 2104, RFC 4868 section 2.1.1; libsodium's documentation of crypto_auth.
import { createHmac } from 'node:crypto';
import { createRequire } from 'node:module';

export const macBytes = 32;
export const macKeyBytes = 32;

/** 32 bytes over a message, under a key of 32 bytes. */
export type MessageMac = (key: Uint8Array, message: Uint8Array) => Uint8Array;

export const nodeMac: MessageMac = (key, message) =>
  createHmac('sha512', key).update(message).digest().subarray(0, macBytes);

/** Chooses by what `load` gives: for tests. `load` throws when there is nothing to load. */
export function chooseMac(load: () => unknown): MessageMac {
  try {
    const loaded = load();
    if (typeof loaded !== 'object' || loaded === null) return nodeMac;
    const auth: unknown = Reflect.get(loaded, 'crypto_auth');
    if (typeof auth !== 'function') return nodeMac;
    const mac: MessageMac = (key, message) => {
      const out = Buffer.allocUnsafe(macBytes);
      Reflect.apply(auth, undefined, [out, message, key]);
      return out;
    };
    const key = Buffer.alloc(macKeyBytes, 7);
    // A broken binary must not come as far as a stamp.
    return Buffer.compare(mac(key, key), nodeMac(key, key)) === 0 ? mac : nodeMac;
  } catch {
    return nodeMac;
  }
}

export const messageMac: MessageMac = chooseMac(() => createRequire(import.meta.url)('sodium-native'));
