// The line to the process that holds the keys: opens it with the launch secret or the session, opens it again when it breaks,
// sends commands once however often it breaks, and hands events on in order. Knows nothing of what is said on it.
import type {
  CommandArguments,
  CommandName,
  CommandResult,
  PageError,
  PageEvent,
  ProcessFrame,
} from '@drawbridge/cli/page/protocol';

type Welcome = Extract<ProcessFrame, { kind: 'welcome' }>;

/** `locked`: this browser has no session. `lost`: nobody answers there. */
export type Line = 'opening' | 'open' | 'broken' | 'locked' | 'lost';

export type ConnectionHandlers = {
  readonly onLine: (line: Line) => void;
  readonly onWelcome: (welcome: Welcome) => void;
  readonly onEvent: (event: PageEvent) => void;
};

const tokenKey = 'token';
/** The half of the session that this page keeps. */
export function sessionToken(): string | null {
  return localStorage.getItem(tokenKey);
}

const firstWaitMs = 200;
const longestWaitMs = 4_000;
/** So long a broken line is only mentioned; then the page says that the chat has ended. */
const lostAfterMs = 6_000;

export class CommandFailed extends Error {
  readonly error: PageError;

  constructor(error: PageError) {
    super(error.text);
    this.error = error;
  }
}

/** RFC 6455: the process refuses a frame (1008), or its size (1009). It would refuse it again, for ever. */
const refusedFrame: ReadonlySet<number> = new Set([1008, 1009]);

const notKnown: PageError = {
  code: 'not-known',
  text: 'The chat’s process ended before it said whether this was done.',
  retry: false,
};

type Waiting = {
  readonly text: string;
  /** To a process that may have done it. */
  isSent: boolean;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
};

export class Connection {
  readonly #handlers: ConnectionHandlers;
  readonly #waiting = new Map<number, Waiting>();
  #socket: WebSocket | undefined;
  #greeted = false;
  #epoch: string | undefined;
  #after = 0;
  #nextId = 1;
  #waitMs = firstWaitMs;
  #brokenSinceMs: number | undefined;
  #again: ReturnType<typeof setTimeout> | undefined;

  constructor(handlers: ConnectionHandlers) {
    this.#handlers = handlers;
    // Another tab of this browser was opened with a fresh address.
    addEventListener('storage', ({ key }) => {
      if (key === tokenKey && !this.#greeted) this.retry();
    });
  }

  /** The secret stands in the address once: it is exchanged, and taken out of the address and the history. */
  async start(): Promise<void> {
    const secret = location.hash.slice(1);
    if (/^[A-Za-z0-9_-]{43}$/.test(secret)) {
      history.replaceState(undefined, '', '/');
      await exchange(secret);
    }
    this.#open();
  }

  /**
   * Resolves with the result of the deed, which is done once, also when the line breaks meanwhile. Rejects with `not-known`
   * when its process ended: the next one knows nothing of its key, and would do it again; or when the line was ended for
   * what was said on it.
   */
  call<N extends CommandName>(name: N, given: CommandArguments<N>): Promise<CommandResult<N>> {
    const id = this.#nextId++;
    const text = JSON.stringify({ kind: 'command', id, key: crypto.randomUUID(), name, arguments: given });
    return new Promise<CommandResult<N>>((resolve, reject) => {
      const waiting: Waiting = { text, isSent: false, resolve: value => resolve(value as CommandResult<N>), reject };
      this.#waiting.set(id, waiting);
      if (this.#greeted) this.#send(waiting);
    });
  }

  retry(): void {
    this.#brokenSinceMs = undefined;
    this.#waitMs = firstWaitMs;
    this.#open();
  }

  #open(): void {
    clearTimeout(this.#again);
    const token = sessionToken();
    if (token === null) return this.#handlers.onLine('locked');
    if (this.#brokenSinceMs === undefined) this.#handlers.onLine('opening');
    const socket = new WebSocket(`ws://${location.host}/tab`, ['drawbridge-page-1', `token.${token}`]);
    this.#socket = socket;
    socket.addEventListener('open', () => {
      const place = this.#epoch === undefined ? {} : { epoch: this.#epoch, after: this.#after };
      socket.send(JSON.stringify({ kind: 'hello', ...place }));
    });
    socket.addEventListener('message', ({ data }) => this.#take(JSON.parse(String(data)) as ProcessFrame));
    socket.addEventListener('close', ({ code }) => {
      if (refusedFrame.has(code)) this.#giveUpSent();
      void this.#broken();
    });
  }

  #take(frame: ProcessFrame): void {
    if (frame.kind === 'welcome') {
      if (frame.epoch !== this.#epoch) this.#giveUpSent();
      this.#epoch = frame.epoch;
      if (frame.mode === 'reset') this.#after = frame.last;
      this.#greeted = true;
      this.#brokenSinceMs = undefined;
      this.#waitMs = firstWaitMs;
      for (const waiting of this.#waiting.values()) this.#send(waiting);
      this.#handlers.onWelcome(frame);
      this.#handlers.onLine('open');
    } else if (frame.kind === 'event') {
      this.#after = frame.number;
      this.#handlers.onEvent(frame.event);
    } else {
      const waiting = this.#waiting.get(frame.id);
      this.#waiting.delete(frame.id);
      if (frame.ok) waiting?.resolve(frame.value);
      else waiting?.reject(new CommandFailed(frame.error));
    }
  }

  #send(waiting: Waiting): void {
    waiting.isSent = true;
    this.#socket?.send(waiting.text);
  }

  #giveUpSent(): void {
    for (const [id, { isSent, reject }] of this.#waiting) {
      if (!isSent) continue;
      this.#waiting.delete(id);
      reject(new CommandFailed(notKnown));
    }
  }

  async #broken(): Promise<void> {
    this.#greeted = false;
    this.#brokenSinceMs ??= performance.now();
    this.#handlers.onLine('broken');
    // A refused handshake and a silent port look alike to a WebSocket; a request tells them apart.
    const answers = await fetch('/', { method: 'HEAD' }).then(
      () => true,
      () => false,
    );
    const isLong = performance.now() - (this.#brokenSinceMs ?? performance.now()) > lostAfterMs;
    if (answers && (isLong || this.#epoch === undefined)) return this.#handlers.onLine('locked');
    if (isLong) this.#handlers.onLine('lost');
    this.#again = setTimeout(() => this.#open(), this.#waitMs);
    this.#waitMs = Math.min(this.#waitMs * 2, longestWaitMs);
  }
}

async function exchange(secret: string): Promise<void> {
  const response = await fetch('/session', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ secret }),
  });
  if (!response.ok) return;
  const { token } = (await response.json()) as { readonly token: string };
  localStorage.setItem(tokenKey, token);
}
