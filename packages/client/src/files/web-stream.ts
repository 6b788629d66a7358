// A stream of the web that gives what an iterator gives, each piece when it is asked for.
// Knows nothing of what the pieces are.

/** `cancel` is called when nobody reads any more, also while a piece is waited for; its failure is the canceller's. */
export function streamFrom<T>(
  pieces: AsyncIterator<T, unknown>,
  cancel: () => Promise<unknown> | undefined | void,
): ReadableStream<T> {
  return new ReadableStream<T>(
    {
      async pull(controller) {
        const next = await pieces.next();
        if (next.done === true) controller.close();
        else controller.enqueue(next.value);
      },
      cancel: async () => void (await cancel()),
    },
    { highWaterMark: 0 },
  );
}
