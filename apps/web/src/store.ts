// What the page knows, as signals, and how events change it. The process is the source: after a gap everything is asked for
// again. Knows nothing of how it is shown.
import { batch, computed, signal } from '@preact/signals';
import type { LinkState, PageEvent, SessionState } from '@drawbridge/cli/page/protocol';
import type { ChatView, ConsentView, MessageView, NoticeView, RequestView } from '@drawbridge/cli/page/views';
import { gathered, quietly, start } from './calls.ts';
import { loadUnsent, takeUnsent } from './files.ts';
import { chatName } from './format.ts';
import { messages, openMessages, takeMessage } from './messages.ts';
import { notify } from './notify.ts';
import { go } from './route.ts';

const chatsPerPage = 200;
const typingShownMs = 12_000;

export const session = signal<SessionState | undefined>(undefined);
export const link = signal<LinkState>({ kind: 'connecting' });
export const chats = signal<readonly ChatView[]>([]);
export const archivedChats = signal<readonly ChatView[]>([]);
export const hasMoreChats = signal(false);
/** Undefined: not known yet. */
export const people = signal<readonly RequestView[] | undefined>(undefined);
export const consent = signal<readonly ConsentView[] | undefined>(undefined);
export const notices = signal<readonly NoticeView[]>([]);
export const typingUntil = signal<Readonly<Record<string, number>>>({});
/** Text in the composer as another tab or an earlier one left it. */
export const drafts = signal<Readonly<Record<string, string>>>({});

export const me = computed(() => (session.value?.kind === 'open' ? session.value.me : undefined));
/** Known from the chats, also without a connection, and from the gatekeeper. */
export const requests = computed(() => {
  const listed = chats.value.filter(({ contact }) => contact === 'request').map(({ person }) => person);
  const told = (people.value ?? []).filter(
    ({ person, state }) => state === 'request' && chatOf(person.id) === undefined,
  );
  return [...listed, ...told.map(({ person }) => person)];
});
const requestIds = computed(() => new Set(requests.value.map(({ id }) => id)));
/** Chats of people who were let in. */
export const openChats = computed(() => chats.value.filter(({ id }) => !requestIds.value.has(id)));

export function chatOf(id: string): ChatView | undefined {
  return [...chats.value, ...archivedChats.value].find(chat => chat.id === id);
}

export function standing(id: string): RequestView['state'] | undefined {
  const contact = chatOf(id)?.contact;
  if (contact !== undefined) return contact === 'accepted' ? undefined : contact;
  return people.value?.find(({ person }) => person.id === id)?.state;
}

let chatPages = 1;

export function open(): Promise<void> {
  return start({
    onWelcome: welcome => {
      batch(() => {
        session.value = welcome.session;
        link.value = welcome.link;
      });
      if (welcome.mode === 'reset' && welcome.session.kind === 'open') loadAll();
    },
    onEvent: take,
  });
}

function loadAll(): void {
  loadUnsent();
  loadChats();
  loadPeople();
  loadNotices();
  const open = messages.value;
  if (open !== undefined) void openMessages(open.chat);
}

export const loadChats = gathered(async () => {
  const found: ChatView[] = [];
  let isMore = false;
  for (let page = 0; page < chatPages; page++) {
    const given = { skip: page * chatsPerPage, limit: chatsPerPage, archived: false };
    const rows = await quietly('chats.list', given);
    if (rows === undefined) return;
    found.push(...rows);
    isMore = rows.length === chatsPerPage;
    if (!isMore) break;
  }
  const archived = await quietly('chats.list', { skip: 0, limit: chatsPerPage, archived: true });
  batch(() => {
    chats.value = found;
    archivedChats.value = archived ?? archivedChats.value;
    hasMoreChats.value = isMore;
  });
});

export function loadMoreChats(): void {
  chatPages++;
  loadChats();
}

export const loadPeople = gathered(async () => {
  const found = await quietly('people.requests', {});
  if (found !== undefined) people.value = found;
  else if (link.value.kind === 'online') people.value ??= [];
  consent.value = (await quietly('account.consent', {})) ?? consent.value;
});

export const loadNotices = gathered(async () => {
  notices.value = (await quietly('notices.list', {})) ?? notices.value;
});

function take(event: PageEvent): void {
  switch (event.kind) {
    case 'session':
      session.value = event.session;
      if (event.session.kind === 'open') loadAll();
      return;
    case 'link':
      link.value = event.link;
      return;
    case 'message':
      takeMessage(event.change, event.message);
      if (event.change === 'new' && !event.message.mine) {
        quiet(event.message.chat);
        tellOf(event.message);
      }
      return;
    case 'chats':
      return loadChats();
    case 'draft':
      drafts.value = { ...drafts.value, [event.chat]: event.text };
      return;
    case 'typing':
      if (event.state === 'stopped') return quiet(event.chat);
      typingUntil.value = { ...typingUntil.value, [event.chat]: performance.now() + typingShownMs };
      setTimeout(() => {
        if ((typingUntil.value[event.chat] ?? 0) <= performance.now()) quiet(event.chat);
      }, typingShownMs + 50);
      return;
    case 'file':
      return takeUnsent(event.file, event.gone);
    case 'people':
      return loadPeople();
    case 'notices':
      return loadNotices();
  }
}

/** Who is muted, or was not let in, disturbs nobody. */
function tellOf({ chat, kind }: MessageView): void {
  const known = chatOf(chat);
  if (kind === 'notice' || known === undefined || known.muted || known.archived || standing(chat) !== undefined) return;
  notify(chatName(known), chat, () => go({ screen: 'chat', id: chat }));
}

/** They are not writing any more. */
function quiet(chat: string): void {
  if (typingUntil.value[chat] === undefined) return;
  const { [chat]: _, ...others } = typingUntil.value;
  typingUntil.value = others;
}
