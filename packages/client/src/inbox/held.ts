// What waits for a person to accept a key, or to lift a refusal: kept as it came, within a share for each person, and read again
// later.
// Knows nothing of who decides.
// Source: docs/protocol/09-content.md section 9.7, docs/protocol/10-consent-and-reports.md section 10.1.
import type { InteropId } from '@drawbridge/wire/jid';
import { ClientError } from '../errors.ts';
import { type HeldRow, listHeld, writeHeld } from '../store/inbox-records.ts';
import type { Transaction } from '../store/store.ts';
import { keepFairShares } from '../store/fair-share.ts';
import { soundly } from './damaged-rows.ts';
import { type InboxContext, inboxLimits } from './inbox-context.ts';
import type { Incoming } from './incoming.ts';

/** Keeps it; gives the keys of those that give way for it. */
export function hold(tx: Transaction, { ciphertext, stanzaId, frank, isStamped, isRefused }: Incoming): string[] {
  const { from, kind, bytes } = ciphertext;
  const { commitment, stamp } = frank;
  const franked = {
    ...(commitment && { commitment }),
    ...(stamp && { stamp }),
    ...(isStamped ? {} : { unstamped: true as const }),
    ...(isRefused === true ? { refused: true as const } : {}),
  };
  const address = `${from.interopId}/${from.deviceId}`;
  const text = Buffer.from(bytes).toString('base64');
  writeHeld(tx, from.interopId, { from: address, stanzaId, kind, bytes: text, ...franked });
  return keepFairShares(tx, 'held', from.interopId, inboxLimits.held);
}

/** What waits of one person, in the order in which it came. What must wait again meanwhile comes behind the newest. */
export function* heldOf(context: InboxContext, person: InteropId): Generator<Incoming> {
  const newest = readRows(context, tx => listHeld(tx, person, { newest: true, limit: 1 })).at(0)?.sequence ?? 0;
  for (let after = 0; after < newest; ) {
    const rows = readRows(context, tx => listHeld(tx, person, { after, limit: inboxLimits.heldPage }));
    if (rows.length === 0) break;
    for (const { key, held, sequence: place } of rows.filter(({ sequence }) => sequence <= newest)) {
      const from = { interopId: person, deviceId: Number(held.from.split('/')[1]) };
      const ciphertext = { from, kind: held.kind, bytes: Buffer.from(held.bytes, 'base64') };
      yield {
        ciphertext,
        stanzaId: held.stanzaId,
        frank: held,
        isStamped: held.unstamped !== true,
        isRefused: held.refused === true,
        heldKey: key,
        place,
      };
    }
    after = rows.at(-1)!.sequence;
  }
}

/** Everybody of whom something waits. */
export function sendersHeld(context: InboxContext): ReadonlySet<InteropId> {
  const people = new Set<InteropId>();
  for (let after = 0; ; ) {
    const rows = readRows(context, tx => listHeld(tx, undefined, { after }));
    if (rows.length === 0) return people;
    for (const { held } of rows) people.add(held.from.split('/')[0]!);
    after = rows.at(-1)!.sequence;
  }
}

function readRows({ store, clock, emit }: InboxContext, list: (tx: Transaction) => HeldRow[]): HeldRow[] {
  const result = store.transaction(tx => soundly(tx, clock.nowMs(), () => list(tx)));
  if (result.ok) return result.value;
  emit({ kind: 'problem', error: new ClientError('store-failed', { cause: result.error }) });
  return [];
}
