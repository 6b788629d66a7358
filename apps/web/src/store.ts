// What the page knows, as signals, and how events change it. The process is the source: after a gap everything is asked for
// again. Knows nothing of how it is shown.
import { batch, computed, signal } from '@preact/signals';
import type {
  CommandArguments,
  CommandName,
  CommandResult,
  LinkState,
  PageError,
  PageEvent,
  PlacedMessage,
  SessionState,
} from '@drawbridge/cli/page/protocol';
import type { ChatView, ConsentView, MessageView, NoticeView, RequestView } from '@drawbridge/cli/page/views';
import { CommandFailed, Connection, type Line } from './connection.ts';
import { named, t } from './strings.ts';

const chatsPerPage = 200;
const messagesPerPage = 60;
const newestMessages = 40;
/** Several changes at once are one question. */
const gatherMs = 60;
const typingShownMs = 12_000;
const toastMs = 6_000;

export const line = signal<Line>('opening');
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
export const toast = signal<{ readonly text: string; readonly isFault: boolean } | undefined>(undefined);
/** Said by screen readers, shown to nobody. */
export const announcement = signal('');

export type OpenMessages = {
  readonly chat: string;
  /** Oldest first. */
  readonly rows: readonly PlacedMessage[];
  readonly isWhole: boolean;
};
export const messages = signal<OpenMessages | undefined>(undefined);
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

const connection = new Connection({
  onLine: state => {
    line.value = state;
  },
  onWelcome: welcome => {
    batch(() => {
      session.value = welcome.session;
      link.value = welcome.link;
    });
    if (welcome.mode === 'reset' && welcome.session.kind === 'open') loadAll();
  },
  onEvent: take,
});

export function start(): Promise<void> {
  return connection.start();
}

export function retryLine(): void {
  connection.retry();
}

export function call<N extends CommandName>(name: N, given: CommandArguments<N>): Promise<CommandResult<N>> {
  return connection.call(name, given);
}

/** As `call`; what fails is said to the person, and gives undefined. */
export async function tried<N extends CommandName>(
  name: N,
  given: CommandArguments<N>,
): Promise<{ readonly value: CommandResult<N> } | undefined> {
  try {
    return { value: await call(name, given) };
  } catch (error) {
    if (!(error instanceof CommandFailed)) throw error;
    say(faultWords(error.error), true);
    return undefined;
  }
}

export function faultWords({ code }: PageError): string {
  const name = named(`failed_${code}`);
  return name === undefined ? t('failed', { code }) : t(name);
}

let toastTimer: ReturnType<typeof setTimeout> | undefined;

export function say(text: string, isFault = false): void {
  toast.value = { text, isFault };
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => {
    toast.value = undefined;
  }, toastMs);
}

function loadAll(): void {
  loadChats();
  loadPeople();
  loadNotices();
  const open = messages.value;
  if (open !== undefined) void openMessages(open.chat);
}

/** Runs soon, once, however often it is asked for; again when it is asked for meanwhile. */
function gathered(run: () => Promise<void>): () => void {
  let state: 'idle' | 'due' | 'running' | 'again' = 'idle';
  const go = (): void => {
    state = 'due';
    setTimeout(() => {
      state = 'running';
      void run().finally(() => {
        if (state === 'again') go();
        else state = 'idle';
      });
    }, gatherMs);
  };
  return () => {
    if (state === 'idle') go();
    else if (state === 'running') state = 'again';
  };
}

/** What can't be had now (there is no connection) stays as it was, and is asked for again when there is one. */
async function quietly<N extends CommandName>(
  name: N,
  given: CommandArguments<N>,
): Promise<CommandResult<N> | undefined> {
  try {
    return await call(name, given);
  } catch (error) {
    if (error instanceof CommandFailed) return undefined;
    throw error;
  }
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

const keyOf = ({ author, id }: { readonly author: string; readonly id: string }): string => `${author} ${id}`;

/** Later ones win; oldest first. */
function merged(rows: readonly PlacedMessage[], more: readonly PlacedMessage[]): PlacedMessage[] {
  const byKey = new Map([...rows, ...more].map(row => [keyOf(row.message), row]));
  return [...byKey.values()].sort((a, b) => a.sequence - b.sequence);
}

/** The newest page of a chat, from nothing. */
export async function openMessages(chat: string): Promise<void> {
  if (messages.value?.chat !== chat) messages.value = { chat, rows: [], isWhole: false };
  const rows = await quietly('chats.messages', { chat, limit: messagesPerPage });
  if (rows === undefined || messages.value?.chat !== chat) return;
  messages.value = { chat, rows: merged([], rows), isWhole: rows.length < messagesPerPage };
}

let earlierOf: string | undefined;

export async function loadEarlier(): Promise<void> {
  const open = messages.value;
  const before = open?.rows[0]?.sequence;
  if (open === undefined || open.isWhole || before === undefined || earlierOf === open.chat) return;
  earlierOf = open.chat;
  const rows = await quietly('chats.messages', { chat: open.chat, limit: messagesPerPage, before });
  earlierOf = undefined;
  const now = messages.value;
  if (rows === undefined || now?.chat !== open.chat) return;
  messages.value = { ...now, rows: merged(rows, now.rows), isWhole: rows.length < messagesPerPage };
}

const loadNewest = gathered(async () => {
  const chat = messages.value?.chat;
  if (chat === undefined) return;
  const rows = await quietly('chats.messages', { chat, limit: newestMessages });
  const now = messages.value;
  if (rows === undefined || now?.chat !== chat) return;
  const known = new Set(now.rows.map(row => keyOf(row.message)));
  // More came than one page: what lies between is not here.
  const isGap =
    now.rows.length > 0 && rows.length === newestMessages && !rows.some(row => known.has(keyOf(row.message)));
  if (isGap) await openMessages(chat);
  else messages.value = { ...now, rows: merged(now.rows, rows) };
});

function takeMessage(change: string, message: MessageView): void {
  const open = messages.value;
  if (open?.chat !== message.chat) return;
  const at = open.rows.findIndex(row => keyOf(row.message) === keyOf(message));
  if (change === 'removed') {
    messages.value = { ...open, rows: open.rows.filter((_, index) => index !== at) };
  } else if (at === -1) {
    loadNewest();
  } else {
    messages.value = { ...open, rows: open.rows.with(at, { ...open.rows[at]!, message }) };
  }
}

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
      if (event.change === 'new' && !event.message.mine) quiet(event.message.chat);
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
    case 'people':
      return loadPeople();
    case 'notices':
      return loadNotices();
  }
}

/** They are not writing any more. */
function quiet(chat: string): void {
  if (typingUntil.value[chat] === undefined) return;
  const { [chat]: _, ...others } = typingUntil.value;
  typingUntil.value = others;
}
