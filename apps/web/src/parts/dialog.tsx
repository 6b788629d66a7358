// A dialog on the native element: the browser keeps the focus inside, closes on Escape and gives the focus back.
// Knows nothing of what it asks.
import type { ComponentChildren } from 'preact';
import { useId, useLayoutEffect, useRef } from 'preact/hooks';
import { t } from '../strings.ts';
import { Icon } from './icon.tsx';

type Props = {
  readonly title: string;
  readonly onClose: () => void;
  readonly children: ComponentChildren;
  readonly class?: string;
};

export function Dialog({ title, onClose, children, class: more = '' }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  // Before the next key is heard: it is for the dialog already.
  useLayoutEffect(() => {
    const before = document.activeElement;
    const shown = dialog.current;
    if (shown !== null && !shown.open) shown.showModal();
    return () => {
      // While this one still stands, what is behind it takes no focus; one that follows it has it already.
      queueMicrotask(() => {
        const isFree = document.activeElement === null || document.activeElement === document.body;
        if (isFree && before instanceof HTMLElement && before.isConnected) before.focus();
      });
    };
  }, []);
  return (
    <dialog
      ref={dialog}
      class={more}
      aria-labelledby={id}
      onClose={onClose}
      onClick={event => {
        // What is outside of its box is its backdrop.
        if (event.target === dialog.current) dialog.current?.close();
      }}
    >
      <div class="dialog">
        <header>
          <h2 id={id}>{title}</h2>
          <button type="button" class="quiet" aria-label={t('close')} onClick={() => dialog.current?.close()}>
            <Icon name="close" />
          </button>
        </header>
        {children}
      </div>
    </dialog>
  );
}

type ConfirmProps = {
  readonly title: string;
  readonly text: ComponentChildren;
  readonly act: string;
  readonly isDanger?: boolean;
  readonly onClose: () => void;
  readonly onConfirm: () => void;
};

export function Confirm({ title, text, act, isDanger = false, onClose, onConfirm }: ConfirmProps) {
  return (
    <Dialog title={title} onClose={onClose}>
      {typeof text === 'string' ? <p>{text}</p> : text}
      <div class="acts">
        <button type="button" onClick={onClose}>
          {t('cancel')}
        </button>
        <button
          type="button"
          class={isDanger ? 'danger' : 'primary'}
          onClick={() => {
            onConfirm();
            onClose();
          }}
        >
          {act}
        </button>
      </div>
    </Dialog>
  );
}
