// Requests to send again what was not sent to the device, or under the identity key, that asks: a person decides about them.
// Rows in a transaction of the caller.
// Knows nothing of who asks for them, nor of how they are sent.
// Source: docs/protocol/09-content.md section 9.7.
import type { InteropId, StanzaId } from '@drawbridge/wire/jid';
import { ClientError } from '../errors.ts';
import { decodeJson } from '../store/json-bytes.ts';
import { putJson } from '../store/json-rows.ts';
import { keepFairShares } from '../store/fair-share.ts';
import { readSent } from '../store/outbox-records.ts';
import type { Transaction } from '../store/store.ts';
import type { Outbox } from './outbox.ts';
import { repeatId } from './rows.ts';

export const askedAgainLimits = { perPerson: 32, inAll: 900 } as const;

export type AskedAgain = {
  readonly interopId: InteropId;
  readonly deviceId: number;
  readonly stanzaId: StanzaId;
  /** Of the identity key under which it was asked for: it goes to no other. */
  readonly fingerprint: string;
  readonly atMs: number;
};

/** Whether it is the first of this person that waits. The oldest of whoever has the most give way. */
export function keepAsked(tx: Transaction, asked: AskedAgain): boolean {
  const isFirst = tx.count('asked', asked.interopId) === 0;
  putJson(tx, 'asked', keyOf(asked), asked, asked.interopId);
  keepFairShares(tx, 'asked', asked.interopId, askedAgainLimits);
  return isFirst;
}

/** Oldest first; without those about what is not kept any more. */
export function listAsked(tx: Transaction, nowMs: number): AskedAgain[] {
  const all = tx.list('asked').map(row => decodeJson(row.value) as AskedAgain);
  return all.filter(({ stanzaId, interopId }) => readSent(tx, stanzaId, nowMs)?.to === interopId);
}

/** Whether it was there. */
export function takeAsked(tx: Transaction, asked: AskedAgain): boolean {
  return tx.delete('asked', keyOf(asked));
}

/** As a person has decided: under exactly the key of the request. Call `wake` after the commit. */
export function releaseAsked(tx: Transaction, outbox: Pick<Outbox, 'add'>, asked: AskedAgain, nowMs: number): void {
  const { interopId: to, deviceId: toDevice, stanzaId, fingerprint: onlyIdentity } = asked;
  const sent = readSent(tx, stanzaId, nowMs);
  if (!takeAsked(tx, asked) || sent?.to !== to) throw new ClientError('unknown-message');
  const payload = { kind: 'content', content: sent.content } as const;
  outbox.add(tx, { to, toDevice, onlyIdentity, payload, silent: false }, repeatId(stanzaId, toDevice));
}

/** Forgets those about what is not kept any more. */
export function forgetAsked(tx: Transaction, nowMs: number): void {
  const live = new Set(listAsked(tx, nowMs).map(keyOf));
  for (const { key } of tx.list('asked')) if (!live.has(key)) tx.delete('asked', key);
}

function keyOf({ interopId, deviceId, stanzaId }: AskedAgain): string {
  return `${interopId}/${deviceId}\n${stanzaId}`;
}
