// The address of the PostgreSQL database that a configuration names. Knows no driver.
import { readFileSync } from 'node:fs';
import type { Config } from '../config-schema.ts';
import { StartError } from '../start-error.ts';

type PostgresStorage = Extract<Config['storage'], { readonly kind: 'postgres' }>;

/** With the password from its file. Throws a StartError. */
export function postgresUrl({ url, passwordFile }: PostgresStorage): string {
  if (passwordFile === undefined) return url;
  let password: string;
  try {
    password = readFileSync(passwordFile, 'utf8').trim();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new StartError('database-unusable', `storage.passwordFile: ${passwordFile} can't be read (${code})`);
  }
  // URL doesn't take addresses without a host, which those of sockets are.
  return url.replace(/^(postgres(?:ql)?:\/\/[^:@/]+)@/, `$1:${encodeURIComponent(password)}@`);
}
