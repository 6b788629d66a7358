// How long a server command runs, and how it ends. Knows nothing of what runs.

/** How often it is looked whether the process that started this one is still there. */
const parentCheckMs = 300;

/**
 * Calls at each SIGHUP, which then ends nothing: the process reads its files again. In a terminal SIGHUP says that the
 * terminal is gone, and still ends the process.
 */
export function onReload(listener: () => void): void {
  if (process.stdin.isTTY) return;
  process.removeAllListeners('SIGHUP');
  process.on('SIGHUP', listener);
}

/**
 * Resolves at the first SIGINT, SIGTERM or SIGHUP, or when the process that started this one has gone: then nobody could
 * stop this one any more. A second signal ends the process at once.
 */
export function untilStopped(): Promise<void> {
  const parent = process.ppid;
  return new Promise(resolve => {
    let stopping = false;
    const stop = (): void => {
      // Ctrl-C reaches every process of the terminal, and the start file passes signals on: two within a moment are one.
      if (stopping) return;
      stopping = true;
      clearInterval(timer);
      setTimeout(() => {
        for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(1));
      }, 500).unref();
      resolve();
    };
    const timer = setInterval(() => {
      if (process.ppid !== parent) stop();
    }, parentCheckMs);
    for (const signal of signals) process.on(signal, stop);
  });
}

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * Resolves with the first error that nobody caught. What it left half done nobody knows: the process should close and be
 * started again. Those that follow while it closes change nothing.
 */
export function untilUncaught(): Promise<unknown> {
  return new Promise(resolve => {
    process.on('uncaughtException', error => resolve(error));
  });
}

/** Runs `close`; true when it finished within the time, and without an error. */
export async function closeWithin(timeoutMs: number, close: () => Promise<unknown>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const tooLate = new Promise<boolean>(resolve => {
    timer = setTimeout(resolve, timeoutMs, false);
  });
  const closed = close().then(
    () => true,
    () => false,
  );
  const inTime = await Promise.race([closed, tooLate]);
  clearTimeout(timer);
  return inTime;
}
