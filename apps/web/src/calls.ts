// Asking the process for things and deeds, and saying what failed. Knows nothing of what is asked for.
import { signal } from '@preact/signals';
import type { CommandArguments, CommandName, CommandResult, PageError } from '@drawbridge/cli/page/protocol';
import { CommandFailed, Connection, type ConnectionHandlers, type Line } from './connection.ts';
import { named, t } from './strings.ts';

/** Several changes at once are one question. */
const gatherMs = 60;
const toastMs = 6_000;

export const line = signal<Line>('opening');
export const toast = signal<{ readonly text: string; readonly isFault: boolean } | undefined>(undefined);
/** Said by screen readers, shown to nobody. */
export const announcement = signal('');

let connection: Connection | undefined;

/** Opens the line; what happens is told to the handlers. */
export function start(handlers: Omit<ConnectionHandlers, 'onLine'>): Promise<void> {
  const onLine = (state: Line): void => {
    line.value = state;
  };
  connection = new Connection({ onLine, ...handlers });
  return connection.start();
}

export function retryLine(): void {
  connection?.retry();
}

export function call<N extends CommandName>(name: N, given: CommandArguments<N>): Promise<CommandResult<N>> {
  return connection!.call(name, given);
}

/** As `call`; what fails is said to the person, and gives undefined. */
export async function tried<N extends CommandName>(
  name: N,
  given: CommandArguments<N>,
): Promise<{ readonly value: CommandResult<N> } | undefined> {
  try {
    return { value: await call(name, given) };
  } catch (error) {
    if (!(error instanceof CommandFailed)) throw error;
    say(faultWords(error.error), true);
    return undefined;
  }
}

export function faultWords({ code }: PageError): string {
  const name = named(`failed_${code}`);
  return name === undefined ? t('failed', { code }) : t(name);
}

let toastTimer: ReturnType<typeof setTimeout> | undefined;

export function say(text: string, isFault = false): void {
  toast.value = { text, isFault };
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => {
    toast.value = undefined;
  }, toastMs);
}

/** Runs soon, once, however often it is asked for; again when it is asked for meanwhile. */
export function gathered(run: () => Promise<void>): () => void {
  let state: 'idle' | 'due' | 'running' | 'again' = 'idle';
  const go = (): void => {
    state = 'due';
    setTimeout(() => {
      state = 'running';
      void run().finally(() => {
        if (state === 'again') go();
        else state = 'idle';
      });
    }, gatherMs);
  };
  return () => {
    if (state === 'idle') go();
    else if (state === 'running') state = 'again';
  };
}

/** What can't be had now (there is no connection) stays as it was, and is asked for again when there is one. */
export async function quietly<N extends CommandName>(
  name: N,
  given: CommandArguments<N>,
): Promise<CommandResult<N> | undefined> {
  try {
    return await call(name, given);
  } catch (error) {
    if (error instanceof CommandFailed) return undefined;
    throw error;
  }
}

export async function copy(text: string): Promise<void> {
  await navigator.clipboard.writeText(text);
  say(t('copied'));
}
