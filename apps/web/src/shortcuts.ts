// Keys that work wherever one is, and what lies over the page at their word. Knows nothing of what it looks like.
import { signal } from '@preact/signals';
import { go, route } from './route.ts';
import { openChats } from './store.ts';

export type Overlay = 'palette' | 'shortcuts' | 'search' | 'find';
export const overlay = signal<Overlay | undefined>(undefined);

/** Each with the words for what it does; `Ctrl` is the command key where there is one. */
export const shortcuts = [
  ['Ctrl K', 'palette'],
  ['Ctrl Shift F', 'search'],
  ['Alt ↓', 'nextChat'],
  ['Alt ↑', 'previousChat'],
  ['Ctrl /', 'shortcuts'],
  ['Enter', 'shortcutSend'],
  ['Shift Enter', 'shortcutLine'],
  ['↑ ↓', 'shortcutMove'],
  ['Enter', 'messageActions'],
  ['Esc', 'shortcutClose'],
] as const;

function neighbour(step: 1 | -1): void {
  const chats = openChats.value;
  const now = route.value;
  const at = now.screen === 'chat' ? chats.findIndex(({ id }) => id === now.id) : -1;
  const next = chats[at === -1 ? 0 : at + step];
  if (next !== undefined) go({ screen: 'chat', id: next.id });
}

export function listenForShortcuts(): void {
  addEventListener('keydown', event => {
    // A dialog has the keys for itself.
    if (document.querySelector('dialog[open]') !== null) return;
    const isCommand = event.ctrlKey || event.metaKey;
    const key = event.key.toLowerCase();
    if (event.altKey && !isCommand && (key === 'arrowdown' || key === 'arrowup'))
      neighbour(key === 'arrowdown' ? 1 : -1);
    else if (isCommand && !event.altKey && key === 'k') overlay.value = 'palette';
    else if (isCommand && event.shiftKey && key === 'f') overlay.value = 'search';
    else if (isCommand && (key === '/' || event.code === 'Slash')) overlay.value = 'shortcuts';
    else return;
    event.preventDefault();
  });
}
