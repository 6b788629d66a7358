// Finds somebody by the name that people know them by. Knows nothing of messages.
import { useState } from 'preact/hooks';
import { Dialog } from '../parts/dialog.tsx';
import { Field } from '../parts/field.tsx';
import { CommandFailed } from '../connection.ts';
import { go } from '../route.ts';
import { call, faultWords } from '../calls.ts';
import { me } from '../store.ts';
import { t } from '../strings.ts';

export function FindPerson({ onClose }: { readonly onClose: () => void }) {
  const [provider, setProvider] = useState('');
  const [identifier, setIdentifier] = useState('');
  const [fault, setFault] = useState<{ readonly words: string; readonly mayBeConsent: boolean }>();
  const find = async (): Promise<void> => {
    if (provider.trim() === '' || identifier.trim() === '') return;
    try {
      const { id } = await call('people.find', { provider: provider.trim(), identifier: identifier.trim() });
      onClose();
      go({ screen: 'chat', id });
    } catch (error) {
      if (!(error instanceof CommandFailed)) throw error;
      setFault({ words: faultWords(error.error), mayBeConsent: error.error.code === 'not-found' });
    }
  };
  return (
    <Dialog title={t('findTitle')} onClose={onClose}>
      <form
        onSubmit={event => {
          event.preventDefault();
          void find();
        }}
      >
        <Field
          label={t('findProvider')}
          hint={t('findProviderHint')}
          value={provider}
          onInput={setProvider}
          autofocus
        />
        <Field label={t('findName')} value={identifier} onInput={setIdentifier} />
        {fault !== undefined && (
          <div class="fault" role="alert">
            <p>{fault.words}</p>
            {fault.mayBeConsent && (
              <p>
                {t('findHelp')}{' '}
                <button
                  type="button"
                  class="text"
                  onClick={() => {
                    onClose();
                    go({ screen: 'settings' });
                  }}
                >
                  {t('chooseReach')}
                </button>
              </p>
            )}
          </div>
        )}
        <div class="acts">
          <button type="button" onClick={onClose}>
            {t('cancel')}
          </button>
          <button type="submit" class="primary" disabled={me.value === undefined}>
            {t('find')}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
