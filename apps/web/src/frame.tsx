// The page once somebody is signed in: where one can go, the list of chats, and what is open beside it. On a narrow page one
// of them at a time. Knows nothing of messages.
import { Icon, type IconName } from './parts/icon.tsx';
import { type Route, go, route } from './route.ts';
import { ChatList } from './screens/chat-list.tsx';
import { Conversation } from './screens/conversation.tsx';
import { Overlays } from './screens/overlays.tsx';
import { Requests } from './screens/requests.tsx';
import { Settings } from './screens/settings.tsx';
import type { PageError } from '@drawbridge/cli/page/protocol';
import { faultWords, line } from './calls.ts';
import { chatOf, link, notices, requests } from './store.ts';
import { t, tn } from './strings.ts';

export function Frame() {
  const { screen } = route.value;
  return (
    <div class="frame" data-screen={screen}>
      <Places />
      <main>
        <div class="list-side">
          <LinkState />
          <ChatList />
        </div>
        <div class="open-side">
          <Open />
        </div>
      </main>
      <Overlays />
    </div>
  );
}

function Open() {
  const at = route.value;
  if (at.screen === 'requests') return <Requests />;
  if (at.screen === 'settings') return <Settings />;
  if (at.screen === 'chat') return <Conversation key={at.id} id={at.id} chat={chatOf(at.id)} />;
  return (
    <div class="nothing">
      <Icon name="bridge" class="mark" />
      <p>{t('chooseChat')}</p>
    </div>
  );
}

function Places() {
  const { screen } = route.value;
  const waiting = requests.value.length;
  const noticed = notices.value.length;
  return (
    <nav class="places" aria-label={t('appName')}>
      <Place
        to={{ screen: 'chats' }}
        icon="chats"
        label={t('chats')}
        isHere={screen === 'chats' || screen === 'chat'}
      />
      <Place
        {...{ to: { screen: 'requests' }, icon: 'requests', label: t('requests'), isHere: screen === 'requests' }}
        {...{ count: waiting, countWords: tn('requestsWaiting', waiting) }}
      />
      <Place
        {...{ to: { screen: 'settings' }, icon: 'settings', label: t('settings'), isHere: screen === 'settings' }}
        {...{ count: noticed, countWords: t('noticesTitle') }}
      />
    </nav>
  );
}

type PlaceProps = {
  readonly to: Route;
  readonly icon: IconName;
  readonly label: string;
  readonly isHere: boolean;
  readonly count?: number;
  readonly countWords?: string;
};

function Place({ to, icon, label, isHere, count = 0, countWords = '' }: PlaceProps) {
  return (
    <button type="button" class="place" aria-current={isHere ? 'page' : undefined} onClick={() => go(to)}>
      <Icon name={icon} />
      <span>{label}</span>
      {count > 0 && (
        <span class="badge">
          <span aria-hidden="true">{count}</span>
          <span class="unseen">{countWords}</span>
        </span>
      )}
    </button>
  );
}

/** Nothing is said while all is well. */
function LinkState() {
  const words = linkWords();
  return (
    <div class="link" role="status">
      {words !== undefined && <p>{words}</p>}
    </div>
  );
}

/** That nothing answers needs no words of its own. */
const plain: ReadonlySet<string> = new Set(['unreachable', 'timed-out', 'not-connected', 'closed']);

function reason(error: PageError | undefined): string {
  return error === undefined || plain.has(error.code) ? '' : ` ${faultWords(error)}`;
}

function linkWords(): string | undefined {
  if (line.value !== 'open') return t('pageOffline');
  switch (link.value.kind) {
    case 'online':
      return undefined;
    case 'connecting':
      return t('linkConnecting');
    case 'waiting':
      return t('linkWaiting') + reason(link.value.error);
    case 'stopped':
      return t('linkStopped') + reason(link.value.error);
  }
}
