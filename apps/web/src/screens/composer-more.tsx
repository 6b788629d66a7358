// What can be sent beside text: files, polls, places, names. Knows nothing of what is being written.
import { useRef, useState } from 'preact/hooks';
import { Dialog } from '../parts/dialog.tsx';
import { Icon } from '../parts/icon.tsx';
import { type StringName, t } from '../strings.ts';
import { NewContact, NewPlace, NewPoll } from './new-content.tsx';
import { maxFilesAtOnce } from './send-files.tsx';

type Props = { readonly chat: string; readonly onFiles: (files: readonly File[]) => void };
type Asked = 'menu' | 'poll' | 'place' | 'contact';

export function More({ chat, onFiles }: Props) {
  const input = useRef<HTMLInputElement>(null);
  const [asked, setAsked] = useState<Asked>();
  const onClose = (): void => setAsked(undefined);
  const choices: readonly (readonly [StringName, () => void])[] = [
    [
      'chooseFiles',
      () => {
        onClose();
        input.current?.click();
      },
    ],
    ['newPoll', () => setAsked('poll')],
    ['newPlace', () => setAsked('place')],
    ['newContact', () => setAsked('contact')],
  ];
  return (
    <>
      <input
        ref={input}
        type="file"
        multiple
        hidden
        onChange={({ currentTarget }) => {
          const files = [...(currentTarget.files ?? [])].slice(0, maxFilesAtOnce);
          // The same file again is a choice, too.
          currentTarget.value = '';
          if (files.length > 0) onFiles(files);
        }}
      />
      <button type="button" class="quiet round" aria-label={t('more')} onClick={() => setAsked('menu')}>
        <Icon name="attach" />
      </button>
      {asked === 'menu' && (
        <Dialog title={t('more')} onClose={onClose} class="sheet">
          <div class="choices">
            {choices.map(([words, run]) => (
              <button key={words} type="button" onClick={run}>
                {t(words)}
              </button>
            ))}
          </div>
        </Dialog>
      )}
      {asked === 'poll' && <NewPoll {...{ chat, onClose }} />}
      {asked === 'place' && <NewPlace {...{ chat, onClose }} />}
      {asked === 'contact' && <NewContact {...{ chat, onClose }} />}
    </>
  );
}
