// Who can reach this person, what they should know, what others call them. Knows nothing of chats.
import type { ConsentView } from '@drawbridge/cli/page/views';
import { useState } from 'preact/hooks';
import { dayName, noticePlace, noticeWords, timeOf } from '../format.ts';
import { go } from '../route.ts';
import { ScreenBar } from '../parts/bar.tsx';
import { Confirm } from '../parts/dialog.tsx';
import { Field } from '../parts/field.tsx';
import { LanguageChoice } from '../parts/language.tsx';
import { Protection } from '../parts/protection.tsx';
import { say, tried } from '../calls.ts';
import { isNotifying, setNotifying } from '../notify.ts';
import { consent, link, me, notices } from '../store.ts';
import { t, tn } from '../strings.ts';
import { Devices } from './devices.tsx';

export function Settings() {
  return (
    <div class="screen">
      <ScreenBar title={t('settings')} />
      <div class="content">
        <Notices />
        <Reach />
        <OwnName />
        <Devices />
        <About />
      </div>
    </div>
  );
}

function Notices() {
  return (
    <section aria-labelledby="notices">
      <h2 id="notices">{t('noticesTitle')}</h2>
      {notices.value.length === 0 && <p>{t('noticesNone')}</p>}
      <ul class="plain">
        {notices.value.map(({ sequence, atMs, times, line }) => (
          <li key={sequence}>
            <span>
              {noticeWords({ notice: line })}{' '}
              <small>
                {dayName(atMs)} {timeOf(atMs)}
                {times > 1 ? ` (${tn('times', times)})` : ''}
              </small>
            </span>
            {line.person !== undefined && noticePlace(line) === 'person' && (
              <button type="button" onClick={() => go({ screen: 'chat', id: line.person! })}>
                {t('noticeChat')}
              </button>
            )}
            <button type="button" onClick={() => void tried('notices.acknowledge', { sequence })}>
              {t('noticeSeen')}
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}

function Reach() {
  const [asked, setAsked] = useState<ConsentView>();
  const known = consent.value;
  return (
    <section aria-labelledby="reach">
      <h2 id="reach">{t('reachTitle')}</h2>
      <p>{t('reachIntro')}</p>
      {known === undefined && link.value.kind !== 'online' && <p class="warning">{t('reachOffline')}</p>}
      {known?.length === 0 && <p>{t('reachNone')}</p>}
      <ul class="plain">
        {(known ?? []).map(each => (
          <li key={each.number}>
            <label class="choice">
              <input
                type="checkbox"
                role="switch"
                checked={each.optedIn}
                onClick={event => {
                  event.preventDefault();
                  setAsked(each);
                }}
              />
              {t('reachOn', { provider: each.name })}
            </label>
          </li>
        ))}
      </ul>
      {asked !== undefined && <Ask consent={asked} onClose={() => setAsked(undefined)} />}
    </section>
  );
}

function Ask({
  consent: { number, name, optedIn },
  onClose,
}: {
  readonly consent: ConsentView;
  readonly onClose: () => void;
}) {
  const set = (): void => void tried('account.setConsent', { provider: number, optedIn: !optedIn });
  const values = { provider: name };
  if (optedIn) {
    return (
      <Confirm
        {...{ title: t('optOutTitle', values), text: t('optOutText'), act: t('optOutDo'), isDanger: true }}
        {...{ onClose, onConfirm: set }}
      />
    );
  }
  const text = (
    <>
      <Protection gatekeeper={me.value?.gatekeeper ?? ''} provider={name} />
      <p>{t('optInRequests')}</p>
      <p>{t('optInText')}</p>
    </>
  );
  return <Confirm {...{ title: t('optInTitle', values), text, act: t('optInDo'), onClose, onConfirm: set }} />;
}

function OwnName() {
  const [name, setName] = useState('');
  return (
    <form
      onSubmit={event => {
        event.preventDefault();
        void tried('account.setName', { displayName: name.trim() }).then(done => done && say(t('saved')));
      }}
    >
      <Field
        label={t('yourName')}
        hint={t('yourNameHint', { identifier: me.value?.identifier ?? '' })}
        value={name}
        onInput={setName}
        autocomplete="name"
      />
      <div class="acts">
        <button type="submit" disabled={name.trim() === ''}>
          {t('save')}
        </button>
      </div>
    </form>
  );
}

function About() {
  const own = me.value;
  if (own === undefined) return null;
  const { identifier = '', provider = '', deviceId, gatekeeper } = own;
  return (
    <section aria-labelledby="about">
      <h2 id="about">{t('aboutTitle')}</h2>
      <p>{t('aboutText', { identifier, provider, gatekeeper, device: deviceId })}</p>
      <LanguageChoice />
      <label class="choice">
        <input
          type="checkbox"
          checked={isNotifying.value}
          onChange={event => {
            const isWanted = event.currentTarget.checked;
            void setNotifying(isWanted).then(isDone => isDone || say(t('notificationsRefused'), true));
          }}
        />
        <span>
          {t('notifications')} <small>{t('notificationsHint')}</small>
        </span>
      </label>
    </section>
  );
}
