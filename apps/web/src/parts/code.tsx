// A code that goes to another device: shown as a picture to read and as text to copy. Knows nothing of what it opens.
import type { QrView } from '@drawbridge/cli/page/views';
import { copy } from '../calls.ts';
import { t } from '../strings.ts';
import { Qr } from './qr.tsx';

type Props = { readonly text: string; readonly qr: QrView | undefined; readonly label: string };

export function Code({ text, qr, label }: Props) {
  return (
    <div class="code">
      {qr !== undefined && <Qr code={qr} words={label} />}
      <textarea
        readOnly
        rows={3}
        dir="ltr"
        value={text}
        aria-label={label}
        onFocus={event => event.currentTarget.select()}
      />
      <button type="button" onClick={() => void copy(text)}>
        {t('copyCode')}
      </button>
    </div>
  );
}
