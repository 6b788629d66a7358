// A storage for the SDK's rows, as an app writes one: a journal to which each change is added and made durable, and which is
// written again, short, when it is opened. Rows come sealed; whoever has the file without the passphrase learns little.
import { constants } from 'node:fs';
import { type FileHandle, open, readFile, rename, writeFile } from 'node:fs/promises';
import type { RowChange, RowStorage } from '@drawbridge/client';

/** One client at a time: the app sees to that. */
export class JournalStorage implements RowStorage {
  readonly #path: string;
  #file: FileHandle | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  async *load(): ReturnType<RowStorage['load']> {
    const rows = new Map<string, string>();
    const journal = await readFile(this.#path, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return '';
      throw error;
    });
    // What follows the last line's end was being written when the process ended: none of it counts.
    for (const line of journal.split('\n').slice(0, -1)) {
      const { put, remove } = JSON.parse(line) as { put: [string, string][]; remove: string[] };
      for (const [id, value] of put) rows.set(id, value);
      for (const id of remove) rows.delete(id);
    }
    await this.#begin([...rows]);
    for (const [id, value] of rows) yield { id, value: Buffer.from(value, 'base64') };
  }

  /** The rows that are left, in a file of their own first; then this file is the journal. */
  async #begin(put: [string, string][]): Promise<void> {
    const fresh = `${this.#path}.new`;
    await writeFile(fresh, `${JSON.stringify({ put, remove: [] })}\n`, { mode: 0o600, flush: true });
    await rename(fresh, this.#path);
    this.#file = await open(this.#path, constants.O_WRONLY | constants.O_APPEND);
  }

  async write({ put, remove }: RowChange): Promise<void> {
    const rows = put.map(({ id, value }) => [id, Buffer.from(value).toString('base64')]);
    await this.#file!.appendFile(`${JSON.stringify({ put: rows, remove })}\n`);
    await this.#file!.datasync();
  }

  async close(): Promise<void> {
    await this.#file?.close();
  }
}
