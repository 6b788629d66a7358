// What becomes of one person's decisions when somebody whom they are about gets another name: a decision follows the person,
// and a block of either name stands. The rules of every store's adapter. Knows no storage, clocks or events.
// Source: docs/protocol/10 sections 10.2 and 10.5.
import type { InteropId } from '@drawbridge/wire/jid';
import type { RenamedKeys } from '../events/subject-event-store.ts';
import type { ContactChange, KeptContact } from './contact-rules.ts';

/** Somebody under another name, and how many blocks may have come with renames by their provider. */
export type Renamed = {
  readonly keys: RenamedKeys;
  readonly provider: number;
  readonly interopId: InteropId;
  readonly maxCarriedBlocks: number;
};

/** What one person has kept of both names, and whether they have blocked the earlier one wherever it comes from. */
export type KeptOfNames = {
  readonly from: KeptContact | undefined;
  readonly to: KeptContact | undefined;
  readonly isBlockedByIdentifier: boolean;
};

function isOwnBlock(kept: KeptContact | undefined): boolean {
  return kept?.state === 'blocked' && !kept.isCarried;
}

/** None where nothing was decided about the earlier name: what was decided about the new one stands. */
export function renameChanges(
  account: number,
  { keys, provider, interopId, maxCarriedBlocks }: Renamed,
  { from, to, isBlockedByIdentifier }: KeptOfNames,
): readonly ContactChange[] {
  if (from === undefined && !isBlockedByIdentifier) return [];
  const key = keys.to;
  const changes: ContactChange[] = [];
  if (to !== undefined) changes.push({ kind: 'forget', account, key });
  if (from !== undefined) changes.push({ kind: 'move', account, key: keys.from, to: key });
  if (isOwnBlock(from)) return changes;
  if (isOwnBlock(to)) {
    const isOpen = from?.isOpen ?? false;
    changes.push({ kind: 'put', account, key, provider, state: 'blocked', isOpen, interopId });
  } else if (isBlockedByIdentifier || to?.state === 'blocked') {
    changes.push({ kind: 'carry', account, key, provider, interopId });
    changes.push({ kind: 'bound-carried', account, provider, state: 'blocked', max: maxCarriedBlocks });
  }
  return changes;
}
