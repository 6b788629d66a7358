// Which events of gatekeepers the provider has handled, in its database. Knows nothing of tokens or hooks.

import { clockSkewSeconds } from '@drawbridge/identity/ownership-proof';
import { maxSecurityEventAgeSeconds } from '@drawbridge/identity/security-event';
import type { LiveDatabase } from '../storage/database-writer.ts';

export type HandledEvent = { readonly issuer: string; readonly jti: string; readonly usableUntilMs: number };

/** What is noted is on the disk when it resolves; a DatabaseWriteError says that it isn't. */
export type HandledEvents = {
  readonly has: (event: Pick<HandledEvent, 'issuer' | 'jti'>) => boolean;
  readonly note: (event: HandledEvent) => Promise<void>;
};

export const handledEventLimits = {
  /** A gatekeeper tells an event again for three days, under the same id, in tokens that are signed again. */
  rememberMs: 4 * 86_400_000,
  /** Of one gatekeeper; beyond that an id is remembered while its token may be used. */
  maxRemembered: 10_000,
};

/** A token's id that is kept for as long as the token may be used goes before this. */
const tokenLifeMs = (maxSecurityEventAgeSeconds + clockSkewSeconds) * 1_000;

/** Wake-ups' ids are kept in the same table: one id is one event. */
export function createHandledEvents(
  { reads, write }: LiveDatabase,
  { rememberMs, maxRemembered } = handledEventLimits,
): HandledEvents {
  const find = reads.prepare('SELECT 1 FROM event_ids WHERE issuer = ? AND jti = ?');
  const longest = `SELECT count(*) FROM event_ids WHERE issuer = ?1 AND expires_at_ms > ?3 + ${tokenLifeMs}`;
  return {
    has: ({ issuer, jti }) => find.get(issuer, jti) !== undefined,
    async note({ issuer, jti, usableUntilMs }) {
      const sql = `INSERT INTO event_ids
        SELECT ?1, ?2, ?3 + CASE WHEN (${longest}) < ${maxRemembered} THEN ${rememberMs} ELSE 0 END
        WHERE true ON CONFLICT DO NOTHING`;
      await write({ sql, values: [issuer, jti, usableUntilMs] });
    },
  };
}
