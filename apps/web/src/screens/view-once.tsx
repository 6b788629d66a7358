// A message that may be seen once: it was wiped everywhere before it is shown here, and goes with this dialog.
// Knows nothing of the list that it stood in.
import type { MessageView } from '@drawbridge/cli/page/views';
import { useEffect, useState } from 'preact/hooks';
import { tried } from '../calls.ts';
import { Attachment } from '../parts/attachment.tsx';
import { Dialog } from '../parts/dialog.tsx';
import { t } from '../strings.ts';

type Props = { readonly message: MessageView; readonly onClose: () => void };

export function ViewOnce({ message: { author, id }, onClose }: Props) {
  const [opened, setOpened] = useState<MessageView>();
  useEffect(() => {
    void tried('chats.openOnce', { author, id }).then(found => {
      if (found === undefined) onClose();
      else setOpened(found.value);
    });
    return () => void tried('chats.closeOnce', { author, id });
  }, [author, id]);
  return (
    <Dialog title={t('viewOnceTitle')} onClose={onClose} class="viewer">
      <p>{t('viewOnceText')}</p>
      {opened?.attachments.map((file, index) => (
        <Attachment key={index} {...{ file, index }} message={{ author, id }} tabIndex={0} />
      ))}
      {opened !== undefined && opened.text !== '' && (
        <p class="text" dir="auto">
          {opened.text}
        </p>
      )}
    </Dialog>
  );
}
