// Who one is, and what keeps the keys locked. Knows nothing of what signing in does.
import type { SessionState } from '@drawbridge/cli/page/protocol';
import { useState } from 'preact/hooks';
import { Field } from '../parts/field.tsx';
import { LanguageChoice } from '../parts/language.tsx';
import { call, faultWords } from '../calls.ts';
import { t } from '../strings.ts';

type Props = { readonly state: Extract<SessionState, { kind: 'signed-out' }> };

const otherDevices: ReadonlySet<string> = new Set(['identity-key-differs', 'device-authorisation-required']);

export function SignIn({ state: { prefill, fault } }: Props) {
  const [given, setGiven] = useState({ ...prefill, password: '', passphrase: '' });
  const [isTried, setTried] = useState(false);
  const set = (name: keyof typeof given) => (value: string) => setGiven({ ...given, [name]: value });
  const isHttps = (url: string): boolean => URL.canParse(url) && new URL(url).protocol === 'https:';
  const wrongUrl = (url: string): string | undefined => (isTried && !isHttps(url) ? t('badUrl') : undefined);
  const { gatekeeper, provider, identifier, password, passphrase } = given;
  const isWhole = isHttps(gatekeeper) && isHttps(provider) && identifier !== '' && password !== '' && passphrase !== '';
  const submit = (replace: boolean): void => {
    setTried(true);
    if (!isWhole) return;
    // What fails comes back as the state of the session.
    call('session.signIn', { gatekeeper, provider, identifier, password, passphrase, replace }).catch(() => {});
  };
  const link = (): void => {
    setTried(true);
    if (!isWhole) return;
    call('session.beginLink', { gatekeeper, provider, identifier, password, passphrase }).catch(() => {});
  };
  return (
    <main class="alone">
      <form
        class="card"
        onSubmit={event => {
          event.preventDefault();
          submit(false);
        }}
        noValidate
      >
        <h1>{t('signInTitle')}</h1>
        <p>{t('signInIntro')}</p>
        {fault !== undefined && (
          <div class="fault" role="alert">
            <p>{otherDevices.has(fault.code) ? t('replaceText') : faultWords(fault)}</p>
            {otherDevices.has(fault.code) && (
              <button type="button" class="danger" disabled={!isWhole} onClick={() => submit(true)}>
                {t('replaceDo')}
              </button>
            )}
          </div>
        )}
        <Field
          {...{ label: t('gatekeeper'), hint: t('gatekeeperHint'), value: gatekeeper, onInput: set('gatekeeper') }}
          {...{ type: 'url', fault: wrongUrl(gatekeeper), required: true }}
        />
        <Field
          {...{ label: t('provider'), hint: t('providerHint'), value: provider, onInput: set('provider') }}
          {...{ type: 'url', fault: wrongUrl(provider), required: true }}
        />
        <Field
          {...{ label: t('identifier'), hint: t('identifierHint'), value: identifier, onInput: set('identifier') }}
          {...{ autocomplete: 'username', required: true }}
        />
        <Field
          {...{ label: t('password'), value: password, onInput: set('password') }}
          {...{ type: 'password', autocomplete: 'current-password', required: true }}
        />
        <Field
          {...{ label: t('passphrase'), hint: t('passphraseHint'), value: passphrase, onInput: set('passphrase') }}
          {...{ type: 'password', autocomplete: 'off', required: true }}
        />
        <div class="acts">
          <LanguageChoice />
          <button type="button" onClick={link}>
            {t('linkInstead')}
          </button>
          <button type="submit" class="primary">
            {t('signIn')}
          </button>
        </div>
      </form>
    </main>
  );
}
