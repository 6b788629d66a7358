// Notifications of the system, where a person wants them: that somebody wrote, never what. Knows nothing of events.
import { signal } from '@preact/signals';
import { t } from './strings.ts';

const kept = 'notifications';

export const isNotifying = signal(localStorage.getItem(kept) === 'on' && isGranted());

function isGranted(): boolean {
  return 'Notification' in globalThis && Notification.permission === 'granted';
}

/** False: the browser, or the person by it, does not allow it. */
export async function setNotifying(isWanted: boolean): Promise<boolean> {
  const isAllowed = isWanted && 'Notification' in globalThis && (await Notification.requestPermission()) === 'granted';
  isNotifying.value = isAllowed;
  localStorage.setItem(kept, isAllowed ? 'on' : 'off');
  return isAllowed === isWanted;
}

/** Only while nobody looks; one for each chat. */
export function notify(name: string, chat: string, onOpen: () => void): void {
  if (!isNotifying.value || !isGranted() || document.visibilityState === 'visible') return;
  const shown = new Notification(t('notifyFrom', { name }), { tag: chat });
  shown.addEventListener('click', () => {
    focus();
    shown.close();
    onOpen();
  });
}
