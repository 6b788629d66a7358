// Device manifests and statements of possession, with libsignal's signatures: the vectors, and a gatekeeper that changes one.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { createDevice } from '@drawbridge/e2ee/device-keys';
import { isSignedByIdentity, signAsIdentity } from '@drawbridge/e2ee/identity-signature';
import {
  encodeManifest,
  isListed,
  manifestSignedBytes,
  parseManifest,
  possessionSignedBytes,
  verifyManifest,
} from '@drawbridge/wire/device-manifest';

type Vectors = {
  readonly nowMs: number;
  readonly identityKey: string;
  readonly expected: { readonly domain: string; readonly provider: string; readonly interopId: string };
  readonly manifests: readonly {
    readonly name: string;
    readonly verdict: string;
    readonly text: string;
    readonly signature: string;
    readonly known?: { readonly epoch: number; readonly text: string };
  }[];
  readonly possession: readonly {
    readonly statement: Parameters<typeof possessionSignedBytes>[0];
    readonly signedText: string;
    readonly signature: string;
  }[];
};

const file = new URL('../../../../vectors/device-manifest-v1.json', import.meta.url);
const vectors = JSON.parse(readFileSync(file, 'utf8')) as Vectors;
const identityKey = Buffer.from(vectors.identityKey, 'base64url');
const isSignedBy = (bytes: Uint8Array, signature: Uint8Array): boolean =>
  isSignedByIdentity(identityKey, bytes, signature);

test('each manifest of the vectors is taken, or refused with its code', () => {
  for (const { name, verdict, text, signature, known } of vectors.manifests) {
    const signed = { text, signature: Buffer.from(signature, 'base64url') };
    const judged = verifyManifest(signed, vectors.expected, known, vectors.nowMs, isSignedBy);
    assert.equal(judged.kind === 'manifest' ? judged.kind : judged.code, verdict, name);
    const parsed = parseManifest(text);
    assert.equal(parsed === undefined, verdict === 'malformed', name);
    if (parsed !== undefined) assert.equal(encodeManifest(parsed), text, name);
  }
});

test('no changed character of a signed manifest is taken', () => {
  const { text, signature } = vectors.manifests[0]!;
  for (let at = 0; at < text.length; at++) {
    const changed = text.slice(0, at) + (text[at] === '1' ? '2' : '1') + text.slice(at + 1);
    const signed = { text: changed, signature: Buffer.from(signature, 'base64url') };
    const judged = verifyManifest(signed, vectors.expected, undefined, vectors.nowMs, isSignedBy);
    assert.equal(judged.kind, 'refused', changed);
  }
});

test('a device is listed by its id, registration and device key together', () => {
  const manifest = parseManifest(vectors.manifests[0]!.text)!;
  const device = manifest.devices[1]!;
  assert(isListed(manifest, device));
  assert(isListed(manifest, { id: device.id, registration: device.registration }));
  assert(!isListed(manifest, { ...device, id: 3 }));
  assert(!isListed(manifest, { ...device, registration: device.registration + 1 }));
  assert(!isListed(manifest, { ...device, deviceKeyThumbprint: manifest.devices[0]!.deviceKeyThumbprint }));
});

test('possession of the identity key is shown for one gatekeeper, device key and subject', () => {
  for (const { statement, signedText, signature } of vectors.possession) {
    const bytes = possessionSignedBytes(statement);
    assert.equal(Buffer.from(bytes).toString(), signedText);
    assert(isSignedBy(bytes, Buffer.from(signature, 'base64url')));
    const other = possessionSignedBytes({ ...statement, issuer: 'https://other.example' });
    assert(!isSignedBy(other, Buffer.from(signature, 'base64url')));
  }
  const [byId, byNonce] = vectors.possession;
  assert(!isSignedBy(possessionSignedBytes(byId!.statement), Buffer.from(byNonce!.signature, 'base64url')));
});

test('what an identity key signs is verified by its public half alone', () => {
  const made = createDevice({ nowMs: 0, oneTimeKeys: false });
  assert(made.ok);
  const { identityKeyPair, identityKey: own } = made.value.keys;
  const bytes = manifestSignedBytes('{}');
  const signature = signAsIdentity(identityKeyPair, bytes);
  assert(isSignedByIdentity(own, bytes, signature));
  assert(!isSignedByIdentity(identityKey, bytes, signature));
  assert(!isSignedByIdentity(own.subarray(1), bytes, signature));
});
