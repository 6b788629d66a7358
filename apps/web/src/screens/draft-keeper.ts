// What is typed is kept by the process within a moment, and what another tab has typed is shown here. Knows nothing of fields.
import { useEffect, useState } from 'preact/hooks';
import { tried } from '../calls.ts';
import { drafts } from '../store.ts';

const keepAfterMs = 150;
const typingEveryMs = 5_000;

/** Another tab has written in this chat: shown here, unless something of this tab is on its way to the process. */
export function useForeignDraft(
  id: string,
  listed: string,
  keeper: DraftKeeper,
  isEdit: boolean,
  setText: (text: string) => void,
): void {
  const told = drafts.value[id];
  useEffect(() => {
    if (!isEdit && !keeper.isBusy) setText(told ?? listed);
  }, [told, listed]);
}

export class DraftKeeper {
  readonly #chat: string;
  #due: string | undefined;
  #latest: string | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isHeld = false;
  #underWay = 0;
  #toldTypingAtMs = -typingEveryMs;

  constructor(chat: string) {
    this.#chat = chat;
  }

  /** What the process says of the draft is older than what stands here. */
  get isBusy(): boolean {
    return this.#isHeld || this.#underWay > 0 || this.#due !== undefined;
  }

  latest(): string | undefined {
    return this.#latest;
  }

  keep(text: string): void {
    this.#due = text;
    this.#latest = text;
    this.#timer ??= setTimeout(() => this.now(), keepAfterMs);
    if (text === '' || performance.now() - this.#toldTypingAtMs < typingEveryMs) return;
    this.#toldTypingAtMs = performance.now();
    // Nobody misses a typing notice that could not be sent.
    void tried('chats.typing', { chat: this.#chat, state: 'started' });
  }

  now(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#due === undefined || this.#isHeld) return;
    const text = this.#due;
    this.#due = undefined;
    this.#underWay++;
    void tried('chats.setDraft', { chat: this.#chat, text }).finally(() => {
      this.#underWay--;
    });
  }

  /** While a message is under way its words stay the draft. */
  hold(): void {
    this.now();
    this.#isHeld = true;
  }

  release(): void {
    this.#isHeld = false;
    if (this.#due !== undefined) this.#timer ??= setTimeout(() => this.now(), keepAfterMs);
  }

  /** The process has forgotten the draft with the message. */
  sent(rest: string): void {
    this.#due = rest === '' ? undefined : rest;
    this.#latest = rest;
    this.#toldTypingAtMs = -typingEveryMs;
    if (rest !== '') this.#timer ??= setTimeout(() => this.now(), keepAfterMs);
  }
}

export function useDraft(id: string): DraftKeeper {
  const [keeper] = useState(() => new DraftKeeper(id));
  useEffect(() => {
    const now = (): void => keeper.now();
    addEventListener('pagehide', now);
    return () => {
      removeEventListener('pagehide', now);
      keeper.now();
    };
  }, [keeper]);
  return keeper;
}
