// Binds a content to who says it, on which device, to whom and at which gatekeeper, so that nobody who carries it can show
// it as another's or in another place. The binding lies inside the encryption; what is expected comes from outside.
// Knows nothing of sessions, stores or randomness: the salt and the number are arguments.
// Source: docs/protocol/09-content.md section 9.11; decision 0028.
import { createHash } from 'node:crypto';
import { create, toBinary } from '@bufbuild/protobuf';
import { type DeviceAddress, encodeDeviceAddress } from '../addresses.ts';
import { type Binding as BindingMessage, ContentSchema } from '../gen/content_pb.ts';
import type { Misbound } from '../suite.ts';
import { need, uint32 } from './checks.ts';

export const PLACE_BYTES = 16;
export const SALT_BYTES = 16;
/** What a binding adds to a content, at most: leave so much room for it. */
export const MAX_BINDING_BYTES = 48;

/** Where a content belongs. `recipient` is an InteropId; of groups it will be their chat id as base64url. */
export type Place = {
  readonly author: DeviceAddress;
  readonly recipient: string;
  /** The gatekeeper's. */
  readonly domain: string;
};

export type Binding = {
  /** `placeOf` what its author meant. */
  readonly place: Uint8Array;
  /** Grows by one for each content of the author's device in this chat; 0: not counted, for what nobody misses. */
  readonly number: number;
  /** Random; the key of the commitment (commitment.ts). */
  readonly salt: Uint8Array;
};

/** 128 bits of SHA-256 over a place. Half a hash: whoever wants to hit another's place has to find a second preimage. */
export function placeOf({ author, recipient, domain }: Place): Uint8Array {
  // None of these can hold a line break, so that no two places are one text.
  const text = ['drawbridge content place 1', encodeDeviceAddress(author), recipient, domain].join('\n');
  return new Uint8Array(createHash('sha256').update(text).digest().subarray(0, PLACE_BYTES));
}

export function checkBinding({ place, number, salt }: Binding): void {
  need(place.length === PLACE_BYTES, 'binding.place');
  need(salt.length === SALT_BYTES, 'binding.salt');
  uint32(number, 'binding.number');
}

export function readBinding({ place, number, salt }: BindingMessage): Binding {
  return { place, number, salt };
}

/**
 * A serialised content with its binding behind it: protobuf's fields may stand in any order, so that nothing of the content
 * is written again. Bind once; the content must have no binding yet.
 */
export function bindContent(content: Uint8Array, binding: Binding): Uint8Array {
  return Buffer.concat([content, toBinary(ContentSchema, create(ContentSchema, { binding }))]);
}

/** Whether a content that came from `expected.author`, by the session it was encrypted in, says the same; undefined: it does. */
export function verifyBinding({ binding }: { readonly binding?: Binding }, expected: Place): Misbound | undefined {
  if (binding === undefined) return 'missing';
  return Buffer.compare(binding.place, placeOf(expected)) === 0 ? undefined : 'place';
}
