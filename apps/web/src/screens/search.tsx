// Words in messages: of all chats, or of one. What is found leads to where it stands. Knows nothing of how it is looked for.
import type { PlacedMessage } from '@drawbridge/cli/page/protocol';
import { useEffect, useState } from 'preact/hooks';
import { call, faultWords } from '../calls.ts';
import { CommandFailed } from '../connection.ts';
import { chatName, dayName, summary, timeOf } from '../format.ts';
import { jumpTo } from '../messages.ts';
import { Dialog } from '../parts/dialog.tsx';
import { Field } from '../parts/field.tsx';
import { go } from '../route.ts';
import { chatOf } from '../store.ts';
import { t, tn } from '../strings.ts';

const askAfterMs = 250;
/** As many as the process gives at once. */
const pageRows = 50;

type Found = { readonly rows: readonly PlacedMessage[]; readonly isWhole: boolean };
type Props = { readonly chat?: string | undefined; readonly onClose: () => void };

export function Search({ chat, onClose }: Props) {
  const [query, setQuery] = useState('');
  const [found, setFound] = useState<Found>();
  const [fault, setFault] = useState<string>();
  const words = query.trim();
  const ask = async (before: number | undefined, isWanted: () => boolean): Promise<void> => {
    try {
      const given = {
        query: words,
        ...(chat === undefined ? {} : { chat }),
        ...(before === undefined ? {} : { before }),
      };
      const rows = await call('chats.search', given);
      if (!isWanted()) return;
      setFault(undefined);
      setFound(now => ({
        rows: before === undefined ? rows : [...(now?.rows ?? []), ...rows],
        isWhole: rows.length < pageRows,
      }));
    } catch (error) {
      if (!(error instanceof CommandFailed)) throw error;
      if (isWanted()) setFault(faultWords(error.error));
    }
  };
  useEffect(() => {
    let isLatest = true;
    setFound(undefined);
    if (words === '') return;
    const timer = setTimeout(() => void ask(undefined, () => isLatest), askAfterMs);
    return () => {
      isLatest = false;
      clearTimeout(timer);
    };
  }, [words, chat]);
  return (
    <Dialog title={t(chat === undefined ? 'search' : 'searchHere')} onClose={onClose} class="tall">
      <Field label={t('searchWords')} value={query} onInput={setQuery} fault={fault} autofocus />
      <p role="status">{words === '' ? '' : foundWords(found)}</p>
      <ul class="found">
        {found?.rows.map(row => (
          <li key={`${row.message.author} ${row.message.id}`}>
            <Hit row={row} onClose={onClose} />
          </li>
        ))}
      </ul>
      {found?.isWhole === false && (
        <button type="button" class="wide" onClick={() => void ask(found.rows.at(-1)?.sequence, () => true)}>
          {t('showMore')}
        </button>
      )}
    </Dialog>
  );
}

function foundWords(found: Found | undefined): string {
  return found === undefined ? t('searching') : tn('found', found.rows.length);
}

function Hit({ row, onClose }: { readonly row: PlacedMessage; readonly onClose: () => void }) {
  const { message } = row;
  const chat = chatOf(message.chat);
  return (
    <button
      type="button"
      class="hit"
      onClick={() => {
        onClose();
        jumpTo(row);
        go({ screen: 'chat', id: message.chat });
      }}
    >
      <span class="row-top">
        <bdi class="row-name">{chat === undefined ? t('somebody') : chatName(chat)}</bdi>
        <time>
          {dayName(message.sentAtMs)} {timeOf(message.sentAtMs)}
        </time>
      </span>
      <bdi class="row-last">
        {message.mine ? `${t('you')}: ` : ''}
        {summary(message)}
      </bdi>
    </button>
  );
}
