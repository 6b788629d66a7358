// A chat that is open: who it is with, what was said, what is written. Knows nothing of the list of chats.
import type { ChatView, MessageView, PersonView } from '@drawbridge/cli/page/views';
import { useEffect, useState } from 'preact/hooks';
import { duration, nameOf, serviceOf, summary } from '../format.ts';
import { ScreenBar } from '../parts/bar.tsx';
import { Icon } from '../parts/icon.tsx';
import { Avatar } from '../parts/person.tsx';
import { go } from '../route.ts';
import { announcement, tried } from '../calls.ts';
import { messages, openMessages } from '../messages.ts';
import { people, standing, typingUntil } from '../store.ts';
import { t, tn } from '../strings.ts';
import { Composer, type Writing } from './composer.tsx';
import { Details } from './details.tsx';
import { MessageList } from './message-list.tsx';
import { Requests } from './requests.tsx';
import { Search } from './search.tsx';
import { filesOf, SendFiles } from './send-files.tsx';
import { UnsentFiles } from './unsent-files.tsx';

type Props = { readonly id: string; readonly chat: ChatView | undefined };

export function Conversation({ id, chat }: Props) {
  const person = usePerson(id, chat);
  const [writing, setWriting] = useState<Writing>({ kind: 'new' });
  const [isDetailed, setDetailed] = useState(false);
  const [isSearching, setSearching] = useState(false);
  const [files, setFiles] = useState<readonly File[]>([]);
  useEffect(() => void openMessages(id), [id]);
  useReading(id, chat);
  const newest = messages.value?.chat === id ? messages.value.rows.at(-1)?.message : undefined;
  useAnnouncements(newest, nameOf(person));
  const state = standing(id);
  if (state === 'request') return <Requests />;
  const name = chat?.isSelf === true ? t('yourself') : nameOf(person);
  const canWrite = chat?.isSelf !== true && chat?.readOnly !== true && state === undefined;
  return (
    <section
      class="conversation"
      aria-label={t('conversationWith', { name })}
      {...(canWrite ? dropping(setFiles) : {})}
    >
      <ScreenBar
        title={
          <button type="button" class="who" onClick={() => setDetailed(true)}>
            <Avatar person={person} />
            <span>
              <bdi>{name}</bdi>
              <small>{chat?.isSelf === true ? '' : serviceOf(person)}</small>
            </span>
          </button>
        }
      >
        <button type="button" class="quiet" aria-label={t('searchHere')} onClick={() => setSearching(true)}>
          <Icon name="search" />
        </button>
        <button type="button" class="quiet" aria-label={t('details')} onClick={() => setDetailed(true)}>
          <Icon name="more" />
        </button>
      </ScreenBar>
      {chat !== undefined && <Banners chat={chat} />}
      <MessageList
        {...{ id, name }}
        onReply={message => setWriting({ kind: 'reply', message })}
        onEdit={message => setWriting({ kind: 'edit', message })}
        onDetails={() => setDetailed(true)}
        person={person}
      />
      <p class="typing" aria-live="polite">
        {typingUntil.value[id] === undefined ? '' : t('typing', { name })}
      </p>
      <UnsentFiles id={id} />
      <Foot {...{ id, chat, name, state, writing }} onWriting={setWriting} onFiles={setFiles} />
      {files.length > 0 && <SendFiles {...{ chat: id, files }} onClose={() => setFiles([])} />}
      {isSearching && <Search chat={id} onClose={() => setSearching(false)} />}
      {isDetailed && <Details {...{ id, chat, person }} onClose={() => setDetailed(false)} />}
    </section>
  );
}

/** Files may be dropped anywhere on the chat; while they are over it, it shows that. */
function dropping(onFiles: (files: readonly File[]) => void) {
  const mark = (event: DragEvent, isOver: boolean): void => {
    if (event.dataTransfer?.types.includes('Files') !== true) return;
    event.preventDefault();
    if (event.currentTarget instanceof Element) event.currentTarget.classList.toggle('dropping', isOver);
  };
  return {
    onDragOver: (event: DragEvent) => mark(event, true),
    onDragLeave: (event: DragEvent) => mark(event, false),
    onDrop: (event: DragEvent) => {
      mark(event, false);
      onFiles(filesOf(event.dataTransfer));
    },
  };
}

/** Somebody who was only looked up is in no list yet. */
function usePerson(id: string, chat: ChatView | undefined): PersonView {
  const [asked, setAsked] = useState<PersonView>();
  const isListed = chat !== undefined;
  useEffect(() => {
    if (!isListed) void tried('people.get', { chat: id }).then(found => setAsked(found?.value));
  }, [id, isListed]);
  return chat?.person ?? asked ?? { id, doubts: [] };
}

/** What is on a screen that somebody looks at is read; nothing is before they were let in. */
function useReading(id: string, chat: ChatView | undefined): void {
  const unread = chat?.unread ?? 0;
  const isLetIn = (chat?.contact !== undefined || people.value !== undefined) && standing(id) === undefined;
  useEffect(() => {
    const read = (): void => {
      if (unread > 0 && isLetIn && document.visibilityState === 'visible') void tried('chats.markRead', { chat: id });
    };
    read();
    document.addEventListener('visibilitychange', read);
    return () => document.removeEventListener('visibilitychange', read);
  }, [id, unread, isLetIn]);
}

/** What comes in while the chat is open is said aloud; what is there already is not. */
function useAnnouncements(newest: MessageView | undefined, name: string): void {
  const [said, setSaid] = useState<string>();
  const key = newest === undefined ? undefined : `${newest.author} ${newest.id}`;
  useEffect(() => {
    if (key === undefined || key === said) return;
    if (said !== undefined && newest !== undefined && !newest.mine) {
      announcement.value = t('newFrom', { name, text: summary(newest) });
    }
    setSaid(key);
  }, [key, said]);
}

function Banners({ chat: { id, timerSeconds, missing } }: { readonly chat: ChatView }) {
  return (
    <>
      {timerSeconds > 0 && (
        <p class="banner">
          <Icon name="clock" /> <span>{t('timerOn', { time: duration(timerSeconds) })}</span>
        </p>
      )}
      {missing > 0 && (
        <p class="banner warning">
          <Icon name="warning" /> <span>{tn('missing', missing)}</span>
          <button type="button" onClick={() => void tried('chats.dismissMissing', { chat: id })}>
            {t('dismiss')}
          </button>
        </p>
      )}
    </>
  );
}

type FootProps = Props & {
  readonly name: string;
  readonly state: ReturnType<typeof standing>;
  readonly writing: Writing;
  readonly onWriting: (writing: Writing) => void;
  readonly onFiles: (files: readonly File[]) => void;
};

function Foot({ id, chat, name, state, writing, onWriting, onFiles }: FootProps) {
  if (chat?.isSelf === true) return null;
  if (chat?.readOnly === true) {
    return (
      <p class="banner">
        <span>{t('readOnlyOptedOut')}</span>
        <button type="button" onClick={() => go({ screen: 'settings' })}>
          {t('chooseReach')}
        </button>
      </p>
    );
  }
  if (state === undefined) return <Composer {...{ id, name, writing, onWriting, onFiles }} draft={chat?.draft ?? ''} />;
  const isBlocked = state === 'blocked';
  const decision = isBlocked ? 'unblock' : 'accept';
  return (
    <p class="banner">
      <span>{t(isBlocked ? 'readOnlyBlocked' : 'readOnlyDenied')}</span>
      <button type="button" onClick={() => void tried('people.decide', { chat: id, decision })}>
        {t(isBlocked ? 'unblock' : 'acceptAfterAll')}
      </button>
    </p>
  );
}
