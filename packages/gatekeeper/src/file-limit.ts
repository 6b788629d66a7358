// How many connections this process can hold: each is an open file, and the system says how many of those there may be.
// Knows nothing of listeners. Where the limit can't be read (not Linux), the configuration alone decides.
import { readFileSync } from 'node:fs';

/** Files other than connections of clients: database, log, listeners, outgoing requests other than media fetches. */
const otherFiles = 64;
/** Media fetches may take so much of the limit at most: one part in this number. */
const mediaShare = 8;

/** Files and sockets that this process may have open; undefined where nobody says. */
export function readFileLimit(): number | undefined {
  let limits: string;
  try {
    limits = readFileSync('/proc/self/limits', 'latin1');
  } catch {
    return undefined;
  }
  const limit = /^Max open files\s+([0-9]+)/m.exec(limits)?.[1];
  return limit === undefined ? undefined : Number(limit);
}

export type ConnectionRoom = {
  /** Connections of clients that may be open at once, HTTP included. */
  readonly connections: number;
  /** Files that the configuration asks for; undefined when they are there. */
  readonly filesMissing: number | undefined;
};

type Configured = { readonly streams: number; readonly mediaFetches: number };

/** What of the configured connections there are files for. */
export function connectionRoom(configured: Configured, fileLimit: number | undefined): ConnectionRoom {
  if (fileLimit === undefined) return { connections: configured.streams, filesMissing: undefined };
  // A fetch holds a connection to the provider; the client's own is among the connections.
  const reserved = otherFiles + Math.min(configured.mediaFetches, Math.floor(fileLimit / mediaShare));
  const connections = Math.max(1, Math.min(configured.streams, fileLimit - reserved));
  const missing = configured.streams + otherFiles + configured.mediaFetches - fileLimit;
  return { connections, filesMissing: connections < configured.streams ? missing : undefined };
}

/** What the operator can do when files are missing. */
export function moreFiles(configured: Configured, fileLimit: number): string {
  const { connections, filesMissing = 0 } = connectionRoom(configured, fileLimit);
  return (
    `only ${connections} of the ${configured.streams} streams of limits.streams fit: raise the limit of open files to ` +
    `${fileLimit + filesMissing} (LimitNOFILE in systemd, ulimit -n) or lower limits.streams`
  );
}
