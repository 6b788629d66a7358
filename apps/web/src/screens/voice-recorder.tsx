// A voice message, recorded in the page: what the browser makes of it goes to the process, and the SDK makes Ogg Opus of it.
// Knows nothing of chats.
import { useEffect, useRef, useState } from 'preact/hooks';
import { say } from '../calls.ts';
import { sendFile } from '../files.ts';
import { clock } from '../format.ts';
import { Icon } from '../parts/icon.tsx';
import { t } from '../strings.ts';
import { encodeWav } from '../wav.ts';

/** As long as the SDK takes. */
const longestMs = 3_600_000;
const tickMs = 250;
/** The SDK takes their Opus as it is; of all else the page makes WAV. */
const readable = ['audio/webm;codecs=opus', 'audio/ogg;codecs=opus'] as const;

type Props = { readonly chat: string; readonly onClose: () => void };

export function VoiceRecorder({ chat, onClose }: Props) {
  const recording = useRef<Recording>(undefined);
  const [elapsedMs, setElapsedMs] = useState<number>();
  const isGone = useRef(false);
  useEffect(() => {
    void Recording.start().then(
      started => {
        if (isGone.current) return started.discard();
        recording.current = started;
        setElapsedMs(0);
      },
      () => {
        say(t('microphoneRefused'), true);
        onClose();
      },
    );
    const timer = setInterval(() => {
      const now = recording.current?.elapsedMs();
      if (now !== undefined) setElapsedMs(now);
    }, tickMs);
    return () => {
      isGone.current = true;
      clearInterval(timer);
      recording.current?.discard();
    };
  }, []);
  const send = async (): Promise<void> => {
    const body = await recording.current?.finish();
    recording.current = undefined;
    onClose();
    if (body !== undefined) await sendFile(chat, body, t('kindVoice'), { caption: '', kind: 'voice', viewOnce: false });
  };
  return (
    <div
      class="composer-row recorder"
      role="group"
      aria-label={t('recording')}
      onKeyDown={event => {
        if (event.key === 'Escape') onClose();
      }}
    >
      <button type="button" class="quiet round" aria-label={t('discardRecording')} onClick={onClose}>
        <Icon name="close" />
      </button>
      <p>
        <span class="recording-mark" aria-hidden="true" />
        {t('recording')} <time>{clock(elapsedMs ?? 0)}</time>
      </p>
      <button
        type="button"
        class="primary round"
        aria-label={t('send')}
        autofocus
        disabled={elapsedMs === undefined}
        onClick={() => void send()}
      >
        <Icon name="send" class="mirrored" />
      </button>
    </div>
  );
}

class Recording {
  readonly #recorder: MediaRecorder;
  readonly #pieces: Blob[] = [];
  readonly #startedMs = performance.now();
  readonly #ended: Promise<void>;
  readonly #longest: ReturnType<typeof setTimeout>;
  #pausedMs: number | undefined;

  static async start(): Promise<Recording> {
    const sound = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1 } });
    const mimeType = readable.find(type => MediaRecorder.isTypeSupported(type));
    return new Recording(new MediaRecorder(sound, mimeType === undefined ? {} : { mimeType }));
  }

  private constructor(recorder: MediaRecorder) {
    this.#recorder = recorder;
    recorder.addEventListener('dataavailable', ({ data }) => this.#pieces.push(data));
    this.#ended = new Promise(resolve => recorder.addEventListener('stop', () => resolve()));
    recorder.start();
    this.#longest = setTimeout(() => {
      this.#pausedMs = longestMs;
      recorder.pause();
    }, longestMs);
  }

  elapsedMs(): number {
    return this.#pausedMs ?? performance.now() - this.#startedMs;
  }

  discard(): void {
    clearTimeout(this.#longest);
    if (this.#recorder.state !== 'inactive') this.#recorder.stop();
    for (const track of this.#recorder.stream.getTracks()) track.stop();
  }

  async finish(): Promise<Blob> {
    this.discard();
    await this.#ended;
    const { mimeType } = this.#recorder;
    const body = new Blob(this.#pieces, { type: mimeType });
    return /^audio\/(?:webm|ogg)/.test(mimeType) ? body : wavOf(body);
  }
}

async function wavOf(body: Blob): Promise<Blob> {
  const context = new OfflineAudioContext(1, 1, 48_000);
  const sound = await context.decodeAudioData(await body.arrayBuffer());
  return encodeWav(sound.getChannelData(0), sound.sampleRate);
}
