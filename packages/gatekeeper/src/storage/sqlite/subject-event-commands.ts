// What a provider's events change of its people, in one command each. Runs in the storage workers.
// Knows nothing of tokens or HTTP: its arguments were verified at the edge.
import type { DatabaseSync } from 'node:sqlite';
import type { InteropId } from '@drawbridge/wire/jid';
import type { AuditNote } from '../../audit/audit-log.ts';
import { type Renamed, renameChanges } from '../../consent/rename-rules.ts';
import { eventClockSkewMs, type SubjectEvent, type SubjectEventResult } from '../../events/subject-event-store.ts';
import { raiseVersion, removeAccount } from './account-commands.ts';
import { writeAudit } from './audit-commands.ts';
import { findContact, makeContactChange } from './contact-commands.ts';
import { prepared } from './prepared.ts';

type Row = {
  readonly row: number;
  readonly interopId: InteropId;
  readonly status: string;
  readonly disabled: number;
  readonly enlistedAtMs: number;
  readonly lastEventAtMs: number;
  readonly proofsFromMs: number;
};
type Done = Pick<Extract<SubjectEventResult, { kind: 'applied' }>, 'removed' | 'deciders'>;

const nothing: Done = { removed: undefined, deciders: [] };

function find(db: DatabaseSync, provider: number, identifier: string): Row | undefined {
  const select = prepared(
    db,
    `SELECT row, interop_id AS interopId, status, disabled, enlisted_at AS enlistedAtMs, last_event_at AS lastEventAtMs,
       proofs_from AS proofsFromMs FROM account WHERE provider = ? AND identifier = ?`,
  );
  return select.get(provider, identifier) as Row | undefined;
}

/** Of everybody who has decided about the person, or has blocked them wherever they come from. */
function renameDecisions(db: DatabaseSync, renamed: Renamed, nowMs: number): InteropId[] {
  const { from, to, sharedFrom = '' } = renamed.keys;
  const deciders = prepared(
    db,
    `SELECT row, interop_id AS interopId FROM account
     WHERE row IN (SELECT account FROM contact WHERE person = ?1 OR (person = ?2 AND state = 'blocked'))`,
  ).all(from, sharedFrom) as unknown as { row: number; interopId: InteropId }[];
  for (const { row } of deciders) {
    const changes = renameChanges(row, renamed, {
      from: findContact(db, row, from),
      to: findContact(db, row, to),
      isBlockedByIdentifier: findContact(db, row, sharedFrom)?.state === 'blocked',
    });
    for (const each of changes) makeContactChange(db, each, nowMs);
  }
  return deciders.map(({ interopId }) => interopId);
}

/** Undefined: it stands like that already. */
function change(db: DatabaseSync, account: Row, event: SubjectEvent): Done | undefined {
  const { change: what, nowMs: atMs, provider } = event;
  const { row, interopId: subject, disabled } = account;
  const isToldAgain = event.occurredAtMs === account.lastEventAtMs;
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
        if (disabled === 1 && isToldAgain) return undefined;
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
        deciders: renameDecisions(db, { ...what, provider, interopId: subject }, atMs),
      };
    case 'compromise':
      if (isToldAgain && what.proofsFromMs <= account.proofsFromMs) return undefined;
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
