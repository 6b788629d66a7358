// Makes devices with valid public keys and signatures, by node:crypto alone: for tests, the sandbox and load generators.
// The private halves are thrown away but for the device key: no message can be encrypted to such a device.
// Source: the XEdDSA specification; the signing key is an Ed25519 one, published as the X25519 key it corresponds to.
import { createHash, generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { possessionSignedBytes } from '@drawbridge/wire/device-manifest';
import type { DeviceJson } from '../keys/device-keys.ts';

const p = 2n ** 255n - 19n;

function inverse(value: bigint): bigint {
  let result = 1n;
  let square = ((value % p) + p) % p;
  for (let e = p - 2n; e > 0n; e >>= 1n) {
    if ((e & 1n) === 1n) result = (result * square) % p;
    square = (square * square) % p;
  }
  return result;
}

export type SampleIdentity = {
  /** 33 bytes: 0x05 and the X25519 form of the key. */
  readonly publicKey: Uint8Array;
  readonly sign: (message: Uint8Array) => Uint8Array;
};

export function sampleIdentity(): SampleIdentity {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const point = Buffer.from(publicKey.export({ format: 'jwk' }).x!, 'base64url');
  const signBit = point[31]! & 0x80;
  let y = 0n;
  for (let i = 31; i >= 0; i--) y = (y << 8n) | BigInt(i === 31 ? point[i]! & 0x7f : point[i]!);
  let u = ((1n + y) * inverse(1n - y)) % p;
  const bytes = Buffer.alloc(33);
  bytes[0] = 0x05;
  for (let i = 1; i <= 32; i++) {
    bytes[i] = Number(u & 255n);
    u >>= 8n;
  }
  return {
    publicKey: bytes,
    sign(message) {
      const signature = sign(null, message, privateKey);
      signature[63]! |= signBit;
      return signature;
    },
  };
}

/** A public key of the right size and type byte; the KEM does not matter to whoever only passes keys on. */
function sampleKey(type: number, size: number): Uint8Array {
  return Buffer.concat([Buffer.from([type]), randomBytes(size - 1)]);
}

export type SampleKeys = { readonly prekeys?: number; readonly kemPrekeys?: number; readonly firstId?: number };

/** One-time keys as JSON, ids counted from `firstId`. */
export function sampleOneTimeKeys(identity: SampleIdentity, { prekeys = 0, kemPrekeys = 0, firstId = 1 }: SampleKeys) {
  const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
  return {
    prekeys: Array.from({ length: prekeys }, (_, i) => ({ id: firstId + i, publicKey: base64(sampleKey(0x05, 33)) })),
    kemPrekeys: Array.from({ length: kemPrekeys }, (_, i) => {
      const publicKey = sampleKey(0x08, 1569);
      return { id: firstId + i, publicKey: base64(publicKey), signature: base64(identity.sign(publicKey)) };
    }),
  };
}

export type SampleDevice = {
  readonly identity: SampleIdentity;
  /** What an ownership proof has to be bound to. */
  readonly jkt: string;
  readonly json: DeviceJson;
};

/** A device of a new person, or, with `identity`, a further device of that one. */
export function sampleDevice(keys: SampleKeys & { readonly identity?: SampleIdentity } = {}): SampleDevice {
  const identity = keys.identity ?? sampleIdentity();
  const x = randomBytes(32).toString('base64url');
  const signed = (publicKey: Uint8Array) => ({
    id: 1,
    publicKey: Buffer.from(publicKey).toString('base64'),
    signature: Buffer.from(identity.sign(publicKey)).toString('base64'),
  });
  return {
    identity,
    jkt: createHash('sha256')
      .update(JSON.stringify({ crv: 'X25519', kty: 'OKP', x }))
      .digest('base64url'),
    json: {
      deviceKey: x,
      registrationId: 1 + (randomBytes(2).readUInt16BE() % 16_380),
      identityKey: Buffer.from(identity.publicKey).toString('base64'),
      signedPrekey: signed(sampleKey(0x05, 33)),
      lastResortKemPrekey: signed(sampleKey(0x08, 1569)),
      ...sampleOneTimeKeys(identity, keys),
    },
  };
}

/** What says that the device's identity key is in its hand: for this ownership proof, or to join this enlistment. */
export function samplePossession(
  { identity, jkt }: SampleDevice,
  issuer: string,
  of: { readonly proof: string } | { readonly interopId: string },
): string {
  const subject =
    'proof' in of ? { nonce: createHash('sha256').update(of.proof).digest('base64url') } : { interopId: of.interopId };
  const signed = possessionSignedBytes({ issuer, deviceKeyThumbprint: jkt, subject });
  return Buffer.from(identity.sign(signed)).toString('base64');
}
