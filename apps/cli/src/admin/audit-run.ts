// Carries out `drawbridge admin audit head` and `verify`: walks the audit log of a running gatekeeper or of a data folder
// and computes each digest itself. Knows nothing of how entries are kept.
import { readFileSync } from 'node:fs';
import { AdminStoreError } from '@drawbridge/gatekeeper/admin-store';
import { type ChainFault, type ChainHead, ChainWalk } from '@drawbridge/gatekeeper/audit/audit-chain';
import { openAuditLog } from '@drawbridge/gatekeeper/audit-reader';
import { CommandError, usageError } from '../command-error.ts';
import { type AdminFlags, openAdminApi } from './admin-api.ts';

type Shown = AdminFlags & { readonly json: boolean };
type VerifyFlags = Shown & { readonly data?: string; readonly head?: readonly string[]; readonly heads?: string };
type Entry = Parameters<ChainWalk['take']>[0][number];
type Head = ChainHead & { readonly lastSeq: number };

type AuditSource = {
  readonly head: () => Promise<Head>;
  readonly page: (afterSeq: number) => Promise<readonly Entry[]>;
  readonly close: () => void;
};

const pageSize = 500;

export async function sayHead(flags: Shown): Promise<void> {
  const { seq, digest } = await fromApi(flags).head();
  process.stdout.write(flags.json ? `${JSON.stringify({ seq, digest })}\n` : `${seq}:${digest}\n`);
}

/** Throws a CommandError that names the first fault. */
export async function verifyAudit(flags: VerifyFlags): Promise<void> {
  const heads = headsOf(flags);
  const source = flags.data === undefined ? fromApi(flags) : fromFolder(flags.data);
  const walk = new ChainWalk(heads);
  try {
    // First: entries that come meanwhile are not missing.
    const { lastSeq } = await source.head();
    let fault: ChainFault | undefined;
    let page: readonly Entry[];
    do {
      page = await source.page(walk.head.seq);
      fault = walk.take(page);
    } while (fault === undefined && page.length > 0);
    fault ??= walk.end(lastSeq);
    if (fault !== undefined) throw new CommandError(wordsOf(fault), adviceOf(fault));
  } finally {
    source.close();
  }
  const { seq, digest } = walk.head;
  if (flags.json) process.stdout.write(`${JSON.stringify({ entries: seq, digest, heads: heads.length })}\n`);
  else {
    process.stdout.write(`${seq} entries, each as it was written\nhead ${seq}:${digest}\n`);
    process.stdout.write(
      heads.length === 0
        ? 'No earlier head was given: this does not tell whether the end was cut off, or all of it written again.\n'
        : `${heads.length} earlier head${heads.length === 1 ? '' : 's'} met\n`,
    );
  }
}

function wordsOf({ kind, seq }: ChainFault): string {
  switch (kind) {
    case 'missing':
      return `entry ${seq} is missing`;
    case 'altered':
      return `entry ${seq} is not what was written there: it was altered, moved or put in`;
    case 'head-missing':
      return `entry ${seq} was there once and is not any more: the end of the log was cut off`;
    case 'head-differs':
      return `entry ${seq} is another one than the head that was kept: the log was written again`;
  }
}

function adviceOf({ seq }: ChainFault): string {
  return `everything before ${seq} is as it was; compare what follows with a backup, and find out who had the file`;
}

function headsOf(flags: VerifyFlags): ChainHead[] {
  const texts = [...(flags.head ?? [])];
  if (flags.heads !== undefined) {
    try {
      texts.push(...readFileSync(flags.heads, 'utf8').split('\n'));
    } catch {
      throw usageError(`${flags.heads} can't be read`, 'name a file with one NUMBER:DIGEST on each line');
    }
  }
  return texts
    .map(text => text.trim())
    .filter(text => text !== '')
    .map(text => {
      const [, seq, digest] = /^([0-9]{1,15}):([0-9a-f]{64})$/.exec(text) ?? [];
      if (seq === undefined || digest === undefined) {
        throw usageError(`${text} is not a head`, 'give NUMBER:DIGEST, as `drawbridge admin audit head` prints it');
      }
      return { seq: Number(seq), digest };
    });
}

function fromApi(flags: AdminFlags): AuditSource {
  const api = openAdminApi(flags);
  return {
    head: async () => (await api.ask('GET', '/admin/v1/audit/head')) as Head,
    page: async afterSeq => {
      const answer = await api.ask('GET', `/admin/v1/audit?after=${afterSeq}&limit=${pageSize}`);
      const { entries } = answer as { entries: readonly (Omit<Entry, 'atMs'> & { readonly at: string })[] };
      return entries.map(({ at, ...entry }) => ({ ...entry, atMs: Date.parse(at) }));
    },
    close: () => {},
  };
}

function fromFolder(folder: string): AuditSource {
  try {
    const log = openAuditLog(folder);
    return {
      head: async () => log.head() ?? { seq: 0, digest: '', lastSeq: 0 },
      page: async afterSeq => log.page(afterSeq, pageSize),
      close: log.close,
    };
  } catch (error) {
    if (!(error instanceof AdminStoreError)) throw error;
    throw new CommandError(error.message, 'name the data folder of a gatekeeper: --data citadel/data');
  }
}
