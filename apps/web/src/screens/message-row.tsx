// One message, or a line of the chat that is nobody's. What others wrote becomes text, never markup.
// Knows nothing of its neighbours.
import type { ContactView, MessageView, PlaceView } from '@drawbridge/cli/page/views';
import { duration, kindWords, noticePlace, noticeWords, timeOf } from '../format.ts';
import { jumpToName } from '../messages.ts';
import { Attachment } from '../parts/attachment.tsx';
import { Icon } from '../parts/icon.tsx';
import { copy, faultWords, tried } from '../calls.ts';
import { go } from '../route.ts';
import { type StringName, t, tn } from '../strings.ts';

type Props = {
  readonly message: MessageView;
  readonly name: string;
  readonly day: string | undefined;
  readonly isJoined: boolean;
  readonly isCurrent: boolean;
  readonly onCurrent: () => void;
  readonly onActions: () => void;
  readonly onDetails: () => void;
  readonly onOnce: () => void;
};

export function MessageRow(props: Props) {
  const { message, day, isJoined, isCurrent, onCurrent, onActions } = props;
  const isNotice = message.kind === 'notice';
  const side = message.mine ? 'mine' : 'theirs';
  return (
    <li
      class={isNotice ? 'line' : `message ${side} ${isJoined ? 'joined' : ''}`}
      data-key={`${message.author} ${message.id}`}
      tabIndex={isCurrent ? 0 : -1}
      onFocus={onCurrent}
      onKeyDown={event => {
        if (event.key !== 'Enter' || event.target !== event.currentTarget || isNotice) return;
        event.preventDefault();
        onActions();
      }}
    >
      {day !== undefined && <p class="day">{day}</p>}
      {isNotice ? <NoticeLine {...props} /> : <Bubble {...props} />}
    </li>
  );
}

function NoticeLine({ message, isCurrent, onDetails }: Props) {
  const place = message.notice === undefined ? undefined : noticePlace(message.notice);
  const look = place === 'devices' ? () => go({ screen: 'settings' }) : onDetails;
  return (
    <p class="notice">
      <Icon name="warning" /> <span>{noticeWords(message)}</span>{' '}
      {place !== undefined && (
        <button type="button" class="text" tabIndex={isCurrent ? 0 : -1} onClick={look}>
          {t(place === 'devices' ? 'noticeDevices' : 'noticeCheck')}
        </button>
      )}
    </p>
  );
}

function Bubble({ message, name, isCurrent, onActions, onOnce }: Props) {
  const tabIndex = isCurrent ? 0 : -1;
  return (
    <>
      <div class="bubble">
        <span class="unseen">{message.mine ? t('you') : name}</span>
        <Quote {...{ message, name, tabIndex }} />
        <Body {...{ message, tabIndex, onOnce }} />
        <p class="meta">
          {message.expiresAfterSeconds !== undefined && (
            <span title={t('disappears', { time: duration(message.expiresAfterSeconds) })}>
              <Icon name="clock" class="small" />
              <span class="unseen">{t('disappears', { time: duration(message.expiresAfterSeconds) })}</span>
            </span>
          )}
          {message.edited && <span>{t('edited')}</span>}
          <time>{timeOf(message.sentAtMs)}</time>
          {message.mine && <State message={message} />}
        </p>
        <button type="button" class="quiet act" aria-label={t('messageActions')} {...{ tabIndex }} onClick={onActions}>
          <Icon name="more" />
        </button>
      </div>
      <Reactions message={message} tabIndex={tabIndex} />
      {message.state === 'failed' && <Failed message={message} />}
    </>
  );
}

function Quote({
  message: { replyTo },
  name,
  tabIndex,
}: Pick<Props, 'message' | 'name'> & { readonly tabIndex: number }) {
  if (replyTo === undefined) return null;
  const excerpt = replyTo.original === 'gone' ? t('quoteGone') : replyTo.excerpt;
  return (
    <blockquote dir="auto">
      <span class="unseen">{t('replyingTo', { name })} </span>
      {replyTo.original === 'here' ? (
        <button type="button" class="quoted" tabIndex={tabIndex} onClick={() => void jumpToName(replyTo)}>
          {excerpt}
        </button>
      ) : (
        excerpt || t('quoteNotHere')
      )}
    </blockquote>
  );
}

type BodyProps = Pick<Props, 'message' | 'onOnce'> & { readonly tabIndex: number };

function Body({ message, tabIndex, onOnce }: BodyProps) {
  const { poll, attachments, author, id } = message;
  if (poll !== undefined) return <Poll {...{ message, poll, tabIndex }} />;
  if (message.place !== undefined) return <Place place={message.place} tabIndex={tabIndex} />;
  if (message.contacts !== undefined) return <Contacts contacts={message.contacts} tabIndex={tabIndex} />;
  const kind = attachments.length > 0 ? '' : kindWords(message);
  return (
    <>
      {attachments.map((file, index) => (
        <Attachment key={index} {...{ file, index, tabIndex }} message={{ author, id }} />
      ))}
      {kind !== '' && (
        <p class="kind" dir="auto">
          {kind}
        </p>
      )}
      {message.kind === 'view-once' && !message.mine && (
        <button type="button" {...{ tabIndex }} onClick={onOnce}>
          {t('openOnce')}
        </button>
      )}
      {message.text !== '' && (
        <p class="text" dir="auto">
          {message.text}
        </p>
      )}
    </>
  );
}

function Place({ place, tabIndex }: { readonly place: PlaceView; readonly tabIndex: number }) {
  const degrees = `${place.latitude}, ${place.longitude}`;
  return (
    <div class="card-in">
      <p class="kind">{t('kindLocation')}</p>
      {place.name !== '' && <p dir="auto">{place.name}</p>}
      <p dir="ltr">{degrees}</p>
      <button type="button" {...{ tabIndex }} onClick={() => void copy(degrees)}>
        {t('copyPlace')}
      </button>
    </div>
  );
}

function Contacts({ contacts, tabIndex }: { readonly contacts: readonly ContactView[]; readonly tabIndex: number }) {
  return (
    <ul class="card-in">
      {contacts.map(({ name, more, id }, at) => (
        <li key={at}>
          <p class="kind">{t('kindContacts')}</p>
          <bdi>{name}</bdi>
          {more.map((each, index) => (
            <p key={index} dir="auto">
              {each}
            </p>
          ))}
          {id !== undefined && (
            <button type="button" {...{ tabIndex }} onClick={() => go({ screen: 'chat', id })}>
              {t('writeToContact')}
            </button>
          )}
        </li>
      ))}
    </ul>
  );
}

type PollProps = {
  readonly message: MessageView;
  readonly poll: NonNullable<MessageView['poll']>;
  readonly tabIndex: number;
};

function Poll({ message: { author, id }, poll, tabIndex }: PollProps) {
  const chosen = poll.options.flatMap(({ mine }, at) => (mine ? [at] : []));
  const vote = (at: number, isMine: boolean): void => {
    const kept = chosen.filter(each => each !== at);
    // The one that was chosen first makes room.
    const others =
      isMine || poll.choices === 0 ? kept : kept.slice(kept.length - Math.min(kept.length, poll.choices - 1));
    void tried('chats.vote', { author, id, options: isMine ? others : [...others, at] });
  };
  return (
    <div class="poll">
      <p class="kind">{t(poll.closed ? 'pollClosed' : 'poll')}</p>
      <p dir="auto">{poll.question}</p>
      <ul>
        {poll.options.map(({ text, count, mine }, at) => (
          <li key={at}>
            <button
              type="button"
              aria-pressed={mine}
              disabled={poll.closed}
              {...{ tabIndex }}
              onClick={() => vote(at, mine)}
            >
              <span dir="auto">{text}</span> <small>{tn('votes', count)}</small>
            </button>
          </li>
        ))}
      </ul>
    </div>
  );
}

const states: Readonly<Record<string, readonly [StringName, 'clock' | 'tick' | 'ticks' | 'warning']>> = {
  queued: ['stateQueued', 'clock'],
  held: ['stateHeld', 'warning'],
  sent: ['stateSent', 'tick'],
  delivered: ['stateDelivered', 'ticks'],
  read: ['stateRead', 'ticks'],
  played: ['statePlayed', 'ticks'],
  failed: ['stateFailed', 'warning'],
};

function State({ message: { state } }: { readonly message: MessageView }) {
  const [words, icon] = states[state ?? ''] ?? [];
  if (words === undefined || icon === undefined) return null;
  return (
    <span class="state" data-state={state} title={t(words)}>
      <Icon name={icon} class="small" />
      <span class="unseen">{t(words)}</span>
    </span>
  );
}

function Reactions({ message, tabIndex }: { readonly message: MessageView; readonly tabIndex: number }) {
  if (message.reactions.length === 0) return null;
  const { author, id } = message;
  return (
    <ul class="reactions">
      {message.reactions.map(({ emoji, count, mine }) => (
        <li key={emoji}>
          <button
            type="button"
            aria-pressed={mine}
            aria-label={t('reactionsWith', { emoji, count })}
            tabIndex={tabIndex}
            onClick={() => void tried('chats.react', { author, id, emoji: mine ? '' : emoji })}
          >
            {emoji} {count > 1 ? count : ''}
          </button>
        </li>
      ))}
    </ul>
  );
}

function Failed({ message: { id, failure } }: { readonly message: MessageView }) {
  const why = failure === undefined ? '' : faultWords({ code: failure, text: '', retry: false });
  return (
    <div class="failed">
      <p>{[t('stateFailed'), why].filter(each => each !== '').join('. ')}</p>
      <button type="button" onClick={() => void tried('chats.resend', { id })}>
        {t('resend')}
      </button>
      <button type="button" onClick={() => void tried('chats.drop', { id })}>
        {t('drop')}
      </button>
    </div>
  );
}
