// Everything that one can go to or do, by its name. Knows nothing of what happens there.
import { useId, useState } from 'preact/hooks';
import { chatName, serviceOf } from '../format.ts';
import { Dialog } from '../parts/dialog.tsx';
import { go } from '../route.ts';
import { archivedChats, openChats } from '../store.ts';
import { t } from '../strings.ts';
import { type Overlay, overlay } from '../shortcuts.ts';

const mostShown = 12;

type Entry = { readonly key: string; readonly words: string; readonly hint: string; readonly run: () => void };

function entries(): Entry[] {
  const show = (which: Overlay) => (): void => {
    overlay.value = which;
  };
  const chats = [...openChats.value, ...archivedChats.value].map(chat => ({
    key: chat.id,
    words: chatName(chat),
    hint: chat.isSelf ? '' : serviceOf(chat.person),
    run: () => go({ screen: 'chat', id: chat.id }),
  }));
  const deeds: Entry[] = [
    { key: 'new', words: t('newChat'), hint: '', run: show('find') },
    { key: 'search', words: t('search'), hint: '', run: show('search') },
    { key: 'requests', words: t('requests'), hint: '', run: () => go({ screen: 'requests' }) },
    { key: 'settings', words: t('settings'), hint: '', run: () => go({ screen: 'settings' }) },
    { key: 'shortcuts', words: t('shortcuts'), hint: '', run: show('shortcuts') },
  ];
  return [...deeds, ...chats];
}

const folded = (text: string): string => text.normalize('NFKD').replaceAll(/\p{M}/gu, '').toLowerCase();

export function Palette({ onClose }: { readonly onClose: () => void }) {
  const [query, setQuery] = useState('');
  const [chosen, setChosen] = useState(0);
  const id = useId();
  const wanted = folded(query.trim());
  const shown = entries()
    .filter(({ words, hint }) => folded(`${words} ${hint}`).includes(wanted))
    .slice(0, mostShown);
  const at = Math.min(chosen, shown.length - 1);
  const run = (entry: Entry | undefined): void => {
    if (entry === undefined) return;
    onClose();
    entry.run();
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step !== undefined) {
      event.preventDefault();
      setChosen((at + step + shown.length) % Math.max(1, shown.length));
    } else if (event.key === 'Enter') {
      event.preventDefault();
      run(shown[at]);
    }
  };
  return (
    <Dialog title={t('palette')} onClose={onClose}>
      <input
        type="text"
        role="combobox"
        aria-expanded="true"
        aria-controls={id}
        aria-autocomplete="list"
        aria-activedescendant={at < 0 ? undefined : `${id}-${at}`}
        aria-label={t('paletteHint')}
        placeholder={t('paletteHint')}
        autocomplete="off"
        spellcheck={false}
        autofocus
        value={query}
        onKeyDown={onKeyDown}
        onInput={event => {
          setQuery(event.currentTarget.value);
          setChosen(0);
        }}
      />
      <ul class="palette" id={id} role="listbox" aria-label={t('palette')}>
        {shown.map((entry, index) => (
          <li
            key={entry.key}
            id={`${id}-${index}`}
            role="option"
            aria-selected={index === at}
            onClick={() => run(entry)}
          >
            <bdi>{entry.words}</bdi> <small>{entry.hint}</small>
          </li>
        ))}
      </ul>
    </Dialog>
  );
}
