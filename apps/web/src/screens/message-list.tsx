// What was said in a chat: a window of rows that moves over the whole of it, so that a long chat costs no more than a short
// one. Knows nothing of writing.
import type { PlacedMessage } from '@drawbridge/cli/page/protocol';
import type { MessageView, PersonView } from '@drawbridge/cli/page/views';
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { dayName, dayOf } from '../format.ts';
import { keyOf, loadEarlier, loadLater, messages, openMessages, reached } from '../messages.ts';
import { t } from '../strings.ts';
import { MessageActions } from './message-actions.tsx';
import { MessageRow } from './message-row.tsx';
import { ViewOnce } from './view-once.tsx';

const windowRows = 160;
const stepRows = 60;
const nearPx = 700;
const sameBreathMs = 300_000;

type Props = {
  readonly id: string;
  readonly name: string;
  readonly person: PersonView;
  readonly onReply: (message: MessageView) => void;
  readonly onEdit: (message: MessageView) => void;
  readonly onDetails: () => void;
};

/** Places of the first and the last row that are shown; infinite: the list follows what comes. */
type Window = { readonly top: number; readonly bottom: number };

export function MessageList({ id, name, person, onReply, onEdit, onDetails }: Props) {
  const open = messages.value?.chat === id ? messages.value : undefined;
  const rows = open?.rows ?? [];
  const { box, shown, isFollowing, follow, onScroll } = useWindow(
    id,
    rows,
    open?.isWhole ?? false,
    open?.isNewest ?? true,
    open?.target,
  );
  const [acted, setActed] = useState<MessageView>();
  const [once, setOnce] = useState<MessageView>();
  const [current, setCurrent] = useState<string>();
  const keys = shown.map(({ message }) => keyOf(message));
  const currentKey = current !== undefined && keys.includes(current) ? current : keys.at(-1);
  return (
    <div class="list-box">
      <div class="messages" ref={box} onScroll={onScroll}>
        <p class="begin">{open?.isWhole === true ? t('startOfChat') : t('loadingEarlier')}</p>
        <ol
          aria-label={t('messagesOf')}
          onKeyDown={moveInMessages}
          onFocusOut={({ currentTarget, relatedTarget }) => {
            // Whoever comes back begins at the newest.
            if (!(relatedTarget instanceof Node && currentTarget.contains(relatedTarget))) setCurrent(undefined);
          }}
        >
          {shown.map((row, at) => (
            <MessageRow
              key={keyOf(row.message)}
              message={row.message}
              name={name}
              day={isNewDay(shown[at - 1], row) ? dayName(row.message.sentAtMs) : undefined}
              isJoined={isSameBreath(shown[at - 1], row)}
              isCurrent={keyOf(row.message) === currentKey}
              onCurrent={() => setCurrent(keyOf(row.message))}
              onActions={() => setActed(row.message)}
              onDetails={onDetails}
              onOnce={() => setOnce(row.message)}
            />
          ))}
        </ol>
      </div>
      {!isFollowing && (
        <button type="button" class="to-newest" onClick={follow}>
          {t('newest')}
        </button>
      )}
      {once !== undefined && <ViewOnce message={once} onClose={() => setOnce(undefined)} />}
      {acted !== undefined && (
        <MessageActions {...{ message: acted, person, onReply, onEdit }} onClose={() => setActed(undefined)} />
      )}
    </div>
  );
}

function isNewDay(before: PlacedMessage | undefined, row: PlacedMessage): boolean {
  return before === undefined || dayOf(before.message.sentAtMs) !== dayOf(row.message.sentAtMs);
}

function isSameBreath(before: PlacedMessage | undefined, { message }: PlacedMessage): boolean {
  if (before === undefined || before.message.kind === 'notice' || message.kind === 'notice') return false;
  return before.message.author === message.author && message.sentAtMs - before.message.sentAtMs < sameBreathMs;
}

function useWindow(
  id: string,
  rows: readonly PlacedMessage[],
  isWhole: boolean,
  isNewest: boolean,
  target: string | undefined,
) {
  const box = useRef<HTMLDivElement>(null);
  const [{ top, bottom }, setWindow] = useState<Window>({ top: -Infinity, bottom: Infinity });
  const anchor = useRef<{ readonly key: string; readonly offset: number } | undefined>(undefined);
  const isAtEnd = useRef(true);
  const first = Math.max(
    0,
    rows.findIndex(({ sequence }) => sequence >= top),
  );
  const end = bottom === Infinity ? rows.length : rows.findLastIndex(({ sequence }) => sequence <= bottom) + 1;
  if (target !== undefined) isAtEnd.current = false;
  const from = bottom === Infinity && isAtEnd.current ? Math.max(0, end - windowRows) : first;
  const shown = rows.slice(from, end);
  const isFollowing = bottom === Infinity && isAtEnd.current && isNewest;
  useLayoutEffect(() => {
    const list = box.current;
    if (list === null) return;
    if (target !== undefined) {
      setWindow({ top: -Infinity, bottom: Infinity });
      if (lead(list, target)) anchor.current = firstVisible(list);
      return;
    }
    if (bottom === Infinity && isAtEnd.current) {
      list.scrollTop = list.scrollHeight;
      return;
    }
    const { key, offset } = anchor.current ?? {};
    const held = key === undefined ? null : list.querySelector<HTMLElement>(`[data-key="${CSS.escape(key)}"]`);
    if (held !== null && offset !== undefined) list.scrollTop = held.offsetTop - offset;
  });
  const look = (): void => {
    const list = box.current;
    if (list === null || rows.length === 0) return;
    anchor.current = firstVisible(list);
    if (list.scrollTop < nearPx) {
      if (from > 0) {
        const start = Math.max(0, from - stepRows);
        const last = Math.min(rows.length, start + windowRows + stepRows);
        setWindow({ top: rows[start]!.sequence, bottom: last >= end ? bottom : rows[last - 1]!.sequence });
      } else if (!isWhole) {
        setWindow({ top: -Infinity, bottom });
        void loadEarlier();
      }
    } else if (bottom !== Infinity && list.scrollHeight - list.scrollTop - list.clientHeight < nearPx) {
      const last = Math.min(rows.length, end + stepRows);
      const start = Math.max(from, last - windowRows - stepRows);
      setWindow({ top: rows[start]!.sequence, bottom: last === rows.length ? Infinity : rows[last - 1]!.sequence });
    } else if (!isNewest && list.scrollHeight - list.scrollTop - list.clientHeight < nearPx) {
      const start = Math.max(from, rows.length - windowRows);
      if (start > from) setWindow({ top: rows[start]!.sequence, bottom });
      void loadLater();
    }
  };
  const onScroll = (): void => {
    const list = box.current;
    if (list === null) return;
    const wasAtEnd = isAtEnd.current;
    isAtEnd.current = bottom === Infinity && isNewest && list.scrollHeight - list.scrollTop - list.clientHeight < 40;
    if (wasAtEnd !== isAtEnd.current) {
      anchor.current = firstVisible(list);
      setWindow({ top: isAtEnd.current || from === 0 ? -Infinity : (rows[from]?.sequence ?? -Infinity), bottom });
    }
    look();
  };
  const follow = (): void => {
    isAtEnd.current = true;
    if (!isNewest) void openMessages(id);
    setWindow({ top: -Infinity, bottom: Infinity });
    box.current?.querySelector<HTMLElement>('li[tabindex="0"]')?.focus({ preventScroll: true });
  };
  useEndInView(id, box, isAtEnd);
  useFilled(id, box, rows.length, isWhole);
  return { box, shown, isFollowing, follow, onScroll };
}

/** To a message that somebody came for; false: it is not among the rows yet. */
function lead(list: HTMLElement, target: string): boolean {
  const found = list.querySelector<HTMLElement>(`[data-key="${CSS.escape(target)}"]`);
  if (found === null) return false;
  list.scrollTop = found.offsetTop - list.clientHeight / 3;
  found.focus({ preventScroll: true });
  reached();
  return true;
}

/** A chat that does not fill its window has nothing to scroll. */
function useFilled(
  id: string,
  box: { readonly current: HTMLDivElement | null },
  count: number,
  isWhole: boolean,
): void {
  useEffect(() => {
    const list = box.current;
    if (list !== null && !isWhole && count > 0 && list.scrollHeight <= list.clientHeight + nearPx) void loadEarlier();
  }, [id, count, isWhole]);
}

/** Pictures come, and what is below takes room: whoever is at the end stays there. */
function useEndInView(
  id: string,
  box: { readonly current: HTMLDivElement | null },
  isAtEnd: { readonly current: boolean },
): void {
  useEffect(() => {
    const list = box.current;
    if (list === null) return;
    const watch = new ResizeObserver(() => {
      if (isAtEnd.current) list.scrollTop = list.scrollHeight;
    });
    for (const each of [list, ...list.children]) watch.observe(each);
    return () => watch.disconnect();
  }, [id]);
}

function firstVisible(list: HTMLElement): { readonly key: string; readonly offset: number } | undefined {
  for (const item of list.querySelectorAll<HTMLElement>('[data-key]')) {
    if (item.offsetTop + item.offsetHeight <= list.scrollTop) continue;
    return { key: item.dataset['key'] ?? '', offset: item.offsetTop - list.scrollTop };
  }
  return undefined;
}

/** Arrow keys go from message to message, Home and End to the first and last that are shown. */
function moveInMessages(event: KeyboardEvent & { readonly currentTarget: HTMLElement }): void {
  const items = [...event.currentTarget.querySelectorAll<HTMLElement>('li[data-key]')];
  const at = items.findIndex(item => item === document.activeElement);
  if (at === -1) return;
  const next = { ArrowDown: items[at + 1], ArrowUp: items[at - 1], Home: items[0], End: items.at(-1) }[event.key];
  if (next === undefined) return;
  event.preventDefault();
  next.focus();
}
