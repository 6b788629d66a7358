// The bodies of enlistment over HTTP, as TypeBox schemas: what is checked, and what OpenAPI says.
// Knows nothing of what becomes of them.
// Source: docs/protocol/03.
import { maxDeviceId, maxRegistrationId } from '@drawbridge/wire/limits';
import { Type } from 'typebox';

export const closed = { additionalProperties: false };
/** Its characters are judged when it is decoded: a pattern over two hundred keys costs more than all the rest of a request. */
const base64 = (bytes: number, description: string) =>
  Type.String({
    minLength: Math.ceil(bytes / 3) * 4,
    maxLength: Math.ceil(bytes / 3) * 4,
    contentEncoding: 'base64',
    description,
  });
const KeyId = Type.Integer({ minimum: 1, maximum: 16_777_215 });
const curveKey = base64(33, 'libsignal public key: 0x05 and 32 bytes');
const kemKey = base64(1569, 'libsignal KEM public key: 0x08 and 1,568 bytes');
const signature = base64(64, "the identity key's signature over the public key");
const Prekey = Type.Object({ id: KeyId, publicKey: curveKey }, closed);
const SignedPrekey = Type.Object({ id: KeyId, publicKey: curveKey, signature }, closed);
const KemPrekey = Type.Object({ id: KeyId, publicKey: kemKey, signature }, closed);
const InteropId = Type.String({ pattern: '^(0|[1-9][0-9]{0,4})-[a-z2-7]{26}$' });
const DeviceId = Type.Integer({ minimum: 1, maximum: maxDeviceId });
export const Possession = base64(64, "the identity key's signature that it is in the hand of this device");
export const Proof = Type.String({ minLength: 1, maxLength: 8192, description: 'ownership proof for this device key' });

/** A device as it enlists, with at most `maxKeys` one-time keys of each kind. */
export function deviceSchema(maxKeys: number) {
  return Type.Object(
    {
      deviceKey: Type.String({ pattern: '^[A-Za-z0-9_-]{43}$', description: 'X25519 public key, base64url' }),
      registrationId: Type.Integer({ minimum: 1, maximum: maxRegistrationId }),
      identityKey: curveKey,
      signedPrekey: SignedPrekey,
      lastResortKemPrekey: KemPrekey,
      prekeys: Type.Optional(Type.Array(Prekey, { maxItems: maxKeys })),
      kemPrekeys: Type.Optional(Type.Array(KemPrekey, { maxItems: maxKeys })),
      capabilities: Type.Optional(
        Type.Object({ suites: Type.Array(Type.Literal('signal-1'), { minItems: 1, maxItems: 1 }) }, closed),
      ),
    },
    closed,
  );
}

export const Enlisted = Type.Object(
  {
    interopId: InteropId,
    deviceId: DeviceId,
    jid: Type.String(),
    domain: Type.String(),
    provider: Type.String({ description: 'DNS name' }),
  },
  closed,
);
export const EnlistmentStatus = Type.Object(
  {
    interopId: InteropId,
    identifier: Type.String(),
    provider: Type.String(),
    status: Type.Union([Type.Literal('active'), Type.Literal('suspended')]),
    devices: Type.Array(Type.Object({ deviceId: DeviceId, enlistedAt: Type.String({ format: 'date-time' }) }, closed)),
  },
  closed,
);
export const person = Type.Object({ interopId: InteropId }, closed);
export const personAndDevice = Type.Object(
  { interopId: InteropId, deviceId: Type.String({ pattern: '^[1-9][0-9]{0,2}$' }) },
  closed,
);
