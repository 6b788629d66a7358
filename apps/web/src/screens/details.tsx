// Who a chat is with, what is protected, whose key it is, and how the chat is set up. Knows nothing of messages.
import type { CommandArguments } from '@drawbridge/cli/page/protocol';
import type { ChatView, PersonView, SafetyView } from '@drawbridge/cli/page/views';
import { useEffect, useState } from 'preact/hooks';
import { duration, nameOf, serviceOf } from '../format.ts';
import { Confirm, Dialog } from '../parts/dialog.tsx';
import { NameDoubts } from '../parts/person.tsx';
import { Qr } from '../parts/qr.tsx';
import { Protection } from '../parts/protection.tsx';
import { CommandFailed } from '../connection.ts';
import { call, tried } from '../calls.ts';
import { me } from '../store.ts';
import { t } from '../strings.ts';

type Props = {
  readonly id: string;
  readonly chat: ChatView | undefined;
  readonly person: PersonView;
  readonly onClose: () => void;
};

const timers = [0, 30, 300, 3_600, 86_400, 604_800, 2_419_200] as const;

export function Details({ id, chat, person, onClose }: Props) {
  const name = nameOf(person);
  const isSelf = chat?.isSelf === true;
  return (
    <Dialog title={t('detailsOf', { name })} onClose={onClose} class="tall">
      {!isSelf && (
        <>
          <p>
            <bdi>{name}</bdi> <small>{serviceOf(person)}</small>
          </p>
          <NameDoubts person={person} />
          {chat?.profileName !== undefined && <p>{t('callsThemselves', { name: chat.profileName })}</p>}
          <h3>{t('protectedTitle')}</h3>
          <Protection gatekeeper={me.value?.gatekeeper ?? ''} provider={serviceOf(person)} />
          <Safety id={id} name={name} />
        </>
      )}
      {chat !== undefined && <SetUp chat={chat} name={name} />}
    </Dialog>
  );
}

function Safety({ id, name }: { readonly id: string; readonly name: string }) {
  const [safety, setSafety] = useState<SafetyView | 'none'>();
  const load = async (): Promise<void> => {
    try {
      setSafety(await call('people.safety', { chat: id }));
    } catch (error) {
      if (!(error instanceof CommandFailed)) throw error;
      setSafety('none');
    }
  };
  useEffect(() => void load(), [id]);
  const judge = (key: string, judgement: CommandArguments<'people.judgeKey'>['judgement']) => (): void =>
    void tried('people.judgeKey', { chat: id, key, judgement }).then(load);
  if (safety === undefined) return null;
  return (
    <section aria-labelledby="safety">
      <h3 id="safety">{t('safetyTitle')}</h3>
      {safety === 'none' ? (
        <p>{t('safetyNone')}</p>
      ) : (
        <>
          {safety.pending !== undefined && (
            <div class="fault">
              <h4>{t('safetyPendingTitle')}</h4>
              <p>{t('safetyPendingText')}</p>
              <Digits digits={safety.pending.digits} />
              <div class="acts">
                <button type="button" onClick={judge(safety.pending.key, 'reject')}>
                  {t('safetyReject')}
                </button>
                <button type="button" class="danger" onClick={judge(safety.pending.key, 'accept')}>
                  {t('safetyAccept')}
                </button>
              </div>
            </div>
          )}
          <p>{t('safetyText', { name })}</p>
          <Digits digits={safety.digits} />
          {safety.qr !== undefined && <Qr code={safety.qr} words={t('safetyQr')} />}
          <p class={safety.verified ? 'good' : ''}>{t(safety.verified ? 'safetyVerified' : 'safetyNotVerified')}</p>
          <div class="acts">
            <button type="button" onClick={judge(safety.key, safety.verified ? 'not-verified' : 'verified')}>
              {t(safety.verified ? 'safetyUnmark' : 'safetyMark')}
            </button>
          </div>
        </>
      )}
    </section>
  );
}

/** In groups of five, as they are read aloud; from left to right in every language. */
function Digits({ digits }: { readonly digits: string }) {
  return (
    <p class="digits" dir="ltr">
      {(digits.match(/.{1,5}/g) ?? []).map((group, at) => (
        <span key={at}>{group} </span>
      ))}
    </p>
  );
}

function SetUp({ chat, name }: { readonly chat: ChatView; readonly name: string }) {
  const [isAsked, setAsked] = useState(false);
  const { id, pinned, muted, archived, timerSeconds, isSelf } = chat;
  const set = (settings: Omit<CommandArguments<'chats.set'>, 'chat'>) => (): void =>
    void tried('chats.set', { chat: id, ...settings });
  return (
    <>
      {!isSelf && (
        <div class="field">
          <label for="timer">{t('timer')}</label>
          <select
            id="timer"
            value={timerSeconds}
            onChange={event => void tried('chats.setTimer', { chat: id, seconds: Number(event.currentTarget.value) })}
          >
            {[...new Set([...timers, timerSeconds])].map(seconds => (
              <option key={seconds} value={seconds}>
                {seconds === 0 ? t('timerOff') : duration(seconds)}
              </option>
            ))}
          </select>
        </div>
      )}
      <div class="acts">
        <button type="button" onClick={set({ pinned: !pinned })}>
          {t(pinned ? 'unpin' : 'pin')}
        </button>
        <button type="button" onClick={set({ muted: !muted })}>
          {t(muted ? 'unmute' : 'mute')}
        </button>
        <button type="button" onClick={set({ archived: !archived })}>
          {t(archived ? 'unarchive' : 'archive')}
        </button>
        {!isSelf && (
          <button type="button" class="danger" onClick={() => setAsked(true)}>
            {t('block')}
          </button>
        )}
      </div>
      {isAsked && (
        <Confirm
          {...{ title: t('blockTitle', { name }), text: t('blockText'), act: t('block'), isDanger: true }}
          onClose={() => setAsked(false)}
          onConfirm={() => void tried('people.decide', { chat: id, decision: 'block' })}
        />
      )}
    </>
  );
}
