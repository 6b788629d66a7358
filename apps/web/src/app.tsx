// Which of the page's states a person sees: locked, lost, signing in, or their chats. Knows nothing of what is in them.
import { useSignalEffect } from '@preact/signals';
import { Frame } from './frame.tsx';
import { Announcer, Toast } from './parts/told.tsx';
import { Notice } from './parts/notice-page.tsx';
import { Linking } from './screens/linking.tsx';
import { SignIn } from './screens/sign-in.tsx';
import { line, retryLine } from './calls.ts';
import { session } from './store.ts';
import { language, t } from './strings.ts';

export function App() {
  useSignalEffect(() => {
    document.documentElement.lang = language.value;
  });
  return (
    <>
      <Screen />
      <Toast />
      <Announcer />
    </>
  );
}

function Screen() {
  const state = session.value;
  if (line.value === 'locked') return <Notice title={t('lockedTitle')} text={t('lockedText')} />;
  if (line.value === 'lost') {
    return (
      <Notice title={t('lostTitle')} text={t('lostText')}>
        <button type="button" class="primary" onClick={retryLine}>
          {t('lostRetry')}
        </button>
      </Notice>
    );
  }
  if (state === undefined) return <Notice title={t('connecting')} isBusy />;
  if (state.kind === 'opening') return <Notice title={t('opening')} text={t('openingText')} isBusy />;
  if (state.kind === 'linking') return <Linking state={state} />;
  if (state.kind === 'signed-out') return <SignIn state={state} />;
  return <Frame />;
}
