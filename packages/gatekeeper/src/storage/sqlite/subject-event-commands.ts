// What a provider's events change of its people, in one command each. Runs in the storage workers.
// Knows nothing of tokens or HTTP: its arguments were verified at the edge.
import type { DatabaseSync } from 'node:sqlite';
import type { InteropId } from '@drawbridge/wire/jid';
import type { AuditNote } from '../../audit/audit-log.ts';
import {
  eventClockSkewMs,
  type RenamedKeys,
  type SubjectEvent,
  type SubjectEventResult,
} from '../../events/subject-event-store.ts';
import { raiseVersion, removeAccount } from './account-commands.ts';
import { writeAudit } from './audit-commands.ts';
import { prepared } from './prepared.ts';

type Row = {
  readonly row: number;
  readonly interopId: InteropId;
  readonly status: string;
  readonly disabled: number;
  readonly enlistedAtMs: number;
  readonly lastEventAtMs: number;
};
type Done = Pick<Extract<SubjectEventResult, { kind: 'applied' }>, 'removed' | 'deciders'>;

/** Who is renamed, and when. */
type Renamed = { readonly provider: number; readonly interopId: InteropId; readonly nowMs: number };

const nothing: Done = { removed: undefined, deciders: [] };

function find(db: DatabaseSync, provider: number, identifier: string): Row | undefined {
  const select = prepared(
    db,
    `SELECT row, interop_id AS interopId, status, disabled, enlisted_at AS enlistedAtMs, last_event_at AS lastEventAtMs
     FROM account WHERE provider = ? AND identifier = ?`,
  );
  return select.get(provider, identifier) as Row | undefined;
}

/** Decisions follow the person; where there was one about whoever had the new name before, a block stands. */
function renameDecisions(db: DatabaseSync, { from, to, sharedFrom }: RenamedKeys, by: Renamed): InteropId[] {
  if (sharedFrom !== undefined) {
    prepared(
      db,
      `INSERT INTO contact (account, person, provider, state, is_open, loud, silent, interop_id, changed_at, sequence)
       SELECT account, ?1, ?2, 'blocked', 0, 0, 0, ?3, ?4,
         (SELECT max(sequence) + 1 FROM contact AS its WHERE its.account = shared.account)
       FROM contact AS shared WHERE person = ?5 AND state = 'blocked'
       ON CONFLICT (account, person) DO UPDATE SET state = 'blocked'`,
    ).run(from, by.provider, by.interopId, by.nowMs, sharedFrom);
  }
  const rows = prepared(
    db,
    `SELECT contact.account AS row, account.interop_id AS interopId FROM contact
     JOIN account ON account.row = contact.account WHERE person = ?`,
  ).all(from) as unknown as { row: number; interopId: InteropId }[];
  for (const { row } of rows) {
    const keepsBlock = prepared(
      db,
      `DELETE FROM contact WHERE account = ?1 AND person = ?2 AND state <> 'blocked'
       AND EXISTS (SELECT 1 FROM contact WHERE account = ?1 AND person = ?3 AND state = 'blocked')`,
    ).run(row, from, to);
    if (Number(keepsBlock.changes) === 0) {
      prepared(db, 'DELETE FROM contact WHERE account = ? AND person = ?').run(row, to);
      prepared(db, 'UPDATE contact SET person = ? WHERE account = ? AND person = ?').run(to, row, from);
    }
    raiseVersion(db, row);
  }
  return rows.map(({ interopId }) => interopId);
}

/** Undefined: it stands like that already. */
function change(db: DatabaseSync, account: Row, event: SubjectEvent): Done | undefined {
  const { change: what, nowMs: atMs, provider } = event;
  const { row, interopId: subject, disabled } = account;
  const audit = (action: AuditNote['action'], reason?: string): void =>
    writeAudit(db, { atMs, actor: 'provider', action, subject, reason });
  const disable = (isDisabled: 0 | 1): void => {
    prepared(db, 'UPDATE account SET disabled = ? WHERE row = ?').run(isDisabled, row);
  };
  switch (what.kind) {
    case 'disable':
      if (disabled === 1) return undefined;
      disable(1);
      audit('enlistment-disabled', what.reason);
      return nothing;
    case 'enable':
      if (disabled === 0) return undefined;
      disable(0);
      audit('enlistment-enabled');
      return nothing;
    case 'purge':
      if (account.status === 'suspended') {
        disable(1);
        audit('enlistment-disabled', 'closed by its provider, and suspended here: delete it when that is over');
        return nothing;
      }
      audit('enlistment-deleted');
      return { removed: removeAccount(db, row, provider), deciders: [] };
    case 'rename':
      if (what.identifier === event.identifier) return undefined;
      prepared(db, 'UPDATE account SET identifier = ? WHERE row = ?').run(what.identifier, row);
      audit('enlistment-renamed');
      return {
        removed: undefined,
        deciders: renameDecisions(db, what.keys, { provider, interopId: subject, nowMs: atMs }),
      };
    case 'compromise':
      prepared(db, 'UPDATE account SET proofs_from = max(proofs_from, ?) WHERE row = ?').run(what.proofsFromMs, row);
      prepared(db, 'DELETE FROM device_authorisation WHERE account = ?').run(row);
      audit('enlistment-credentials-compromised', what.reason);
      return nothing;
  }
}

export const subjectEventWrites = {
  subjectEventApply(db: DatabaseSync, event: SubjectEvent): SubjectEventResult {
    const { provider, identifier, occurredAtMs, id, idExpiresAtMs, change: what } = event;
    const account = find(db, provider, identifier);
    if (what.kind === 'rename' && account !== undefined) {
      const there = find(db, provider, what.identifier);
      if (there !== undefined && there.row !== account.row) return { kind: 'identifier-taken' };
    }
    const taken = prepared(db, 'INSERT OR IGNORE INTO proof_id (id, expires_at) VALUES (?, ?)').run(id, idExpiresAtMs);
    if (Number(taken.changes) === 0) return { kind: 'repeated' };
    if (account === undefined) return { kind: 'unknown' };
    const { row, interopId, lastEventAtMs, enlistedAtMs } = account;
    if (occurredAtMs < lastEventAtMs || occurredAtMs + eventClockSkewMs < enlistedAtMs) return { kind: 'older' };
    const done = change(db, account, event);
    prepared(db, 'UPDATE account SET last_event_at = ? WHERE row = ?').run(occurredAtMs, row);
    if (done === undefined) return { kind: 'same' };
    raiseVersion(db, row);
    return { kind: 'applied', interopId, ...done };
  },
};
