// Where one writes. What is typed is kept by the process within a moment, so that no tab that dies takes it along; it leaves
// the field only once the process has taken the message. Knows nothing of what is shown above it.
import type { MessageView } from '@drawbridge/cli/page/views';
import { useEffect, useRef, useState } from 'preact/hooks';
import { summary } from '../format.ts';
import { Icon } from '../parts/icon.tsx';
import { tried } from '../calls.ts';
import { drafts } from '../store.ts';
import { t } from '../strings.ts';
import { filesOf, maxFilesAtOnce } from './send-files.tsx';
import { VoiceRecorder } from './voice-recorder.tsx';

export type Writing =
  | { readonly kind: 'new' }
  | { readonly kind: 'reply'; readonly message: MessageView }
  | { readonly kind: 'edit'; readonly message: MessageView };

type Props = {
  readonly id: string;
  readonly name: string;
  readonly draft: string;
  readonly writing: Writing;
  readonly onWriting: (writing: Writing) => void;
  readonly onFiles: (files: readonly File[]) => void;
};

const keepAfterMs = 150;
const typingEveryMs = 5_000;

export function Composer({ id, name, draft, writing, onWriting, onFiles }: Props) {
  const [isRecording, setRecording] = useState(false);
  const field = useRef<HTMLTextAreaElement>(null);
  const [text, setText] = useState(draft);
  const keeper = useDraft(id);
  const isEdit = writing.kind === 'edit';
  useEffect(() => {
    if (writing.kind === 'edit') setText(writing.message.text);
    else setText(keeper.latest() ?? draft);
    if (writing.kind !== 'new') field.current?.focus();
  }, [writing]);
  useForeignDraft(id, draft, keeper, isEdit, setText);
  const input = (value: string): void => {
    setText(value);
    if (!isEdit) keeper.keep(value);
  };
  const { isSending, send } = useSending({ id, text, setText, writing, onWriting, field, keeper });
  return (
    <form
      class="composer"
      onSubmit={event => {
        event.preventDefault();
        void send();
      }}
    >
      {writing.kind !== 'new' && <About writing={writing} name={name} onCancel={() => onWriting({ kind: 'new' })} />}
      {isRecording ? (
        <VoiceRecorder
          chat={id}
          onClose={() => {
            setRecording(false);
            queueMicrotask(() => field.current?.focus());
          }}
        />
      ) : (
        <div class="composer-row">
          {!isEdit && <Attach onFiles={onFiles} />}
          <textarea
            ref={field}
            id="composer"
            rows={1}
            dir="auto"
            value={text}
            maxLength={16_000}
            aria-label={t('writeTo', { name })}
            placeholder={t('writeTo', { name })}
            onInput={event => input(event.currentTarget.value)}
            onBlur={() => keeper.now()}
            onPaste={event => {
              const files = filesOf(event.clipboardData);
              if (files.length === 0 || isEdit) return;
              event.preventDefault();
              onFiles(files);
            }}
            onKeyDown={event => {
              if (event.key === 'Escape' && writing.kind !== 'new') onWriting({ kind: 'new' });
              if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
              event.preventDefault();
              void send();
            }}
          />
          {text === '' && writing.kind === 'new' ? (
            <button type="button" class="round" aria-label={t('recordVoice')} onClick={() => setRecording(true)}>
              <Icon name="microphone" />
            </button>
          ) : (
            <button
              type="submit"
              class="primary round"
              aria-label={t(isSending ? 'sending' : 'send')}
              disabled={isSending || text.trim() === ''}
            >
              <Icon name="send" class="mirrored" />
            </button>
          )}
        </div>
      )}
    </form>
  );
}

function Attach({ onFiles }: Pick<Props, 'onFiles'>) {
  const input = useRef<HTMLInputElement>(null);
  return (
    <>
      <input
        ref={input}
        type="file"
        multiple
        hidden
        onChange={({ currentTarget }) => {
          const files = [...(currentTarget.files ?? [])].slice(0, maxFilesAtOnce);
          // The same file again is a choice, too.
          currentTarget.value = '';
          if (files.length > 0) onFiles(files);
        }}
      />
      <button type="button" class="quiet round" aria-label={t('attach')} onClick={() => input.current?.click()}>
        <Icon name="attach" />
      </button>
    </>
  );
}

function About({
  writing,
  name,
  onCancel,
}: {
  readonly writing: Exclude<Writing, { kind: 'new' }>;
  readonly name: string;
  readonly onCancel: () => void;
}) {
  const whom = writing.message.mine ? t('you') : name;
  return (
    <div class="about">
      <div>
        <strong>{writing.kind === 'edit' ? t('editing') : t('replyingTo', { name: whom })}</strong>
        <p dir="auto">{summary(writing.message)}</p>
      </div>
      <button type="button" class="quiet" aria-label={t('cancel')} onClick={onCancel}>
        <Icon name="close" />
      </button>
    </div>
  );
}

type Sending = Pick<Props, 'id' | 'writing' | 'onWriting'> & {
  readonly text: string;
  readonly setText: (text: string) => void;
  readonly field: { readonly current: HTMLTextAreaElement | null };
  readonly keeper: DraftKeeper;
};

/** The words leave the field when the process has them, and what was typed meanwhile stays in it. */
function useSending({ id, text, setText, writing, onWriting, field, keeper }: Sending) {
  const [isSending, setSending] = useState(false);
  const send = async (): Promise<void> => {
    const words = text.trim();
    if (words === '' || isSending) return;
    setSending(true);
    keeper.hold();
    const sent =
      writing.kind === 'edit'
        ? await tried('chats.edit', { id: writing.message.id, text: words })
        : await tried('chats.send', {
            chat: id,
            text: words,
            ...(writing.kind === 'reply'
              ? { replyTo: { author: writing.message.author, id: writing.message.id } }
              : {}),
          });
    setSending(false);
    keeper.release();
    if (sent === undefined) return;
    // What was typed meanwhile stays.
    const now = field.current?.value ?? '';
    const rest = now.startsWith(text) ? now.slice(text.length).trimStart() : '';
    if (writing.kind === 'edit') {
      onWriting({ kind: 'new' });
    } else {
      setText(rest);
      keeper.sent(rest);
      if (writing.kind === 'reply') onWriting({ kind: 'new' });
    }
    field.current?.focus();
  };
  return { isSending, send };
}

/** Another tab has written in this chat: shown here, unless something of this tab is on its way to the process. */
function useForeignDraft(
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

class DraftKeeper {
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

function useDraft(id: string): DraftKeeper {
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
