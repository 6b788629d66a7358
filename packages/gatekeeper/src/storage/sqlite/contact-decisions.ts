// All that one person has decided about others, as it goes with the account. Knows nothing of who changes it.
import type { DatabaseSync } from 'node:sqlite';
import type { InteropId } from '@drawbridge/wire/jid';
import type { Contact, ContactState } from '../../consent/contact.ts';
import { prepared } from './prepared.ts';

/** All decisions of one person, by whom they are about. */
export function decisionsOf(db: DatabaseSync, account: number): ReadonlyMap<string, Contact> {
  const select = prepared(
    db,
    'SELECT person, state, is_open AS isOpen, interop_id AS interopId FROM contact WHERE account = ?',
  );
  const rows = select.all(account) as unknown as {
    person: string;
    state: ContactState;
    isOpen: number;
    interopId: InteropId | null;
  }[];
  return rows.length === 0
    ? nothingDecided
    : new Map(
        rows.map(({ person, state, isOpen, interopId }) => [
          person,
          { state, isOpen: isOpen === 1, interopId: interopId ?? undefined },
        ]),
      );
}

const nothingDecided: ReadonlyMap<string, Contact> = new Map();
