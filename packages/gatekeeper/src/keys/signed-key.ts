// Checks XEdDSA signatures on prekeys, so that nobody is handed keys that their owner never signed.
// Knows nothing of storage or of who publishes. No libsignal: X25519 keys are read as Ed25519 ones.
// Source: Signal, "The XEdDSA and VXEdDSA Signature Schemes", sections 2.3 and 2.6; RFC 7748 section 4.1, RFC 8032.
import { createPublicKey, type KeyObject, verify } from 'node:crypto';

const p = 2n ** 255n - 19n;

function power(base: bigint, exponent: bigint): bigint {
  let result = 1n;
  let square = base % p;
  for (let e = exponent; e > 0n; e >>= 1n) {
    if ((e & 1n) === 1n) result = (result * square) % p;
    square = (square * square) % p;
  }
  return result;
}

/** The Edwards y-coordinate for a Montgomery u-coordinate: (u - 1) / (u + 1). Undefined for u = -1, which has none. */
function edwardsY(u: Uint8Array): Buffer | undefined {
  let value = 0n;
  for (let i = 31; i >= 0; i--) value = (value << 8n) | BigInt(u[i]!);
  value &= 2n ** 255n - 1n;
  if (value >= p || value === p - 1n) return undefined;
  let y = ((value - 1n + p) * power(value + 1n, p - 2n)) % p;
  const bytes = Buffer.alloc(32);
  for (let i = 0; i < 32; i++) {
    bytes[i] = Number(y & 255n);
    y >>= 8n;
  }
  return bytes;
}

const spkiPrefix = Buffer.from('302a300506032b6570032100', 'hex');

/**
 * A check of this identity key's signatures (serialised form: 0x05 and 32 bytes).
 *
 * The signer's sign bit stands in the highest bit of the signature, as libsignal writes it. Undefined when the key has
 * another type or is not a point on the curve.
 */
export function signatureCheck(
  identityKey: Uint8Array,
): ((message: Uint8Array, signature: Uint8Array) => boolean) | undefined {
  if (identityKey.length !== 33 || identityKey[0] !== 0x05) return undefined;
  const y = edwardsY(identityKey.subarray(1));
  if (y === undefined) return undefined;
  const keys: (KeyObject | undefined)[] = [undefined, undefined];
  return (message, signature) => {
    if (signature.length !== 64) return false;
    const sign = signature[63]! >> 7;
    const plain = Buffer.from(signature);
    plain[63]! &= 0x7f;
    try {
      if (keys[sign] === undefined) {
        const point = Buffer.concat([spkiPrefix, y]);
        point[point.length - 1]! |= sign << 7;
        keys[sign] = createPublicKey({ key: point, format: 'der', type: 'spki' });
      }
      return verify(null, message, keys[sign], plain);
    } catch {
      // Not every y is on the curve; OpenSSL says so when the key is used.
      return false;
    }
  };
}
