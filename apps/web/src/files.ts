// Files on their way out: those that this tab is handing over to the process, and those that the process sends by itself.
// Knows nothing of how they are shown, nor of where they go.
import { signal } from '@preact/signals';
import type { CommandArguments, UnsentView } from '@drawbridge/cli/page/protocol';
import { call, faultWords, gathered, quietly, say } from './calls.ts';
import { CommandFailed } from './connection.ts';
import { handOver } from './hand-over.ts';

export const unsent = signal<readonly UnsentView[]>([]);

/** A file that only this tab has so far: it is gone when the tab goes. */
export type HandedOver = {
  readonly key: string;
  readonly chat: string;
  readonly name: string;
  readonly percent: number;
  readonly cancel: () => void;
};
export const handedOver = signal<readonly HandedOver[]>([]);

export type SendOptions = Pick<CommandArguments<'files.offer'>, 'caption' | 'kind' | 'viewOnce'>;

export const loadUnsent = gathered(async () => {
  unsent.value = (await quietly('files.unsent', {})) ?? unsent.value;
});

export function takeUnsent(file: UnsentView, isGone: boolean): void {
  const others = unsent.value.filter(({ id }) => id !== file.id);
  const at = unsent.value.findIndex(({ id }) => id === file.id);
  if (isGone) unsent.value = others;
  else unsent.value = at === -1 ? [...others, file] : unsent.value.with(at, file);
}

let nextKey = 1;

/** Hands a file over to the process, which sends it by itself. False: it has not taken it, and that was said. */
export async function sendFile(chat: string, body: Blob, name: string, options: SendOptions): Promise<boolean> {
  const key = String(nextKey++);
  const stop = new AbortController();
  const own: HandedOver = { key, chat, name, percent: 0, cancel: () => stop.abort() };
  handedOver.value = [...handedOver.value, own];
  const tell = (percent: number): void => {
    handedOver.value = handedOver.value.map(each => (each.key === key ? { ...each, percent } : each));
  };
  try {
    const { path } = await call('files.offer', { chat, name, sizeBytes: body.size, ...options });
    const taken = await handOver(path, body, tell, stop.signal);
    if (taken === 'cancelled') return false;
    if (taken.ok) return true;
    say(`${name}: ${faultWords(taken.error)}`, true);
  } catch (error) {
    if (!(error instanceof CommandFailed)) throw error;
    say(`${name}: ${faultWords(error.error)}`, true);
  } finally {
    handedOver.value = handedOver.value.filter(each => each.key !== key);
  }
  return false;
}

/** What only this tab has would be lost without a word. */
addEventListener('beforeunload', event => {
  if (handedOver.value.length > 0) event.preventDefault();
});
