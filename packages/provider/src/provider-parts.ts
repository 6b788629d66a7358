// What the parts of one provider share: keys, database, people, sessions, event streams; opened here, and the folders that
// options name. Knows nothing of HTTP, media or push services.

import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import type { ExpiryClock } from '@drawbridge/identity/believed-clock';
import { makeFolder } from '@drawbridge/identity/make-folder';
import { createSqliteDirectory } from './directory/sqlite-directory.ts';
import type { UserDirectory } from './directory/user-directory.ts';
import { createIssuer, type Issuer } from './issuer/issuer.ts';
import { issuerKeyFile, issuerKeyMemory } from './issuer/issuer-key-file.ts';
import { type ProviderOptions, ProviderOptionsError } from './provider-options.ts';
import type { LiveDatabase } from './storage/database-writer.ts';
import { openProviderClock, type ProviderClock } from './storage/provider-clock.ts';
import { createSessions, openProviderDatabase, type Sessions } from './storage/provider-database.ts';
import { createWakeUpStreams, type WakeUpStreams } from './wake-ups/streams.ts';

/** What the parts of one provider share. */
export type Parts = {
  readonly options: ProviderOptions;
  readonly inMemory: boolean;
  readonly pathPrefix: string;
  readonly mediaUrl: string | undefined;
  readonly nowMs: () => number;
  /** By which what is kept grows old. */
  readonly expiry: ExpiryClock;
  /** The kit's own; undefined: whoever embeds it has one. */
  readonly clock: ProviderClock | undefined;
  readonly monotonicMs: () => number;
  readonly log: (event: string, code: string) => void;
  readonly issuer: Issuer;
  readonly database: LiveDatabase;
  readonly directory: UserDirectory;
  readonly sessions: Sessions;
  readonly streams: WakeUpStreams;
};

/** Makes the folder that an option names, or says by that name why it can't be used. */
export function useFolder(option: string, path: string): void {
  try {
    makeFolder(path);
    accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'failed';
    const what = code === 'EEXIST' || code === 'ENOTDIR' ? 'is a file, or below one' : `can't be used (${code})`;
    throw new ProviderOptionsError(option, `${path} ${what}: name a folder that this user may read and write`);
  }
}

export async function openParts(options: ProviderOptions): Promise<Parts> {
  const inMemory = options.dataFolder === ':memory:';
  const nowMs = options.nowMs ?? Date.now;
  const monotonicMs = (): number => performance.now();
  const issuer = await createIssuer({
    store: inMemory ? issuerKeyMemory() : issuerKeyFile(join(options.dataFolder, 'signing-keys.json')),
    nowMs,
    ...(options.algorithm === undefined ? {} : { algorithm: options.algorithm }),
  });
  const database = openProviderDatabase(inMemory ? ':memory:' : join(options.dataFolder, 'provider.sqlite'));
  const log = (event: string, code: string): void => options.log?.({ event, code });
  const clock = options.expiry === undefined ? openProviderClock(database, nowMs, monotonicMs, log) : undefined;
  const expiry = clock ?? options.expiry!;
  const { pathname } = new URL(options.issuer);
  return {
    options,
    inMemory,
    pathPrefix: options.pathPrefix ?? (pathname === '/' ? '' : pathname),
    mediaUrl: options.media === undefined ? undefined : (options.media.url ?? `${options.issuer}/media`),
    nowMs,
    expiry,
    clock,
    monotonicMs,
    log,
    issuer,
    database,
    directory: options.directory ?? createSqliteDirectory(database, nowMs),
    sessions: createSessions(database, expiry),
    streams: createWakeUpStreams(monotonicMs),
  };
}
