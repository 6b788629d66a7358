// What a provider's events change of its people, on PostgreSQL; what a rename changes of others' decisions is said by
// consent/rename-rules.ts.
// Knows nothing of tokens or HTTP: its arguments were verified at the edge.
import type { InteropId } from '@drawbridge/wire/jid';
import type { AuditNote } from '../../audit/audit-log.ts';
import { type Renamed, renameChanges } from '../../consent/rename-rules.ts';
import {
  eventClockSkewMs,
  type SubjectEvent,
  type SubjectEventResult,
  type SubjectEvents,
} from '../../events/subject-event-store.ts';
import { removeAccount } from './accounts.ts';
import { writeAudit } from './audit.ts';
import { findContact, makeContactChange } from './contacts.ts';
import type { Database, Sql } from './database.ts';
import { raiseVersion } from './devices.ts';

type Row = {
  readonly row: number;
  readonly interopId: InteropId;
  readonly status: string;
  readonly disabled: boolean;
  readonly enlistedAtMs: number;
  readonly lastEventAtMs: number;
  readonly proofsFromMs: number;
};
type Done = Pick<Extract<SubjectEventResult, { kind: 'applied' }>, 'removed' | 'deciders'>;

const nothing: Done = { removed: undefined, deciders: [] };

/** Of everybody who has decided about the person, or has blocked them wherever they come from. */
async function renameDecisions(sql: Sql, renamed: Renamed, nowMs: number): Promise<InteropId[]> {
  const { from, to, sharedFrom = '' } = renamed.keys;
  // Locked first, and read after that: what somebody decides meanwhile is not lost.
  const deciders = await sql.rows<{ row: number; interopId: InteropId }>(
    `SELECT row, interop_id AS "interopId" FROM account
     WHERE row IN (SELECT account FROM contact WHERE person = $1 OR (person = $2 AND state = 'blocked'))
     ORDER BY row FOR UPDATE`,
    [from, sharedFrom],
  );
  for (const { row } of deciders) {
    const changes = renameChanges(row, renamed, {
      from: await findContact(sql, row, from),
      to: await findContact(sql, row, to),
      isBlockedByIdentifier: (await findContact(sql, row, sharedFrom))?.state === 'blocked',
    });
    for (const each of changes) await makeContactChange(sql, each, nowMs);
  }
  return deciders.map(({ interopId }) => interopId);
}

/** Undefined: it stands like that already. */
async function change(sql: Sql, account: Row, event: SubjectEvent): Promise<Done | undefined> {
  const { change: what, nowMs: atMs, provider } = event;
  const { row, interopId: subject, disabled } = account;
  const isToldAgain = event.occurredAtMs === account.lastEventAtMs;
  const audit = (action: AuditNote['action'], reason?: string): Promise<void> =>
    writeAudit(sql, { atMs, actor: 'provider', action, subject, reason });
  const disable = (isDisabled: boolean): Promise<number> =>
    sql.change('UPDATE account SET disabled = $2 WHERE row = $1', [row, isDisabled]);
  switch (what.kind) {
    case 'disable':
      if (disabled) return undefined;
      await disable(true);
      await audit('enlistment-disabled', what.reason);
      return nothing;
    case 'enable':
      if (!disabled) return undefined;
      await disable(false);
      await audit('enlistment-enabled');
      return nothing;
    case 'purge':
      if (account.status === 'suspended') {
        if (disabled && isToldAgain) return undefined;
        await disable(true);
        await audit('enlistment-disabled', 'closed by its provider, and suspended here: delete it when that is over');
        return nothing;
      }
      await audit('enlistment-deleted');
      return { removed: await removeAccount(sql, row, provider), deciders: [] };
    case 'rename':
      if (what.identifier === event.identifier) return undefined;
      await sql.change('UPDATE account SET identifier = $2 WHERE row = $1', [row, what.identifier]);
      await audit('enlistment-renamed');
      return {
        removed: undefined,
        deciders: await renameDecisions(sql, { ...what, provider, interopId: subject }, atMs),
      };
    case 'compromise':
      if (isToldAgain && what.proofsFromMs <= account.proofsFromMs) return undefined;
      await sql.change('UPDATE account SET proofs_from = greatest(proofs_from, $2) WHERE row = $1', [
        row,
        what.proofsFromMs,
      ]);
      await sql.change('DELETE FROM device_authorisation WHERE account = $1', [row]);
      await audit('enlistment-credentials-compromised', what.reason);
      return nothing;
  }
}

async function apply(sql: Sql, event: SubjectEvent): Promise<SubjectEventResult> {
  const { provider, identifier, occurredAtMs, id, idExpiresAtMs, change: what } = event;
  const [account] = await sql.rows<Row>(
    `SELECT row, interop_id AS "interopId", status, disabled, enlisted_at AS "enlistedAtMs",
       last_event_at AS "lastEventAtMs", proofs_from AS "proofsFromMs" FROM account WHERE provider = $1 AND identifier = $2 FOR UPDATE`,
    [provider, identifier],
  );
  if (what.kind === 'rename' && account !== undefined) {
    const text = 'SELECT row FROM account WHERE provider = $1 AND identifier = $2';
    const [there] = await sql.rows<{ row: number }>(text, [provider, what.identifier]);
    if (there !== undefined && there.row !== account.row) return { kind: 'identifier-taken' };
  }
  const taken = await sql.change('INSERT INTO proof_id (id, expires_at) VALUES ($1, $2) ON CONFLICT DO NOTHING', [
    id,
    idExpiresAtMs,
  ]);
  if (taken === 0) return { kind: 'repeated' };
  if (account === undefined) return { kind: 'unknown' };
  const { row, interopId, lastEventAtMs, enlistedAtMs } = account;
  if (occurredAtMs < lastEventAtMs || occurredAtMs + eventClockSkewMs < enlistedAtMs) return { kind: 'older' };
  const done = await change(sql, account, event);
  await sql.change('UPDATE account SET last_event_at = $2 WHERE row = $1', [row, occurredAtMs]);
  if (done === undefined) return { kind: 'same' };
  await raiseVersion(sql, row);
  return { kind: 'applied', interopId, ...done };
}

export function postgresSubjectEvents(database: Database): SubjectEvents {
  return { apply: event => database.transaction(sql => apply(sql, event)) };
}
