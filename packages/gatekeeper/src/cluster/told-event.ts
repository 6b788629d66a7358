// What nodes tell one another of people and providers, and how it is read: what isn't exactly one of these is nothing. Whoever
// reaches the bus could say anything. Knows no bus.
import { type Static, Type } from 'typebox';
import { Value } from 'typebox/value';
import { maxDeviceId, maxRegistrationId } from '@drawbridge/wire/limits';
import type { InteropId } from '@drawbridge/wire/jid';
import type { AccountEvent } from '../enlistment/account.ts';

/** More can't come by this way: the largest names a person's devices. */
const maxBytes = 65_536;

const row = Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER });
const provider = Type.Integer({ minimum: 0, maximum: 65_535 });
const interopId = Type.Unsafe<InteropId>(Type.String({ pattern: '^(0|[1-9][0-9]{0,4})-[a-z2-7]{26}$' }));
const device = Type.Object({
  row,
  id: Type.Integer({ minimum: 1, maximum: maxDeviceId }),
  registrationId: Type.Integer({ minimum: 1, maximum: maxRegistrationId }),
  thumbprint: Type.String({ pattern: '^[A-Za-z0-9_-]{43}$' }),
  listed: Type.Boolean(),
});
const event = Type.Union([
  Type.Object({ kind: Type.Literal('account-changed'), interopId }),
  Type.Object({ kind: Type.Literal('account-suspended'), interopId }),
  Type.Object({ kind: Type.Literal('account-compromised'), interopId }),
  Type.Object({ kind: Type.Literal('device-removed'), interopId, device }),
  Type.Object({
    kind: Type.Literal('account-withdrawn'),
    interopId,
    devices: Type.Array(device, { maxItems: maxDeviceId }),
  }),
  Type.Object({ kind: Type.Literal('provider-suspended'), provider }),
  Type.Object({ kind: Type.Literal('provider-keys'), provider, isRevoked: Type.Boolean() }),
]);
/** `node`: who says it. */
const words = Type.Object({ node: Type.String({ pattern: '^[0-9a-f-]{36}$' }), event });

export type ToldEvent = Static<typeof event>;

/** Undefined for what only this node can act on. */
export function encodeToldEvent(node: string, told: AccountEvent): Uint8Array | undefined {
  if (told.kind === 'keys-replaced') return undefined;
  const event: AccountEvent & { readonly kind: ToldEvent['kind'] } = told;
  return Buffer.from(JSON.stringify({ node, event }));
}

/** Undefined for anything else than an event; a newer node's may be among it. */
export function parseToldEvent(message: Uint8Array): { readonly node: string; readonly event: ToldEvent } | undefined {
  if (message.length > maxBytes) return undefined;
  let heard: unknown;
  try {
    heard = JSON.parse(Buffer.from(message).toString());
  } catch {
    return undefined;
  }
  return Value.Check(words, heard) ? heard : undefined;
}
