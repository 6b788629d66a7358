// What a person can do with one message. Knows nothing of the list that it stands in.
import type { MessageView, PersonView } from '@drawbridge/cli/page/views';
import { useState } from 'preact/hooks';
import { dayName, summary, timeOf } from '../format.ts';
import { save } from '../parts/attachment.tsx';
import { Confirm, Dialog } from '../parts/dialog.tsx';
import { EmojiChoice } from '../parts/emoji.tsx';
import { Icon } from '../parts/icon.tsx';
import { copy, tried } from '../calls.ts';
import { me } from '../store.ts';
import { t } from '../strings.ts';
import { Report } from './report.tsx';

type Props = {
  readonly message: MessageView;
  readonly person: PersonView;
  readonly onReply: (message: MessageView) => void;
  readonly onEdit: (message: MessageView) => void;
  readonly onClose: () => void;
};

const quickReactions = ['👍', '❤️', '😂', '😮', '😢', '🙏'] as const;
type Asked = 'emoji' | 'delete' | 'hide' | 'versions' | 'report';

export function MessageActions(props: Props) {
  const { message, person, onClose } = props;
  const [asked, setAsked] = useState<Asked>();
  const { author, id } = message;
  if (asked === 'delete') {
    return (
      <Confirm
        {...{ title: t('deleteAll'), text: t('deleteAllText'), act: t('deleteAll'), isDanger: true, onClose }}
        onConfirm={() => void tried('chats.delete', { id })}
      />
    );
  }
  if (asked === 'hide') {
    return (
      <Confirm
        {...{ title: t('deleteMine'), text: t('deleteMineText'), act: t('deleteMine'), isDanger: true, onClose }}
        onConfirm={() => void tried('chats.hide', { author, id })}
      />
    );
  }
  if (asked === 'emoji') {
    return <EmojiChoice onClose={onClose} onChoose={emoji => void tried('chats.react', { author, id, emoji })} />;
  }
  if (asked === 'versions') return <Versions message={message} onClose={onClose} />;
  if (asked === 'report') return <Report {...{ person, message, onClose }} />;
  return <Choice {...props} onAsk={setAsked} />;
}

type QuickProps = Pick<Props, 'message' | 'onClose'> & { readonly onOther: () => void };

function Quick({ message: { author, id, reactions }, onClose, onOther }: QuickProps) {
  const reacted = reactions.find(each => each.mine)?.emoji;
  const react = (emoji: string): void => {
    void tried('chats.react', { author, id, emoji: emoji === reacted ? '' : emoji });
    onClose();
  };
  return (
    <div class="quick" role="group" aria-label={t('react')}>
      {quickReactions.map(emoji => (
        <button
          key={emoji}
          type="button"
          class="quiet"
          aria-pressed={emoji === reacted}
          aria-label={emoji === reacted ? t('reactTake', { emoji }) : emoji}
          onClick={() => react(emoji)}
        >
          {emoji}
        </button>
      ))}
      <button type="button" class="quiet" aria-label={t('reactOther')} onClick={onOther}>
        <Icon name="plus" />
      </button>
    </div>
  );
}

function Choice({ message, onReply, onEdit, onClose, onAsk }: Props & { readonly onAsk: (asked: Asked) => void }) {
  const { id, mine, text, kind } = message;
  const own = me.value?.id;
  const isLive = kind !== 'deleted' && kind !== 'lost' && message.state !== 'failed';
  const canAnswer = isLive && own !== message.chat;
  const act = (run: () => void) => (): void => {
    onClose();
    run();
  };
  return (
    <Dialog title={t('messageActions')} onClose={onClose} class="sheet">
      <blockquote dir="auto">{summary(message)}</blockquote>
      {canAnswer && <Quick message={message} onClose={onClose} onOther={() => onAsk('emoji')} />}
      <div class="choices">
        {canAnswer && (
          <button type="button" onClick={act(() => onReply(message))}>
            {t('reply')}
          </button>
        )}
        {mine && message.poll?.closed === false && isLive && (
          <button type="button" onClick={act(() => void tried('chats.closePoll', { id }))}>
            {t('pollEnd')}
          </button>
        )}
        {mine && kind === 'text' && isLive && (
          <button type="button" onClick={act(() => onEdit(message))}>
            {t('edit')}
          </button>
        )}
        {message.attachments.map((file, index) => (
          <button key={index} type="button" onClick={act(() => void save(file, message, index))}>
            {t('saveFile')} {message.attachments.length > 1 ? (file.name ?? '') : ''}
          </button>
        ))}
        {text !== '' && (
          <button type="button" onClick={act(() => void copy(text))}>
            {t('copy')}
          </button>
        )}
        {message.edited && (
          <button type="button" onClick={() => onAsk('versions')}>
            {t('versions')}
          </button>
        )}
        {!mine && (
          <button type="button" onClick={() => onAsk('report')}>
            {t('report')}
          </button>
        )}
        <button type="button" onClick={() => onAsk('hide')}>
          {t('deleteMine')}
        </button>
        {mine && isLive && (
          <button type="button" onClick={() => onAsk('delete')}>
            {t('deleteAll')}
          </button>
        )}
      </div>
    </Dialog>
  );
}

function Versions({ message: { author, id }, onClose }: Pick<Props, 'message' | 'onClose'>) {
  const [versions, setVersions] = useState<readonly { readonly text: string; readonly atMs: number }[]>([]);
  const [isAsked, setAsked] = useState(false);
  if (!isAsked) {
    setAsked(true);
    void tried('chats.versions', { author, id }).then(found => setVersions(found?.value ?? []));
  }
  return (
    <Dialog title={t('versions')} onClose={onClose}>
      <ul class="plain">
        {versions.map(({ text, atMs }, at) => (
          // Their order; two may have one time.
          <li key={at}>
            <span dir="auto">{text}</span>
            <small>
              {dayName(atMs)} {timeOf(atMs)}
            </small>
          </li>
        ))}
      </ul>
    </Dialog>
  );
}
