// The list of chats, newest first. Knows nothing of what is said in them.
import type { ChatView } from '@drawbridge/cli/page/views';
import { useState } from 'preact/hooks';
import { chatName, serviceOf, shortTime, summary } from '../format.ts';
import { Icon } from '../parts/icon.tsx';
import { Avatar } from '../parts/person.tsx';
import { go, route } from '../route.ts';
import { overlay } from '../shortcuts.ts';
import { archivedChats, hasMoreChats, loadMoreChats, openChats, typingUntil } from '../store.ts';
import { t, tn } from '../strings.ts';

export function ChatList() {
  const [isArchiveShown, setArchiveShown] = useState(false);
  const listed = openChats.value;
  const archived = archivedChats.value;
  return (
    <section class="chats" aria-label={t('chatList')}>
      <header class="bar">
        {/* What is open beside it has the first heading. */}
        {route.value.screen === 'chats' ? <h1>{t('chats')}</h1> : <h2>{t('chats')}</h2>}
        <span class="bar-acts">
          <button
            type="button"
            class="quiet"
            aria-label={t('search')}
            title={t('search')}
            onClick={() => {
              overlay.value = 'search';
            }}
          >
            <Icon name="search" />
          </button>
          <button
            type="button"
            class="quiet"
            onClick={() => {
              overlay.value = 'find';
            }}
          >
            <Icon name="plus" />
            <span>{t('newChat')}</span>
          </button>
        </span>
      </header>
      {listed.length === 0 && archived.length === 0 && <NoChats />}
      <ul class="rows" onKeyDown={moveInList}>
        {listed.map(chat => (
          <Row key={chat.id} chat={chat} />
        ))}
        {isArchiveShown && archived.map(chat => <Row key={chat.id} chat={chat} />)}
      </ul>
      {hasMoreChats.value && (
        <button type="button" class="wide" onClick={loadMoreChats}>
          {t('showMore')}
        </button>
      )}
      {archived.length > 0 && (
        <button
          type="button"
          class="wide"
          aria-expanded={isArchiveShown}
          onClick={() => setArchiveShown(!isArchiveShown)}
        >
          {t(isArchiveShown ? 'hideArchived' : 'showArchived')}
        </button>
      )}
    </section>
  );
}

function NoChats() {
  return (
    <div class="empty">
      <p>
        <strong>{t('noChats')}</strong>
      </p>
      <p>{t('noChatsText')}</p>
      <button type="button" onClick={() => go({ screen: 'settings' })}>
        {t('chooseReach')}
      </button>
    </div>
  );
}

function Row({ chat }: { readonly chat: ChatView }) {
  const at = route.value;
  const isHere = at.screen === 'chat' && at.id === chat.id;
  const isTyping = typingUntil.value[chat.id] !== undefined;
  return (
    <li>
      <button
        type="button"
        class="row"
        aria-current={isHere ? 'true' : undefined}
        onClick={() => go({ screen: 'chat', id: chat.id })}
      >
        <Avatar person={chat.person} />
        <span class="row-main">
          <span class="row-top">
            <bdi class="row-name">{chatName(chat)}</bdi>
            {chat.pinned && <Mark icon="pin" words={t('pinned')} />}
            {chat.muted && <Mark icon="mute" words={t('muted')} />}
            <time>{shortTime(chat.lastAtMs)}</time>
          </span>
          <span class="row-service">{chat.isSelf ? '' : serviceOf(chat.person)}</span>
          <span class="row-top">
            <bdi class="row-last">{isTyping ? t('typing', { name: chatName(chat) }) : lastWords(chat)}</bdi>
            {chat.unread > 0 && (
              <span class="badge">
                <span aria-hidden="true">{chat.unread}</span>
                <span class="unseen">{tn('unread', chat.unread)}</span>
              </span>
            )}
          </span>
        </span>
      </button>
    </li>
  );
}

function Mark({ icon, words }: { readonly icon: 'pin' | 'mute'; readonly words: string }) {
  return (
    <>
      <Icon name={icon} class="small" />
      <span class="unseen">{words}</span>
    </>
  );
}

function lastWords({ draft, last }: ChatView): string {
  if (draft !== '') return `${t('draft')} ${draft}`;
  if (last === undefined) return '';
  return last.mine ? `${t('you')}: ${summary(last)}` : summary(last);
}

/** Arrow keys go from row to row. */
function moveInList(event: KeyboardEvent & { readonly currentTarget: HTMLElement }): void {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step === undefined) return;
  const rows = [...event.currentTarget.querySelectorAll<HTMLElement>('.row')];
  const next = rows[rows.findIndex(row => row === document.activeElement) + step];
  if (next === undefined) return;
  event.preventDefault();
  next.focus();
}
