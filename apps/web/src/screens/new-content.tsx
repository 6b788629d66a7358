// A poll of one's own, a place, or somebody's name, as a message. Knows nothing of how they are answered.
import { useState } from 'preact/hooks';
import { tried } from '../calls.ts';
import { nameOf, serviceOf } from '../format.ts';
import { Dialog } from '../parts/dialog.tsx';
import { Field } from '../parts/field.tsx';
import { Avatar } from '../parts/person.tsx';
import { openChats } from '../store.ts';
import { t } from '../strings.ts';

type Props = { readonly chat: string; readonly onClose: () => void };

const mostOptions = 20;

export function NewPoll({ chat, onClose }: Props) {
  const [question, setQuestion] = useState('');
  const [options, setOptions] = useState<readonly string[]>(['', '']);
  const [isOne, setOne] = useState(true);
  const given = options.map(option => option.trim()).filter(option => option !== '');
  const isTwice = new Set(given).size < given.length;
  const isWhole = question.trim() !== '' && given.length >= 2 && !isTwice;
  const send = async (): Promise<void> => {
    if (!isWhole) return;
    const sent = await tried('chats.sendPoll', { chat, question: question.trim(), options: given, isOne });
    if (sent !== undefined) onClose();
  };
  return (
    <Dialog title={t('newPoll')} onClose={onClose}>
      <form
        onSubmit={event => {
          event.preventDefault();
          void send();
        }}
      >
        <Field label={t('pollQuestion')} value={question} onInput={setQuestion} autofocus />
        {options.map((option, at) => (
          <Field
            key={at}
            label={t('pollOption', { number: at + 1 })}
            value={option}
            fault={
              isTwice && given.indexOf(option.trim()) < given.lastIndexOf(option.trim()) ? t('pollTwice') : undefined
            }
            onInput={value => setOptions(options.with(at, value))}
          />
        ))}
        {options.length < mostOptions && (
          <button type="button" class="wide" onClick={() => setOptions([...options, ''])}>
            {t('pollMore')}
          </button>
        )}
        <label class="choice">
          <input type="checkbox" checked={isOne} onChange={event => setOne(event.currentTarget.checked)} />
          {t('pollOne')}
        </label>
        <Acts isWhole={isWhole} onClose={onClose} />
      </form>
    </Dialog>
  );
}

/** As people copy it from a map: degrees, north and east. */
function coordinates(text: string): { readonly latitude: number; readonly longitude: number } | undefined {
  const [, north = '', east = ''] =
    /^\s*(-?\d{1,2}(?:\.\d{1,10})?)\s*[,; ]\s*(-?\d{1,3}(?:\.\d{1,10})?)\s*$/.exec(text) ?? [];
  const [latitude, longitude] = [Number(north), Number(east)];
  if (north === '' || Math.abs(latitude) > 90 || Math.abs(longitude) > 180) return undefined;
  return { latitude, longitude };
}

export function NewPlace({ chat, onClose }: Props) {
  const [at, setAt] = useState('');
  const [name, setName] = useState('');
  const place = coordinates(at);
  const send = async (): Promise<void> => {
    if (place === undefined) return;
    const sent = await tried('chats.sendPlace', { chat, ...place, name: name.trim() });
    if (sent !== undefined) onClose();
  };
  return (
    <Dialog title={t('newPlace')} onClose={onClose}>
      <form
        onSubmit={event => {
          event.preventDefault();
          void send();
        }}
      >
        <Field
          label={t('placeAt')}
          hint={t('placeHint')}
          value={at}
          fault={at.trim() !== '' && place === undefined ? t('placeFault') : undefined}
          onInput={setAt}
          autofocus
        />
        <Field label={t('placeName')} value={name} onInput={setName} />
        <Acts isWhole={place !== undefined} onClose={onClose} />
      </form>
    </Dialog>
  );
}

export function NewContact({ chat, onClose }: Props) {
  const people = openChats.value.filter(({ id, isSelf }) => id !== chat && !isSelf);
  return (
    <Dialog title={t('newContact')} onClose={onClose} class="tall">
      <p>{t('newContactText')}</p>
      {people.length === 0 && <p>{t('noChats')}</p>}
      <ul class="found">
        {people.map(({ id, person }) => (
          <li key={id}>
            <button
              type="button"
              class="row"
              onClick={() => void tried('chats.sendContact', { chat, person: id }).then(sent => sent && onClose())}
            >
              <Avatar person={person} />
              <span class="row-main">
                <bdi class="row-name">{nameOf(person)}</bdi>
                <span class="row-service">{serviceOf(person)}</span>
              </span>
            </button>
          </li>
        ))}
      </ul>
    </Dialog>
  );
}

function Acts({ isWhole, onClose }: { readonly isWhole: boolean; readonly onClose: () => void }) {
  return (
    <div class="acts">
      <button type="button" onClick={onClose}>
        {t('cancel')}
      </button>
      <button type="submit" class="primary" disabled={!isWhole}>
        {t('send')}
      </button>
    </div>
  );
}
