// All that a provider keeps of one person, put together: shown to that person, and deleted when the account is closed.
// Knows nothing of HTTP, or of who asks.

import type { KeptFile, MediaOrigin, RemovedFiles } from './media-origin/media-options.ts';
import type { KeptOfPerson, PersonRecords } from './storage/person-records.ts';
import type { PushQueue } from './wake-ups/push-queue.ts';
import type { WakeUpStreams } from './wake-ups/streams.ts';

export type PersonExport = KeptOfPerson & { readonly files: readonly KeptFile[] };

/** What went. `login`: whether there was one here. */
export type PersonRemoval = {
  readonly login: boolean;
  readonly sessions: number;
  readonly files: RemovedFiles;
  /** That waited or had been given up. */
  readonly wakeUps: number;
};

export type PersonParts = {
  readonly records: PersonRecords;
  readonly media: MediaOrigin | undefined;
  readonly streams: WakeUpStreams;
  readonly pushes: PushQueue | undefined;
};

export function exportPerson({ records, media }: PersonParts, identifier: string): PersonExport {
  return { ...records.read(identifier), files: media?.filesOf(identifier) ?? [] };
}

/** Login and sessions first: nothing new comes then. */
export async function removePerson(parts: PersonParts, identifier: string): Promise<PersonRemoval> {
  const { login, sessions, wakeUps, givenUpWakeUps } = await parts.records.remove(identifier);
  parts.pushes?.deleted(wakeUps);
  parts.streams.end(identifier);
  const files = (await parts.media?.removeAllOf(identifier)) ?? { count: 0, bytes: 0 };
  return { login, sessions, files, wakeUps: wakeUps.length + givenUpWakeUps };
}
