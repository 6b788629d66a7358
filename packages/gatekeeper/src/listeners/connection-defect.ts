// What a defect of ours costs that a connection meets: this connection, and the session on it. Nobody else's.
// Knows nothing of encodings. Source: docs/decisions/0048.
import type { StreamErrorCondition } from '@drawbridge/wire/stream-error';
import { errorPlace } from '../error-place.ts';
import type { DeviceSession } from '../routing/device-session.ts';
import type { ListenerHost } from './admission.ts';

/** A stream of either encoding, as whoever ends it for a defect sees it. */
export interface BreakableStream {
  readonly host: Pick<ListenerHost, 'log' | 'sessions'>;
  readonly session: DeviceSession | undefined;
  close(condition: StreamErrorCondition | undefined): void;
  /** Takes and says nothing any more. */
  abandon(): void;
}

/** Does what must not throw; what throws all the same ends this stream. */
export function guarded(stream: BreakableStream, work: () => void): void {
  try {
    work();
  } catch (error) {
    endForDefect(stream, error);
  }
}

export function endForDefect(stream: BreakableStream, error: unknown): void {
  const { host, session } = stream;
  host.log('connection-failed', errorPlace(error), 'error');
  try {
    if (session === undefined) stream.close('internal-server-error');
    else session.end('internal-server-error');
  } catch {
    // What says goodbye may be what is broken.
    if (session !== undefined) host.sessions.forget(session);
  }
  stream.abandon();
}
