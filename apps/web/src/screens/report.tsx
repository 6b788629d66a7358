// Shows the gatekeeper's operator what somebody said. Knows nothing of proofs.
import { reportCategories } from './report-categories.ts';
import type { MessageView, PersonView } from '@drawbridge/cli/page/views';
import { useId, useState } from 'preact/hooks';
import { nameOf, summary } from '../format.ts';
import { Dialog } from '../parts/dialog.tsx';
import { say, tried } from '../calls.ts';
import { me } from '../store.ts';
import { t, tn } from '../strings.ts';

type Props = { readonly person: PersonView; readonly message: MessageView; readonly onClose: () => void };

const mostContext = 20;

export function Report({ person, message, onClose }: Props) {
  const [category, setCategory] = useState<(typeof reportCategories)[number]>('spam');
  const [comment, setComment] = useState('');
  const [context, setContext] = useState(0);
  const id = useId();
  const name = nameOf(person);
  const send = async (): Promise<void> => {
    const { author, id: messageId } = message;
    const sent = await tried('people.report', { author, id: messageId, category, comment, context });
    if (sent === undefined) return;
    say(tn('reported', sent.value.contents));
    onClose();
  };
  return (
    <Dialog title={t('reportTitle', { name })} onClose={onClose}>
      <form
        onSubmit={event => {
          event.preventDefault();
          void send();
        }}
      >
        <p>{t('reportText', { name, gatekeeper: me.value?.gatekeeper ?? '' })}</p>
        <blockquote dir="auto">{summary(message)}</blockquote>
        <fieldset>
          <legend>{t('reportWhat')}</legend>
          {reportCategories.map(each => (
            <label key={each} class="choice">
              <input type="radio" name={id} checked={each === category} onChange={() => setCategory(each)} />
              {t(`category_${each}`)}
            </label>
          ))}
        </fieldset>
        <div class="field">
          <label for={`${id}-context`}>{t('reportContext')}</label>
          <input
            id={`${id}-context`}
            type="number"
            min={0}
            max={mostContext}
            value={context}
            onInput={({ currentTarget: { valueAsNumber } }) =>
              setContext(Number.isInteger(valueAsNumber) ? Math.min(mostContext, Math.max(0, valueAsNumber)) : 0)
            }
          />
        </div>
        <div class="field">
          <label for={`${id}-comment`}>{t('reportComment')}</label>
          <textarea
            id={`${id}-comment`}
            rows={2}
            maxLength={1_000}
            value={comment}
            onInput={event => setComment(event.currentTarget.value)}
          />
        </div>
        <div class="acts">
          <button type="button" onClick={onClose}>
            {t('cancel')}
          </button>
          <button type="submit" class="danger">
            {t('reportSend')}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
