// Whether the keys and tokens of a data folder can be used: what a start would fail on. Changes nothing, and makes nothing
// that is missing. Knows nothing of the database.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '../config-schema.ts';
import { openAdminToken } from '../http/admin-token.ts';
import { compactKeysFault } from '../listeners/compact-keys.ts';
import { openMediaGrantKey } from '../media/media-grants.ts';
import { openStampSecret } from '../reports/stamp-secret.ts';
import { openEventKeys } from '../wakeup/event-keys.ts';

/** Sentences that name the file and the next step; none when all of it is good. */
export function dataFolderFaults({ dataFolder, domain }: Config): readonly string[] {
  // Each of these only reads what is there.
  const readers: readonly (readonly [string, () => unknown])[] = [
    ['event-keys.json', () => openEventKeys(dataFolder)],
    ['media-grant-key', () => openMediaGrantKey(dataFolder)],
    ['stamp-secret', () => openStampSecret(dataFolder)],
    ['admin-token', () => openAdminToken(dataFolder)],
    ['metrics-token', () => openAdminToken(dataFolder, 'metrics-token')],
  ];
  const faults = [
    compactKeysFault(join(dataFolder, 'compact-keys.json'), domain),
    ...readers.map(([name, read]) => (existsSync(join(dataFolder, name)) ? faultOf(read) : undefined)),
  ];
  return faults.filter(fault => fault !== undefined);
}

function faultOf(read: () => unknown): string | undefined {
  try {
    read();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
