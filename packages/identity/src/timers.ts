// Timers as an argument, beside the clocks that are arguments: what waits in a service can be played by tests.
// Knows nothing of what waits.

/** Calls back once after that time; gives a function that calls it off. */
export type After = (ms: number, run: () => void) => () => void;

/** The system's. What waits keeps no process alive. */
export const systemAfter: After = (ms, run) => {
  const timer = setTimeout(run, ms).unref();
  return () => clearTimeout(timer);
};

/** Calls back again and again, each time that long after the last; gives a function that ends it. */
export function every(after: After, ms: number, run: () => void): () => void {
  let callOff = after(ms, beat);
  function beat(): void {
    callOff = after(ms, beat);
    run();
  }
  return () => callOff();
}
