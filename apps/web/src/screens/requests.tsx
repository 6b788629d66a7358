// People whose first messages wait for a decision. Nothing of theirs is shown but text, and they learn nothing.
// Knows nothing of chats with people who were let in.
import type { MessageView, PersonView, RequestView } from '@drawbridge/cli/page/views';
import { useEffect, useState } from 'preact/hooks';
import { nameOf, serviceOf, summary } from '../format.ts';
import { ScreenBar } from '../parts/bar.tsx';
import { Confirm } from '../parts/dialog.tsx';
import { NameDoubts } from '../parts/person.tsx';
import { go } from '../route.ts';
import { tried } from '../calls.ts';
import { chats, link, people, requests } from '../store.ts';
import { t } from '../strings.ts';
import { Report } from './report.tsx';

const shownMessages = 5;

export function Requests() {
  const refused = (people.value ?? []).filter(({ state }) => state !== 'request');
  return (
    <div class="screen">
      <ScreenBar title={t('requests')} />
      <div class="content">
        <p>{t('requestsIntro')}</p>
        {link.value.kind !== 'online' && <p class="warning">{t('requestsOffline')}</p>}
        {requests.value.length === 0 && <p class="empty">{t('noRequests')}</p>}
        {requests.value.map(person => (
          <Request key={person.id} person={person} />
        ))}
        {refused.length > 0 && (
          <>
            <h2>{t('refusedPeople')}</h2>
            <ul class="plain">
              {refused.map(each => (
                <Refused key={each.person.id} request={each} />
              ))}
            </ul>
          </>
        )}
      </div>
    </div>
  );
}

function Request({ person }: { readonly person: PersonView }) {
  const [said, setSaid] = useState<readonly MessageView[]>([]);
  const [asked, setAsked] = useState<'deny' | 'block' | 'report'>();
  const name = nameOf(person);
  const lastAtMs = chats.value.find(({ id }) => id === person.id)?.lastAtMs;
  useEffect(() => {
    void tried('chats.messages', { chat: person.id, limit: shownMessages }).then(found =>
      setSaid((found?.value ?? []).map(({ message }) => message).toReversed()),
    );
  }, [person.id, lastAtMs]);
  const decide = (decision: 'accept' | 'deny' | 'block') => (): void =>
    void tried('people.decide', { chat: person.id, decision }).then(done => {
      if (done !== undefined && decision === 'accept') go({ screen: 'chat', id: person.id });
    });
  const last = said.findLast(({ mine, kind }) => !mine && kind !== 'notice');
  return (
    <article class="card" aria-label={t('requestFrom', { name, provider: serviceOf(person) })}>
      <h2>
        <bdi>{name}</bdi> <small>{serviceOf(person)}</small>
      </h2>
      <NameDoubts person={person} />
      <div class="said">
        {said.map(message => (
          <p key={message.id} dir="auto">
            {summary(message)}
          </p>
        ))}
      </div>
      <div class="acts">
        <button type="button" onClick={() => setAsked('report')} disabled={last === undefined}>
          {t('report')}
        </button>
        <button type="button" onClick={() => setAsked('block')}>
          {t('block')}
        </button>
        <button type="button" onClick={() => setAsked('deny')}>
          {t('deny')}
        </button>
        <button type="button" class="primary" onClick={decide('accept')}>
          {t('accept')}
        </button>
      </div>
      {asked === 'deny' && (
        <Confirm
          {...{ title: t('denyTitle', { name }), text: t('denyText'), act: t('deny'), isDanger: true }}
          {...{ onClose: () => setAsked(undefined), onConfirm: decide('deny') }}
        />
      )}
      {asked === 'block' && (
        <Confirm
          {...{ title: t('blockTitle', { name }), text: t('blockText'), act: t('block'), isDanger: true }}
          {...{ onClose: () => setAsked(undefined), onConfirm: decide('block') }}
        />
      )}
      {asked === 'report' && last !== undefined && (
        <Report person={person} message={last} onClose={() => setAsked(undefined)} />
      )}
    </article>
  );
}

function Refused({ request: { person, state } }: { readonly request: RequestView }) {
  const decision = state === 'blocked' ? 'unblock' : 'accept';
  return (
    <li>
      <span>
        <bdi>{nameOf(person)}</bdi> <small>{serviceOf(person)}</small>{' '}
        <small>({t(state === 'blocked' ? 'stateBlocked' : 'stateDenied')})</small>
      </span>
      <button type="button" onClick={() => void tried('people.decide', { chat: person.id, decision })}>
        {t(state === 'blocked' ? 'unblock' : 'acceptAfterAll')}
      </button>
    </li>
  );
}
