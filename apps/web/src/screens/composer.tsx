// Where one writes. What is typed is kept by the process within a moment, so that no tab that dies takes it along; it leaves
// the field only once the process has taken the message. Knows nothing of what is shown above it.
import type { MessageView } from '@drawbridge/cli/page/views';
import { useEffect, useRef, useState } from 'preact/hooks';
import { summary } from '../format.ts';
import { EmojiChoice } from '../parts/emoji.tsx';
import { Icon } from '../parts/icon.tsx';
import { tried } from '../calls.ts';
import { t } from '../strings.ts';
import { More } from './composer-more.tsx';
import { type DraftKeeper, useDraft, useForeignDraft } from './draft-keeper.ts';
import { filesOf } from './send-files.tsx';
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

export function Composer({ id, name, draft, writing, onWriting, onFiles }: Props) {
  const [isRecording, setRecording] = useState(false);
  const [isChoosing, setChoosing] = useState(false);
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
  const insert = (emoji: string): void => {
    const { selectionStart = text.length, selectionEnd = text.length } = field.current ?? {};
    input(text.slice(0, selectionStart) + emoji + text.slice(selectionEnd));
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
          {!isEdit && <More chat={id} onFiles={onFiles} />}
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
          <Buttons
            canRecord={text === '' && writing.kind === 'new'}
            isEmpty={text.trim() === ''}
            isSending={isSending}
            onEmoji={() => setChoosing(true)}
            onRecord={() => setRecording(true)}
          />
        </div>
      )}
      {isChoosing && <EmojiChoice onClose={() => setChoosing(false)} onChoose={insert} />}
    </form>
  );
}

type ButtonsProps = {
  readonly canRecord: boolean;
  readonly isEmpty: boolean;
  readonly isSending: boolean;
  readonly onEmoji: () => void;
  readonly onRecord: () => void;
};

function Buttons({ canRecord, isEmpty, isSending, onEmoji, onRecord }: ButtonsProps) {
  return (
    <>
      <button type="button" class="quiet round wide-only" aria-label={t('insertEmoji')} onClick={onEmoji}>
        <Icon name="smile" />
      </button>
      {canRecord ? (
        <button type="button" class="round" aria-label={t('recordVoice')} onClick={onRecord}>
          <Icon name="microphone" />
        </button>
      ) : (
        <button
          type="submit"
          class="primary round"
          aria-label={t(isSending ? 'sending' : 'send')}
          disabled={isSending || isEmpty}
        >
          <Icon name="send" class="mirrored" />
        </button>
      )}
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
