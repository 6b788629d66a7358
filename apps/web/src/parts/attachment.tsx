// Files of a message as they are shown in it: pictures, videos, sound, and what can only be saved. Their bytes come from the
// process alone. Knows nothing of the message around them.
import type { AttachmentView } from '@drawbridge/cli/page/views';
import { useState } from 'preact/hooks';
import { tried } from '../calls.ts';
import { clock, fileSize } from '../format.ts';
import { t } from '../strings.ts';
import { Dialog } from './dialog.tsx';
import { Icon } from './icon.tsx';

/** Larger pictures are fetched when somebody asks. */
const fetchedUnaskedBytes = 8_388_608;

export type Named = { readonly author: string; readonly id: string };
type Props = {
  readonly file: AttachmentView;
  readonly message: Named;
  readonly index: number;
  readonly tabIndex: number;
};

export function Attachment(props: Props) {
  const { file } = props;
  if (file.show === undefined) return <FileCard {...props} />;
  if (file.kind === 'image') return <Picture {...props} show={file.show} />;
  if (file.kind === 'video') return <Video {...props} show={file.show} />;
  return <Sound {...props} show={file.show} />;
}

/** The beginning is fetched first: what is wrong is said in words, which a browser can't. */
export async function save(file: AttachmentView, message: Named, index: number): Promise<void> {
  const { author, id } = message;
  if ((await tried('files.check', { author, id, index })) === undefined) return;
  const link = document.createElement('a');
  link.href = file.save;
  link.download = file.name ?? '';
  link.click();
}

function FileCard({ file, message, index, tabIndex }: Props) {
  return (
    <button type="button" class="file" {...{ tabIndex }} onClick={() => void save(file, message, index)}>
      <Icon name="file" />
      <span>
        <bdi>{file.name ?? t('kindFile')}</bdi>
        <small>
          {fileSize(file.sizeBytes)} · {t('saveFile')}
        </small>
      </span>
    </button>
  );
}

type Shown = Props & { readonly show: string };

/** Sides that a sender made up change nothing but the space that is kept free. */
function sides({ width, height }: AttachmentView): { width?: number; height?: number } {
  const isPlain = (side: number | undefined): side is number => side !== undefined && side > 0 && side < 100_000;
  return isPlain(width) && isPlain(height) ? { width, height } : {};
}

function Picture({ file, message, index, tabIndex, show }: Shown) {
  const [isWanted, setWanted] = useState(file.sizeBytes <= fetchedUnaskedBytes);
  const [isFailed, setFailed] = useState(false);
  const [isLarge, setLarge] = useState(false);
  const source = isWanted && !isFailed ? show : file.preview;
  const look = async (): Promise<void> => {
    const { author, id } = message;
    if (isFailed && (await tried('files.check', { author, id, index })) === undefined) return;
    setFailed(false);
    setWanted(true);
    setLarge(true);
  };
  return (
    <>
      <button type="button" class="picture" {...{ tabIndex }} onClick={() => void look()}>
        {source === undefined ? (
          <Icon name="picture" />
        ) : (
          <img
            src={source}
            loading="lazy"
            decoding="async"
            alt={t('kindImage')}
            {...sides(file)}
            onError={() => setFailed(true)}
          />
        )}
        {(isFailed || !isWanted) && <small>{isFailed ? t('notShown') : fileSize(file.sizeBytes)}</small>}
      </button>
      {isLarge && (
        <Dialog title={t('kindImage')} class="viewer" onClose={() => setLarge(false)}>
          <img src={show} alt={t('kindImage')} />
          <div class="acts">
            <button type="button" onClick={() => void save(file, message, index)}>
              {t('saveFile')}
            </button>
          </div>
        </Dialog>
      )}
    </>
  );
}

function Video({ file, message, index, tabIndex, show }: Shown) {
  const { author, id } = message;
  return (
    <video
      controls
      preload="none"
      src={show}
      {...(file.preview === undefined ? {} : { poster: file.preview })}
      {...sides(file)}
      {...{ tabIndex }}
      aria-label={t('kindVideo')}
      onError={() => void tried('files.check', { author, id, index })}
      onPlay={() => void tried('chats.played', { author, id })}
    />
  );
}

function Sound({ file, message, index, tabIndex, show }: Shown) {
  const { author, id } = message;
  return (
    <div class="sound">
      <audio
        controls
        preload="none"
        src={show}
        {...{ tabIndex }}
        aria-label={t(file.kind === 'voice' ? 'kindVoice' : 'kindFile')}
        onError={() => void tried('files.check', { author, id, index })}
        onPlay={() => void tried('chats.played', { author, id })}
      />
      {file.durationMs !== undefined && <small>{clock(file.durationMs)}</small>}
    </div>
  );
}
