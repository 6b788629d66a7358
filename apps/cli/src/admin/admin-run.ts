// Carries out `drawbridge admin`: each command asks the admin API and says what it answers, as lines or as JSON.
// Knows nothing of options.
import { createWriteStream, rmSync } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { shownLine } from '@drawbridge/client';
import { CommandError } from '../command-error.ts';
import { type AdminFlags, openAdminApi } from './admin-api.ts';

export type Shown = AdminFlags & { readonly json: boolean };

/** Asks, and says the answer. */
export async function show(flags: Shown, path: string): Promise<void> {
  sayAnswer(flags, await openAdminApi(flags).ask('GET', path));
}

/** Does something, and says the answer, or `done` when there is none. */
export async function act(
  flags: Shown,
  method: 'POST' | 'DELETE',
  path: string,
  body: Readonly<Record<string, string | number>> & { readonly reason?: string },
  done: string,
): Promise<void> {
  const { reason } = body;
  const answer =
    method === 'POST'
      ? await openAdminApi(flags).ask('POST', path, body)
      : await openAdminApi(flags).ask('DELETE', `${path}${reason === undefined ? '' : `?${query({ reason })}`}`);
  if (answer === undefined) process.stdout.write(`${done}\n`);
  else sayAnswer(flags, answer);
}

/** Deletes, and says what went. */
export async function remove(flags: Shown, path: string): Promise<void> {
  sayAnswer(flags, await openAdminApi(flags).ask('DELETE', path));
}

/** To a new file of mode 0600, or to standard output. What breaks off leaves no file. */
export async function save(flags: AdminFlags, path: string, file: string | undefined): Promise<void> {
  const source = await openAdminApi(flags).open(path);
  if (file === undefined) {
    await pipeline(source, process.stdout, { end: false });
    process.stdout.write('\n');
    return;
  }
  const target = createWriteStream(file, { flags: 'wx', mode: 0o600 });
  let isOurs = false;
  target.once('open', () => (isOurs = true));
  try {
    await pipeline(source, target);
  } catch (error) {
    if (isOurs) rmSync(file, { force: true });
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') {
      throw new CommandError(`${file} is there already`, 'name another file');
    }
    throw new CommandError('the export broke off', 'look at the log of the gatekeeper, and try again');
  }
  process.stderr.write(
    `${file}: everything that is kept of this person. Guard it, and remove it when it is done with.\n`,
  );
}

export function query(members: Readonly<Record<string, string | undefined>>): string {
  const given = Object.entries(members).filter((each): each is [string, string] => each[1] !== undefined);
  return new URLSearchParams(given).toString();
}

/** As lines, or as JSON. */
export function sayAnswer({ json }: { readonly json: boolean }, answer: unknown): void {
  process.stdout.write(json ? `${JSON.stringify(answer, undefined, 2)}\n` : `${lines(answer, '').join('\n')}\n`);
}

/** `name  value` on lines; members of members are indented, rows of a list stand on one line each. */
function lines(value: unknown, indent: string): string[] {
  if (typeof value !== 'object' || value === null) return [`${indent}${word(value)}`];
  return Object.entries(value).flatMap(([name, member]: [string, unknown]) => {
    if (Array.isArray(member)) {
      return [
        `${indent}${name}${member.length === 0 ? '  none' : ''}`,
        ...member.map(row => `${indent}  ${rowOf(row)}`),
      ];
    }
    return isFlat(member)
      ? [`${indent}${name.padEnd(12)} ${word(member)}`]
      : [`${indent}${name}`, ...lines(member, `${indent}  `)];
  });
}

function isFlat(value: unknown): boolean {
  return typeof value !== 'object' || value === null;
}

function rowOf(row: unknown): string {
  if (Array.isArray(row)) return row.map(rowOf).join(', ');
  if (typeof row !== 'object' || row === null) return word(row);
  return Object.entries(row)
    .map(([name, member]: [string, unknown]) => `${name} ${isFlat(member) ? word(member) : `(${rowOf(member)})`}`)
    .join('  ');
}

function word(value: unknown): string {
  return shownLine(String(value));
}
