// Moves the bytes of one tunnel both ways, no faster than the slower side reads and its share allows. Keeps and looks at
// nothing. Knows nothing of how a tunnel was opened.
import type { Socket } from 'node:net';

/** Takes this number of bytes from the tunnel's share; gives how long to wait before more are read. */
export type Spend = (bytes: number) => number;

export type Tunnel = {
  /** Ends both sides at once. */
  readonly cut: () => void;
};

export function joinSockets(
  inner: Socket,
  outer: Socket,
  options: { readonly idleMs: number; readonly spend: Spend; readonly onEnd: () => void },
): Tunnel {
  const cut = (): void => {
    inner.destroy();
    outer.destroy();
  };
  let open = 2;
  for (const [from, to] of [
    [inner, outer],
    [outer, inner],
  ] as const) {
    carry(from, to, options.spend);
    from.on('close', hadError => {
      // What the one had sent before it ended still leaves; after a fault nothing of this tunnel does.
      if (hadError || from.readableAborted) to.destroy();
      else to.end();
      if (--open === 0) options.onEnd();
    });
  }
  // All that moves passes here, either way.
  inner.setTimeout(options.idleMs, cut);
  return { cut };
}

function carry(from: Socket, to: Socket, spend: Spend): void {
  let isSlowed = false;
  const goOn = (): void => {
    if (!isSlowed && !to.writableNeedDrain) from.resume();
  };
  from.on('data', (chunk: Buffer) => {
    const waitMs = spend(chunk.length);
    to.write(chunk);
    if (waitMs > 0) {
      isSlowed = true;
      from.pause();
      setTimeout(() => {
        isSlowed = false;
        goOn();
      }, waitMs).unref();
    } else if (to.writableNeedDrain) from.pause();
  });
  to.on('drain', goOn);
  from.on('end', () => to.end());
}
