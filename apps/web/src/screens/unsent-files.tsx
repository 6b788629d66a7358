// Files of a chat that are not messages yet: how far each is, and what can be done with it. Knows nothing of messages.
import type { UnsentView } from '@drawbridge/cli/page/protocol';
import { faultWords, tried } from '../calls.ts';
import { handedOver, unsent } from '../files.ts';
import { Icon } from '../parts/icon.tsx';
import { type StringName, t } from '../strings.ts';

export function UnsentFiles({ id }: { readonly id: string }) {
  const own = handedOver.value.filter(({ chat }) => chat === id);
  const kept = unsent.value.filter(({ chat }) => chat === id);
  if (own.length + kept.length === 0) return null;
  return (
    <ul class="unsent" aria-label={t('unsentFiles')}>
      {own.map(({ key, name, percent, cancel }) => (
        <li key={key}>
          <Row {...{ name, percent }} words={t('fileTaking')} />
          <Act icon="close" words={t('fileDrop', { name })} run={cancel} />
        </li>
      ))}
      {kept.map(file => (
        <li key={file.id}>
          <Row name={file.name} percent={file.percent} words={wordsOf(file)} isFault={file.state === 'failed'} />
          {(file.state === 'sending' || file.state === 'waiting') && (
            <Act
              icon="pause"
              words={t('filePause', { name: file.name })}
              run={() => void tried('files.pause', { file: file.id })}
            />
          )}
          {(file.state === 'paused' || file.state === 'failed') && (
            <Act
              icon="play"
              words={t('fileResume', { name: file.name })}
              run={() => void tried('files.resume', { file: file.id })}
            />
          )}
          <Act
            icon="close"
            words={t('fileDrop', { name: file.name })}
            run={() => void tried('files.drop', { file: file.id })}
          />
        </li>
      ))}
    </ul>
  );
}

const states: Readonly<Record<Exclude<UnsentView['state'], 'failed'>, StringName>> = {
  waiting: 'fileWaiting',
  paused: 'filePaused',
  sending: 'fileSending',
  sent: 'stateSent',
};

function wordsOf({ state, failure = '' }: UnsentView): string {
  if (state !== 'failed') return t(states[state]);
  return [t('stateFailed'), faultWords({ code: failure, text: '', retry: false })].join('. ');
}

type RowProps = {
  readonly name: string;
  readonly words: string;
  readonly percent: number | undefined;
  readonly isFault?: boolean;
};

function Row({ name, words, percent, isFault = false }: RowProps) {
  return (
    <div>
      <bdi>{name}</bdi>
      <small class={isFault ? 'wrong' : ''}>{words}</small>
      {percent !== undefined && !isFault && (
        <progress max={100} value={percent} aria-label={t('fileProgress', { name })}>
          {percent} %
        </progress>
      )}
    </div>
  );
}

function Act({
  icon,
  words,
  run,
}: {
  readonly icon: 'close' | 'pause' | 'play';
  readonly words: string;
  readonly run: () => void;
}) {
  return (
    <button type="button" class="quiet" aria-label={words} title={words} onClick={run}>
      <Icon name={icon} />
    </button>
  );
}
