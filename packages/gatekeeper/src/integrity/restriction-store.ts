// The port for who is restricted, and for what others have decided about somebody. Knows no store and no rules.
import type { InteropId } from '@drawbridge/wire/jid';
import type { AuditNote } from '../audit/audit-log.ts';
import type { RestrictionLevel, Voice } from './restriction-rules.ts';

/** Whom it is about: a person, or a provider by its number. */
export type RestrictedSubject =
  | { readonly kind: 'person'; readonly interopId: InteropId; readonly row: number; readonly key: string }
  | { readonly kind: 'provider'; readonly number: number };

export type Restriction = {
  /** An InteropId, or a provider's number. */
  readonly subject: string;
  readonly level: RestrictionLevel;
  readonly sinceMs: number;
  /** What was said before counts no more: an operator has forgiven it. */
  readonly countedFromMs: number;
};

/** As the audit log and storage name them. */
export function subjectName(subject: RestrictedSubject): string {
  return subject.kind === 'person' ? subject.interopId : String(subject.number);
}

/** Rejects with StoreError alone, and then nothing was changed. */
export interface RestrictionStore {
  /**
   * What people have decided to whom the subject (a provider: its people) wrote first, and their reports that were not
   * dismissed; each at most `limit`, the latest from `sinceMs` on. A report about a provider's people counts when it is upheld.
   */
  voices(subject: RestrictedSubject, sinceMs: number, limit: number): Promise<readonly Voice[]>;
  find(subject: string): Promise<Restriction | undefined>;
  /** By subject, those behind `after`. */
  list(after: string, limit: number): Promise<readonly Restriction[]>;
  /**
   * Puts a level in force, with its audit entry in one transaction. `overtaken`: `before` (undefined: nothing is kept) does
   * not hold any more, or the person is gone; nothing was changed.
   */
  put(change: {
    readonly subject: RestrictedSubject;
    readonly before: RestrictionLevel | undefined;
    readonly level: RestrictionLevel;
    readonly countedFromMs: number;
    readonly nowMs: number;
    readonly audit?: AuditNote | undefined;
  }): Promise<'changed' | 'overtaken'>;
  /** Forgets one that restricts nothing and whose `countedFromMs` is before. Idempotent. */
  forget(subject: string, countedBeforeMs: number): Promise<void>;
}
