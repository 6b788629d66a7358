// A device's public keys as they come in, over HTTP or in a stanza: sizes, types, ids and signatures are checked once.
// Knows nothing of who sends them. Source: docs/protocol/03 (Device) and 06 section 6.2.
import { thumbprintX25519 } from '@drawbridge/identity/jwk';
import { maxRegistrationId } from '@drawbridge/wire/limits';
import type { NewDevice } from '../enlistment/account-store.ts';
import type { OneTimeKeyRow, SignedKeyRow } from './key-directory.ts';
import type { Signed } from './signature-checks.ts';
import { signatureCheck } from './signed-key.ts';

export const maxKeyId = 16_777_215;
/** libsignal's serialised public keys: a type byte (0x05 X25519, 0x08 Kyber-1024) and the key. */
export const curveKeyBytes = 33;
export const kemKeyBytes = 1569;

/** Keys as uploaded, before anything about them is known; the two optional ones replace what is there. */
export type KeyUpload = {
  readonly signedPrekey?: SignedKeyRow;
  readonly lastResortKemPrekey?: SignedKeyRow;
  readonly prekeys: readonly OneTimeKeyRow[];
  readonly kemPrekeys: readonly SignedKeyRow[];
  /** One-time keys that are there besides these are to go. */
  readonly only?: boolean;
};

function isCurveKey(key: Uint8Array): boolean {
  return key.length === curveKeyBytes && key[0] === 0x05;
}

function isKemKey(key: Uint8Array): boolean {
  return key.length === kemKeyBytes && key[0] === 0x08;
}

function isKeyId(id: number): boolean {
  return Number.isInteger(id) && id >= 1 && id <= maxKeyId;
}

function distinctIds(keys: readonly { readonly id: number }[]): boolean {
  return new Set(keys.map(key => key.id)).size === keys.length;
}

/**
 * What the identity key must have signed, when all keys have the right form and ids are distinct in each list; undefined
 * when they haven't. Nothing is stored before each of these signatures was checked.
 */
export function signedKeysOf(upload: KeyUpload): readonly Signed[] | undefined {
  const { signedPrekey, lastResortKemPrekey, prekeys, kemPrekeys } = upload;
  if (!distinctIds(prekeys) || !distinctIds(kemPrekeys)) return undefined;
  if (!prekeys.every(key => isKeyId(key.id) && isCurveKey(key.publicKey))) return undefined;
  const kemKeys = lastResortKemPrekey === undefined ? kemPrekeys : [lastResortKemPrekey, ...kemPrekeys];
  if (!kemKeys.every(key => isKeyId(key.id) && isKemKey(key.publicKey))) return undefined;
  if (signedPrekey !== undefined && !(isKeyId(signedPrekey.id) && isCurveKey(signedPrekey.publicKey))) return undefined;
  const signed = signedPrekey === undefined ? kemKeys : [signedPrekey, ...kemKeys];
  return signed.map(({ publicKey, signature }) => ({ message: publicKey, signature }));
}

type KeyJson = { readonly id: number; readonly publicKey: string };
type SignedKeyJson = KeyJson & { readonly signature: string };

/** `Device` of docs/protocol/03, its shape already checked against the schema. */
export type DeviceJson = {
  readonly deviceKey: string;
  readonly registrationId: number;
  readonly identityKey: string;
  readonly signedPrekey: SignedKeyJson;
  readonly lastResortKemPrekey: SignedKeyJson;
  readonly prekeys?: readonly KeyJson[];
  readonly kemPrekeys?: readonly SignedKeyJson[];
  readonly capabilities?: { readonly suites: readonly string[] };
};

/** Bytes of canonical base64 (RFC 4648 section 4, padded); any other spelling gives no bytes, which no key has. */
export function decodeBase64(text: string): Uint8Array {
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64') === text ? bytes : new Uint8Array(0);
}

function signedKey(json: SignedKeyJson): SignedKeyRow {
  return { id: json.id, publicKey: decodeBase64(json.publicKey), signature: decodeBase64(json.signature) };
}

/** A device in the right form, and what its identity key must have signed before it is anybody's device. */
export type UncheckedDevice = { readonly unchecked: NewDevice; readonly signed: readonly Signed[] };

/** The device with its thumbprint; undefined when a key or an id is not right. */
export function readDevice(json: DeviceJson): UncheckedDevice | undefined {
  const deviceKey = Buffer.from(json.deviceKey, 'base64url');
  if (deviceKey.length !== 32 || deviceKey.toString('base64url') !== json.deviceKey) return undefined;
  const { registrationId } = json;
  if (!Number.isInteger(registrationId) || registrationId < 1 || registrationId > maxRegistrationId) return undefined;
  const identityKey = decodeBase64(json.identityKey);
  const keys = {
    signedPrekey: signedKey(json.signedPrekey),
    lastResortKemPrekey: signedKey(json.lastResortKemPrekey),
    prekeys: (json.prekeys ?? []).map(key => ({ id: key.id, publicKey: decodeBase64(key.publicKey) })),
    kemPrekeys: (json.kemPrekeys ?? []).map(signedKey),
  };
  const signed = signedKeysOf(keys);
  if (signed === undefined) return undefined;
  return { unchecked: { registrationId, thumbprint: thumbprintX25519(deviceKey), identityKey, ...keys }, signed };
}

/** The same, with all signatures checked here and now: for an operator's own tools, which hold up nobody. */
export function parseDevice(json: DeviceJson): NewDevice | undefined {
  const read = readDevice(json);
  if (read === undefined) return undefined;
  const isSigned = signatureCheck(read.unchecked.identityKey);
  const isRight = read.signed.every(({ message, signature }) => isSigned?.(message, signature) === true);
  return isRight ? read.unchecked : undefined;
}
