// Binds what this device says to the chat it is for, and counts it there, in the caller's transaction.
// Knows nothing of rows, devices or encryption.
// Source: docs/protocol/09-content.md section 9.11.
import { randomBytes } from 'node:crypto';
import { bindContent, placeOf, SALT_BYTES } from '@drawbridge/e2ee/binding';
import { decodeContent } from '@drawbridge/e2ee/content';
import type { DeviceAddress } from '@drawbridge/e2ee/suite';
import { readSaidNumber, writeSaidNumber } from '../store/outbox-records.ts';
import type { Transaction } from '../store/store.ts';

export type BindingContext = { readonly author: DeviceAddress; readonly domain: string };

/** Bound and counted; as it is, when it was bound before. */
export function bound(tx: Transaction, context: BindingContext, to: string, content: Uint8Array): Uint8Array {
  const decoded = decodeContent(content);
  if (!decoded.ok || decoded.value.binding !== undefined) return content;
  const number = readSaidNumber(tx, to) + 1;
  writeSaidNumber(tx, to, number);
  return boundAs(context, to, content, number);
}

/** Bound and not counted: for what goes to one device, or nobody misses. As it is, when it was bound before. */
export function boundUncounted(context: BindingContext, to: string, content: Uint8Array): Uint8Array {
  const decoded = decodeContent(content);
  return !decoded.ok || decoded.value.binding !== undefined ? content : boundAs(context, to, content, 0);
}

function boundAs(context: BindingContext, to: string, content: Uint8Array, number: number): Uint8Array {
  const place = placeOf({ ...context, recipient: to });
  return bindContent(content, { place, number, salt: randomBytes(SALT_BYTES) });
}
