// Which numbers came of what each device says in a chat, kept with the chat.
// Knows nothing of contents, or of how somebody is told.
// Source: docs/protocol/09-content.md sections 9.9 and 9.11.
import type { DeviceAddress } from '@drawbridge/e2ee/suite';
import type { InteropId } from '@drawbridge/wire/jid';
import { listChats, readChat, writeChat } from '../store/message-records.ts';
import { MAX_LIST, type Transaction } from '../store/store.ts';
import { defaultsKey } from './chat-state.ts';
import { countMissing, gapLimits, giveUp, giveWay, hear, type Heard, runsOf } from './gaps.ts';
import { type ChatId, chatWith } from './message-names.ts';

/** How much of a fingerprint tells a device from one with its number under another identity key. */
const identityCharacters = 16;

/**
 * Hears a number. `place`: where this one stands, since others came before it. `missing`: how many of the chat have not come,
 * when that has changed.
 */
export function hearNumber(
  tx: Transaction,
  chat: ChatId,
  { address, identity }: { readonly address: DeviceAddress; readonly identity: string },
  number: number,
): { readonly place?: number; readonly missing?: number } | undefined {
  const { interopId, deviceId } = address;
  const device = `${interopId}/${deviceId} ${identity.slice(0, identityCharacters)}`;
  const record = readChat(tx, chat);
  const hearing = hear(record.heard?.[device], number, count => keepPlaces(tx, count));
  if (hearing === undefined) return undefined;
  const { heard, ...place } = hearing;
  const after = withinChat({ ...record.heard, [device]: heard });
  writeChat(tx, { ...record, heard: after });
  const missing = countMissing(after);
  return missing === countMissing(record.heard) ? place : { ...place, missing };
}

/**
 * Hears from the gatekeeper that something of this device was placed. Gives the place that was kept free for it, as on this
 * person's other devices, when later ones were placed before it.
 */
export function hearPlaced(tx: Transaction, chat: ChatId, number: number): number | undefined {
  const record = readChat(tx, chat);
  const hearing = hear(record.placed, number, count => keepPlaces(tx, count));
  if (hearing === undefined) return undefined;
  writeChat(tx, { ...record, placed: hearing.heard });
  return hearing.place;
}

/** Gives up on what did not come. True when there was something. */
export function forgetMissing(tx: Transaction, chat: ChatId): boolean {
  const record = readChat(tx, chat);
  if (countMissing(record.heard) === 0) return false;
  const heard = Object.entries(record.heard ?? {}).map(([device, each]) => [device, giveUp(each)] as const);
  writeChat(tx, { ...record, heard: Object.fromEntries(heard) });
  return true;
}

/** Devices that their person has removed say nothing more: one that gets their number later counts from 1. */
export function forgetDevices(tx: Transaction, own: InteropId, person: InteropId, removed: readonly number[]): void {
  if (removed.length === 0) return;
  const chats = person === own ? allChatNames(tx) : [chatWith(person)];
  for (const chat of chats) {
    const record = readChat(tx, chat);
    const left = Object.entries(record.heard ?? {}).filter(
      ([device]) => !removed.some(id => device.startsWith(`${person}/${id} `)),
    );
    if (left.length < Object.keys(record.heard ?? {}).length) {
      writeChat(tx, { ...record, heard: Object.fromEntries(left) });
    }
  }
}

function allChatNames(tx: Transaction): ChatId[] {
  const names: ChatId[] = [];
  for (let after = 0; ; ) {
    const rows = listChats(tx, { after, limit: MAX_LIST });
    if (rows.length === 0) return names;
    for (const row of rows) if (row.chat.chat !== defaultsKey) names.push(row.chat.chat);
    after = rows.at(-1)!.sequence;
  }
}

/** Of whoever has the most runs a sixteenth gives way at once, so that this is not done for each number. */
function withinChat(heard: Readonly<Record<string, Heard>>): Readonly<Record<string, Heard>> {
  let kept = heard;
  const runs = (): number => Object.values(kept).reduce((sum, each) => sum + runsOf(each), 0);
  while (runs() > gapLimits.maxRunsInChat) {
    const [device, most] = Object.entries(kept).reduce((a, b) => (runsOf(b[1]) > runsOf(a[1]) ? b : a));
    kept = { ...kept, [device]: giveWay(most, Math.floor((runsOf(most) * 15) / 16)) };
  }
  return kept;
}

function keepPlaces(tx: Transaction, count: number): number {
  const first = tx.newPlace();
  for (let kept = 1; kept < count; kept++) tx.newPlace();
  return first;
}
