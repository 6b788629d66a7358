// What lies over the page at the word of a key or of the palette. Knows nothing of keys.
import { Dialog } from '../parts/dialog.tsx';
import { overlay, shortcuts } from '../shortcuts.ts';
import { t } from '../strings.ts';
import { FindPerson } from './find-person.tsx';
import { Palette } from './palette.tsx';
import { Search } from './search.tsx';

export function Overlays() {
  const shown = overlay.value;
  const onClose = (): void => {
    // Another may have taken its place meanwhile.
    if (overlay.value === shown) overlay.value = undefined;
  };
  if (shown === 'palette') return <Palette onClose={onClose} />;
  if (shown === 'search') return <Search onClose={onClose} />;
  if (shown === 'find') return <FindPerson onClose={onClose} />;
  if (shown === 'shortcuts') return <Shortcuts onClose={onClose} />;
  return null;
}

function Shortcuts({ onClose }: { readonly onClose: () => void }) {
  return (
    <Dialog title={t('shortcuts')} onClose={onClose}>
      <dl class="shortcuts">
        {shortcuts.map(([keys, words]) => (
          <div key={words}>
            <dt>
              {keys.split(' ').map(key => (
                <kbd key={key}>{key}</kbd>
              ))}
            </dt>
            <dd>{t(words)}</dd>
          </div>
        ))}
      </dl>
    </Dialog>
  );
}
