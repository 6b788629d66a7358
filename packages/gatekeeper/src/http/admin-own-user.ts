// The part of a person that the embedded issuer keeps: login, sessions, files, wake-ups. Knows no routes.
import type { PersonExport, PersonRemoval } from '@drawbridge/provider/provider';
import type { PersonView } from '../admin/person-records.ts';
import type { AdminHttpDeps } from './admin-routes.ts';

export type OwnUserPart = {
  readonly export: () => Promise<PersonExport>;
  /** No login and no proof until it is taken back. False: there is no login. */
  readonly suspend: (suspended: boolean) => Promise<boolean>;
  /** Undefined when not all of it went, which is logged; what is left goes with another call. */
  readonly remove: () => Promise<PersonRemoval | undefined>;
};

const ownProvider = 0;

/** Undefined for people of other providers, and where own users have another issuer. */
export function ownUserOf(
  { control, log }: AdminHttpDeps,
  { provider, identifier }: Pick<PersonView, 'provider' | 'identifier'>,
): OwnUserPart | undefined {
  const { ownUsers } = control;
  if (provider !== ownProvider || ownUsers === undefined) return undefined;
  return {
    export: () => ownUsers.exportPerson(identifier),
    suspend: suspended => ownUsers.suspendPerson(identifier, suspended),
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
