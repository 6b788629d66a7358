// Who may use the admin API: named admins, each with a role and a token of which only the hash is kept. Roles include
// each other, in the order of `adminRoles`. Knows no store and no HTTP. Source: docs/protocol/03 (Admin interface).
import { createHash, randomBytes } from 'node:crypto';

/**
 * `metrics`: counts alone. `viewer`: looks at providers, streams, people and the audit log. `operator`: suspends,
 * resumes, revokes keys, exports. `owner`: deletes people.
 */
export const adminRoles = ['metrics', 'viewer', 'operator', 'owner'] as const;
export type AdminRole = (typeof adminRoles)[number];

/** Somebody who asks: `name` is the actor in the audit log. */
export type Caller = { readonly name: string; readonly role: AdminRole };
export type Admin = Caller & { readonly addedAtMs: number };

/** Actors who are not admins of that name: the configuration, the token file, a command on the machine itself, a provider, the rules of integrity. */
export const reservedActors = ['configuration', 'admin', 'command', 'provider', 'integrity'] as const;

/** Each write is one transaction with its audit entry, durable when it resolves; rejects with StoreError alone. */
export interface AdminAccounts {
  add(admin: {
    readonly name: string;
    readonly role: AdminRole;
    readonly tokenDigest: Uint8Array;
    readonly actor: string;
    readonly nowMs: number;
  }): Promise<'added' | 'name-taken'>;
  /** Their token is worth nothing from then on. */
  remove(removal: {
    readonly name: string;
    readonly actor: string;
    readonly nowMs: number;
  }): Promise<'removed' | 'unknown'>;
  /** By name. */
  list(): Promise<readonly Admin[]>;
  findByToken(tokenDigest: Uint8Array): Promise<Admin | undefined>;
}

/** 256 random bits; shown once. */
export function newAdminToken(): string {
  return randomBytes(32).toString('base64url');
}

/** Tokens are random and long: a plain hash can't be searched for. */
export function digestOfToken(token: string): Uint8Array {
  return createHash('sha256').update(token).digest();
}

export function isAdminName(text: string): boolean {
  return /^[a-z][a-z0-9._-]{0,31}$/.test(text) && !reservedActors.some(name => name === text);
}

export function mayDo(role: AdminRole, needed: AdminRole): boolean {
  return adminRoles.indexOf(role) >= adminRoles.indexOf(needed);
}
