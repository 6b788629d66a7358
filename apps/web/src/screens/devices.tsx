// This person's devices: which there are, letting another in, removing one, and whom a new one is still to learn of.
// Knows nothing of codes and keys.
import type { DeviceView } from '@drawbridge/cli/page/views';
import type { CommandResult } from '@drawbridge/cli/page/protocol';
import { useEffect, useState } from 'preact/hooks';
import { call, say, tried } from '../calls.ts';
import { CommandFailed } from '../connection.ts';
import { dayName } from '../format.ts';
import { Code } from '../parts/code.tsx';
import { Confirm, Dialog } from '../parts/dialog.tsx';
import { Field } from '../parts/field.tsx';
import { link, notices } from '../store.ts';
import { t, tn } from '../strings.ts';

export function Devices() {
  const [devices, setDevices] = useState<readonly DeviceView[]>();
  const [asked, setAsked] = useState<'link' | DeviceView>();
  const isOnline = link.value.kind === 'online';
  const load = async (): Promise<void> => {
    try {
      setDevices(await call('devices.list', {}));
    } catch (error) {
      if (!(error instanceof CommandFailed)) throw error;
    }
  };
  // A notice may be of a device that came or went.
  useEffect(() => void load(), [isOnline, notices.value]);
  return (
    <section aria-labelledby="devices">
      <h2 id="devices">{t('devicesTitle')}</h2>
      {devices === undefined && <p>{t('devicesOffline')}</p>}
      <ul class="plain">
        {devices?.map(each => (
          <li key={each.device}>
            <span>
              {t('deviceNumber', { number: each.device })}
              {each.isThis ? ` ${t('deviceThis')}` : ''}{' '}
              <small>{t('deviceSince', { day: dayName(each.sinceMs) })}</small>
            </span>
            {!each.isThis && (
              <button type="button" class="danger" onClick={() => setAsked(each)}>
                {t('deviceRemove', { number: each.device })}
              </button>
            )}
          </li>
        ))}
      </ul>
      <div class="acts">
        <button type="button" disabled={!isOnline} onClick={() => setAsked('link')}>
          {t('deviceLink')}
        </button>
      </div>
      <PeopleToCome />
      {asked === 'link' && (
        <LinkDevice
          onClose={() => {
            setAsked(undefined);
            void load();
          }}
        />
      )}
      {asked !== undefined && asked !== 'link' && (
        <Remove
          device={asked.device}
          onClose={() => {
            setAsked(undefined);
            void load();
          }}
        />
      )}
    </section>
  );
}

type Request = CommandResult<'devices.readLink'>;
type Ticket = CommandResult<'devices.confirmLink'>;

function LinkDevice({ onClose }: { readonly onClose: () => void }) {
  const [code, setCode] = useState('');
  const [request, setRequest] = useState<Request>();
  const [ticket, setTicket] = useState<Ticket>();
  const [history, setHistory] = useState(true);
  // What was asked for and not confirmed is forgotten.
  useEffect(() => () => void tried('devices.dropLink', {}), []);
  if (ticket !== undefined) {
    return (
      <Dialog title={t('deviceLink')} onClose={onClose} class="tall">
        <p>{t('linkGive')}</p>
        <Code text={ticket.ticket} qr={ticket.qr} label={t('linkTicket')} />
        <p>
          {t('linkThere')} <strong class="short-code">{ticket.answerCode}</strong>
        </p>
        {(request?.peopleToFollow ?? 0) > 0 && (
          <p class="warning">{tn('linkToFollow', request?.peopleToFollow ?? 0)}</p>
        )}
        <div class="acts">
          <button type="button" class="primary" onClick={onClose}>
            {t('close')}
          </button>
        </div>
      </Dialog>
    );
  }
  if (request !== undefined) {
    return (
      <Dialog title={t('deviceLink')} onClose={onClose}>
        <p>
          {t('linkCheck')} <strong class="short-code">{request.requestCode}</strong>
        </p>
        <label class="choice">
          <input type="checkbox" checked={history} onChange={event => setHistory(event.currentTarget.checked)} />
          {t('linkHistory')}
        </label>
        <div class="acts">
          <button type="button" onClick={onClose}>
            {t('linkDiffers')}
          </button>
          <button
            type="button"
            class="primary"
            onClick={() => void tried('devices.confirmLink', { history }).then(found => setTicket(found?.value))}
          >
            {t('linkLetIn')}
          </button>
        </div>
      </Dialog>
    );
  }
  return (
    <Dialog title={t('deviceLink')} onClose={onClose}>
      <form
        onSubmit={event => {
          event.preventDefault();
          void tried('devices.readLink', { code }).then(found => setRequest(found?.value));
        }}
      >
        <p>{t('linkHow')}</p>
        <Field label={t('linkCode')} value={code} onInput={setCode} autofocus />
        <div class="acts">
          <button type="button" onClick={onClose}>
            {t('cancel')}
          </button>
          <button type="submit" class="primary" disabled={code.trim() === ''}>
            {t('linkGoOn')}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

function Remove({ device, onClose }: { readonly device: number; readonly onClose: () => void }) {
  const [isInHand, setInHand] = useState(false);
  const remove = async (): Promise<void> => {
    const removed = await tried('devices.remove', { device, renewIdentity: !isInHand });
    if (removed === undefined) return;
    const { linkAgain } = removed.value;
    say(linkAgain.length === 0 ? t('deviceRemoved') : t('deviceLinkAgain', { devices: linkAgain.join(', ') }));
    onClose();
  };
  return (
    <Dialog title={t('deviceRemove', { number: device })} onClose={onClose}>
      <p>{t(isInHand ? 'removeKeeps' : 'removeRenews')}</p>
      <label class="choice">
        <input type="checkbox" checked={isInHand} onChange={event => setInHand(event.currentTarget.checked)} />
        {t('removeInHand')}
      </label>
      <div class="acts">
        <button type="button" onClick={onClose}>
          {t('cancel')}
        </button>
        <button type="button" class="danger" onClick={() => void remove()}>
          {t('removeDo')}
        </button>
      </div>
    </Dialog>
  );
}

/** On a device that was linked: it meets nobody new before it knows everybody whom the other knew. */
function PeopleToCome() {
  const [toCome, setToCome] = useState<{ readonly device: number; readonly count: number }>();
  const [isAsked, setAsked] = useState(false);
  const load = async (): Promise<void> => {
    const found = await tried('devices.toCome', {});
    setToCome(found?.value.toCome);
  };
  useEffect(() => void load(), [notices.value]);
  if (toCome === undefined) return null;
  return (
    <div class="banner warning">
      <span>{tn('peopleToCome', toCome.count, { device: toCome.device })}</span>
      <button type="button" onClick={() => setAsked(true)}>
        {t('peopleForgo')}
      </button>
      {isAsked && (
        <Confirm
          title={t('peopleForgo')}
          text={t('peopleForgoText')}
          act={t('peopleForgo')}
          isDanger
          onClose={() => setAsked(false)}
          onConfirm={() => void tried('devices.forgoPeople', {}).then(load)}
        />
      )}
    </div>
  );
}
