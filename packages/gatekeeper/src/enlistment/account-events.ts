// Tells the shell what changed, after it is durable. Knows nothing of who listens.
import type { AccountEvent } from './account.ts';

export type AccountEvents = {
  readonly emit: (event: AccountEvent) => void;
  /** Listeners are called in the order they came, synchronously. Gives back how to stop listening. */
  readonly onEvent: (listener: (event: AccountEvent) => void) => () => void;
};

export function createAccountEvents(): AccountEvents {
  const listeners = new Set<(event: AccountEvent) => void>();
  return {
    emit(event) {
      for (const listener of listeners) listener(event);
    },
    onEvent(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}
