// The part of a person that the embedded issuer keeps: login, sessions, files, wake-ups. Knows no routes.
import type { PersonExport, PersonRemoval } from '@drawbridge/provider/provider';
import type { PersonView } from '../admin/person-records.ts';
import type { AdminHttpDeps } from './admin-routes.ts';

export type OwnUserPart = {
  readonly export: () => Promise<PersonExport>;
  /** Undefined when not all of it went, which is logged; what is left goes with another call. */
  readonly remove: () => Promise<PersonRemoval | undefined>;
};

const ownProvider = 0;

/** Undefined for people of other providers, and where own users have another issuer. */
export function ownUserOf(
  { control, log }: AdminHttpDeps,
  { provider, identifier }: PersonView,
): OwnUserPart | undefined {
  const { ownUsers } = control;
  if (provider !== ownProvider || ownUsers === undefined) return undefined;
  return {
    export: () => ownUsers.exportPerson(identifier),
    async remove() {
      try {
        return await ownUsers.removePerson(identifier);
      } catch (error) {
        const code = error instanceof Error && 'code' in error ? String(error.code) : 'internal-error';
        log('error', 'own-user-not-deleted', { code });
        return undefined;
      }
    },
  };
}
