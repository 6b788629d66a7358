// This device becomes a further one of somebody who has another: codes to show and compare, and a yes on both sides.
// Knows nothing of what codes and tickets are.
import type { LinkAnswer, SessionState } from '@drawbridge/cli/page/protocol';
import { useState } from 'preact/hooks';
import { tried } from '../calls.ts';
import { Code } from '../parts/code.tsx';
import { Field } from '../parts/field.tsx';
import { t } from '../strings.ts';

type Props = { readonly state: Extract<SessionState, { kind: 'linking' }> };

export function Linking({ state: { code, requestCode, qr } }: Props) {
  const [ticket, setTicket] = useState('');
  const [answer, setAnswer] = useState<LinkAnswer>();
  const stop = (): void => void tried('session.endLink', {});
  return (
    <main class="alone">
      <div class="card">
        <h1>{t('linkTitle')}</h1>
        {answer === undefined ? (
          <form
            onSubmit={event => {
              event.preventDefault();
              void tried('session.openLink', { ticket: ticket.trim() }).then(found => setAnswer(found?.value));
            }}
          >
            <p>{t('linkFirst')}</p>
            <Code text={code} qr={qr} label={t('linkCode')} />
            <p>
              {t('linkCompare')} <strong class="short-code">{requestCode}</strong>
            </p>
            <Field label={t('linkTicket')} hint={t('linkTicketHint')} value={ticket} onInput={setTicket} />
            <div class="acts">
              <button type="button" onClick={stop}>
                {t('cancel')}
              </button>
              <button type="submit" class="primary" disabled={ticket.trim() === ''}>
                {t('linkGoOn')}
              </button>
            </div>
          </form>
        ) : (
          <>
            <p>{t('linkWhose', { identifier: answer.identifier, provider: answer.provider })}</p>
            <p>
              {t('linkAnswer')} <strong class="short-code">{answer.answerCode}</strong>
            </p>
            <div class="acts">
              <button type="button" onClick={stop}>
                {t('linkDiffers')}
              </button>
              <button type="button" class="primary" onClick={() => void tried('session.confirmLink', {})}>
                {t('linkSame')}
              </button>
            </div>
          </>
        )}
      </div>
    </main>
  );
}
