// Makes a folder with all that is missing above it, one step at a time: Node's own recursive way never ends on a file
// system that takes no folders, such as /proc. Knows nothing of what goes into it.
import { mkdirSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';

/** As the system says it, where the system would say nothing or something else. */
class FolderError extends Error implements NodeJS.ErrnoException {
  readonly code: 'EROFS' | 'EEXIST';
  readonly syscall = 'mkdir';
  readonly path: string;
  constructor(code: FolderError['code'], words: string, path: string) {
    super(`${code}: ${words}, mkdir '${path}'`);
    this.code = code;
    this.path = path;
  }
}

/** Does nothing when it is there. Throws the system's error; EROFS also where a folder can't be made at all. */
export function makeFolder(folder: string, mode = 0o700): void {
  const path = resolve(folder);
  const missing: string[] = [];
  for (let each = path; !isThere(each); each = dirname(each)) missing.push(each);
  for (const each of missing.reverse()) makeOne(each, mode);
  if (missing.length === 0) requireFolder(path);
}

function isThere(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}

function makeOne(path: string, mode: number): void {
  try {
    mkdirSync(path, { mode });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // Somebody else was quicker.
    if (code === 'EEXIST') requireFolder(path);
    else if (code === 'ENOENT') throw new FolderError('EROFS', 'no folder can be made here', path);
    else throw error;
  }
}

function requireFolder(path: string): void {
  if (!statSync(path).isDirectory()) throw new FolderError('EEXIST', 'a file is there', path);
}
