// What is to be sent is looked at once more before it goes: which files, with what words, and what they may tell.
// Knows nothing of where they came from.
import { useEffect, useMemo, useState } from 'preact/hooks';
import { say } from '../calls.ts';
import { sendFile } from '../files.ts';
import { fileSize } from '../format.ts';
import { Dialog } from '../parts/dialog.tsx';
import { Field } from '../parts/field.tsx';
import { Icon } from '../parts/icon.tsx';
import { t, tn } from '../strings.ts';

export const maxFilesAtOnce = 20;

type Props = {
  readonly chat: string;
  readonly files: readonly File[];
  readonly onClose: () => void;
};

export function SendFiles({ chat, files, onClose }: Props) {
  const [caption, setCaption] = useState('');
  const [isAsItIs, setAsItIs] = useState(false);
  const [isOnce, setOnce] = useState(false);
  const send = async (): Promise<void> => {
    onClose();
    const kind = isAsItIs ? 'file' : 'known';
    // The words go with the first; in the order in which they were chosen.
    for (const [at, file] of files.entries()) {
      await sendFile(chat, file, file.name, { caption: at === 0 ? caption.trim() : '', kind, viewOnce: isOnce });
    }
  };
  return (
    <Dialog title={tn('sendFiles', files.length)} onClose={onClose}>
      <form
        onSubmit={event => {
          event.preventDefault();
          void send();
        }}
      >
        <ul class="chosen">
          {files.map((file, at) => (
            <li key={at}>
              <Chosen file={file} />
              <span>
                <bdi>{file.name}</bdi>
                <small>{fileSize(file.size)}</small>
              </span>
            </li>
          ))}
        </ul>
        <Field label={t('caption')} value={caption} onInput={setCaption} autofocus />
        <Choice words={t('sendOnce')} hint={t('sendOnceHint')} isChosen={isOnce} onChange={setOnce} />
        <Choice
          words={t('sendAsItIs')}
          hint={t(isAsItIs ? 'sendAsItIsHint' : 'sendCleanHint')}
          isChosen={isAsItIs}
          onChange={setAsItIs}
        />
        <div class="acts">
          <button type="button" onClick={onClose}>
            {t('cancel')}
          </button>
          <button type="submit" class="primary">
            {t('send')}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

/** A picture of one's own, before anything of it went anywhere. */
function Chosen({ file }: { readonly file: File }) {
  const isPicture = /^image\/(?:jpeg|png|gif|webp|avif)$/.test(file.type);
  const url = useMemo(() => (isPicture ? URL.createObjectURL(file) : undefined), [file]);
  useEffect(() => () => (url === undefined ? undefined : URL.revokeObjectURL(url)), [url]);
  return url === undefined ? <Icon name="file" /> : <img src={url} alt="" />;
}

type ChoiceProps = {
  readonly words: string;
  readonly hint: string;
  readonly isChosen: boolean;
  readonly onChange: (isChosen: boolean) => void;
};

function Choice({ words, hint, isChosen, onChange }: ChoiceProps) {
  return (
    <label class="choice">
      <input type="checkbox" checked={isChosen} onChange={event => onChange(event.currentTarget.checked)} />
      <span>
        {words} <small>{hint}</small>
      </span>
    </label>
  );
}

/** What was dropped or pasted, as far as it is files; too many are said to be. */
export function filesOf(given: DataTransfer | null): readonly File[] {
  const files = [...(given?.files ?? [])];
  if (files.length > maxFilesAtOnce) say(t('tooManyFiles', { count: maxFilesAtOnce }), true);
  return files.slice(0, maxFilesAtOnce);
}
