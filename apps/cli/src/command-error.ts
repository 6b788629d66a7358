// Failures that a person at a terminal can mend: what went wrong, and the next step. Knows nothing of commands.

/** 0 all right, 1 it failed, 2 wrong usage, 130 stopped by Ctrl-C at a question. */
export const exitCodes = { ok: 0, failed: 1, usage: 2, interrupted: 130 } as const;

export class CommandError extends Error {
  readonly nextStep: string;
  readonly exitCode: number;
  constructor(message: string, nextStep: string, exitCode: number = exitCodes.failed) {
    super(message);
    this.nextStep = nextStep;
    this.exitCode = exitCode;
  }
}

/** A wrong option or argument: exit code 2. */
export function usageError(message: string, nextStep: string): CommandError {
  return new CommandError(message, nextStep, exitCodes.usage);
}

type SystemError = NodeJS.ErrnoException & { readonly address?: string; readonly port?: number };

const fileSteps: Readonly<Record<string, string>> = {
  EACCES: 'change its owner or mode, or name another',
  EPERM: 'change its owner or mode, or name another',
  EROFS: 'the file system is read-only: name another folder',
  ENOSPC: 'the disk is full: make room, or name another folder',
  ENOENT: 'check the spelling, or create it',
  ENOTDIR: 'a part of the path is a file: name another folder',
  EISDIR: 'name a file, not a folder',
  EEXIST: 'a file of that name is there: name another folder',
};

const networkSteps: Readonly<Record<string, string>> = {
  EADDRINUSE: 'stop what listens there, or choose another port',
  EADDRNOTAVAIL: 'this machine has no such address: choose another host',
  EACCES: 'ports below 1024 need a privilege: choose a higher one',
};

/** The words for an error of the operating system; undefined for anything else, which is a defect of ours. */
export function explainSystemError(error: unknown): CommandError | undefined {
  if (error instanceof CommandError) return error;
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') return undefined;
  const { code, syscall, path, address, port } = error as SystemError;
  if (syscall === 'listen' && code !== undefined && networkSteps[code] !== undefined) {
    const place = port === undefined ? 'the address' : `${address ?? ''}:${port}`;
    const words = code === 'EADDRINUSE' ? 'is in use' : `can't be listened on (${code})`;
    return new CommandError(`${place} ${words}`, networkSteps[code]);
  }
  // Reading a folder as if it were a file: this error has no path.
  if (code === 'EISDIR' && path === undefined)
    return new CommandError('a folder is where a file was expected', fileSteps[code]!);
  if (code !== undefined && path !== undefined && fileSteps[code] !== undefined) {
    return new CommandError(
      `${path}: ${code === 'ENOENT' ? 'there is nothing' : `no access (${code})`}`,
      fileSteps[code],
    );
  }
  return undefined;
}
