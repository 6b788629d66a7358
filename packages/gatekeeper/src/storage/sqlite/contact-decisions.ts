// All that one person has decided about others, as it goes with the account. Knows nothing of who changes it.
import type { DatabaseSync } from 'node:sqlite';
import type { InteropId } from '@drawbridge/wire/jid';
import type { Contact, ContactState } from '../../consent/contact.ts';
import { prepared } from './prepared.ts';

const columns = 'person, state, is_open AS isOpen, interop_id AS interopId FROM contact WHERE account = ?';

/** Decisions of one person, by whom they are about; with `onlyAbout` the one alone that is kept under this key. */
export function decisionsOf(
  db: DatabaseSync,
  account: number,
  onlyAbout: string | undefined,
): ReadonlyMap<string, Contact> {
  const found =
    onlyAbout === undefined
      ? prepared(db, `SELECT ${columns}`).all(account)
      : prepared(db, `SELECT ${columns} AND person = ?`).all(account, onlyAbout);
  const rows = found as unknown as {
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
