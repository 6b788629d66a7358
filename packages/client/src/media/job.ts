// What the client asks of the media process, and what it answers. Knows nothing of either.

import { attachmentPointerLimits } from '@drawbridge/e2ee/content-attachment';

/** How much of a picture is kept. `original` keeps all pixels; metadata goes in every case. */
export const mediaQualities = ['standard', 'high', 'original'] as const;
export type MediaQuality = (typeof mediaQualities)[number];

export type MediaJob =
  | { readonly kind: 'picture'; readonly from: string; readonly to: string; readonly quality: MediaQuality }
  | { readonly kind: 'preview'; readonly picture: Uint8Array }
  | { readonly kind: 'video'; readonly from: string; readonly to: string }
  | { readonly kind: 'voice'; readonly from: string; readonly to: string };

/** What is said of a file in its pointer, as far as it is known. */
export type MediaFacts = {
  readonly mediaType: string;
  readonly width?: number;
  readonly height?: number;
  readonly durationMs?: number;
  readonly blurhash?: string;
  readonly thumbnail?: Uint8Array;
  readonly waveform?: Uint8Array;
  readonly animated?: boolean;
};

export type MediaRefusal = {
  readonly kind: 'refused';
  readonly code: 'media-unreadable' | 'media-too-large' | 'file-not-written';
  readonly detail: string;
};

export type MediaAnswer =
  | { readonly kind: 'prepared'; readonly facts: MediaFacts }
  /** A container of the kind that videos come in, with sound alone. */
  | { readonly kind: 'sound-only' }
  | MediaRefusal;

export function refused(detail: string, code: MediaRefusal['code'] = 'media-unreadable'): MediaRefusal {
  return { kind: 'refused', code, detail };
}

/** Why a kind of picture can't be rewritten here, and what its owner can do. */
export function pictureAdvice(what: string): string {
  return `${what} can’t be cleaned here: send it as JPEG or PNG, or as a file with all that it says of maker, place and time`;
}

/**
 * Reads what the media process said. It may be anybody's by then: what isn't exactly an answer is a refusal, and a field
 * that is not of a pointer's limits is none.
 */
export function parseAnswer(value: unknown): MediaAnswer {
  if (!isRecord(value)) return refused('its decoder gave no answer');
  if (value['kind'] === 'refused') {
    const code = codes.find(each => each === value['code']);
    const { detail } = value;
    return refused(typeof detail === 'string' ? detail.slice(0, maxDetailCharacters) : '', code);
  }
  if (value['kind'] === 'sound-only') return { kind: 'sound-only' };
  const { kind, facts } = value;
  if (kind !== 'prepared' || !isRecord(facts) || typeof facts['mediaType'] !== 'string') {
    return refused('its decoder gave no answer');
  }
  const { maxMediaTypeBytes, maxBlurhashBytes, maxThumbnailBytes, maxWaveformBytes } = attachmentPointerLimits;
  const { mediaType, width, height, durationMs, blurhash, thumbnail, waveform, animated } = facts;
  return {
    kind,
    facts: {
      mediaType: mediaType.slice(0, maxMediaTypeBytes),
      ...(isCount(width) && isCount(height) ? { width, height } : {}),
      ...(isCount(durationMs) ? { durationMs } : {}),
      ...(typeof blurhash === 'string' && blurhash.length <= maxBlurhashBytes ? { blurhash } : {}),
      ...(isBytes(thumbnail, maxThumbnailBytes) ? { thumbnail } : {}),
      ...(isBytes(waveform, maxWaveformBytes) ? { waveform } : {}),
      ...(animated === true ? { animated } : {}),
    },
  };
}

const codes = ['media-unreadable', 'media-too-large', 'file-not-written'] as const;
const maxDetailCharacters = 200;

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 0xff_ff_ff_ff;
}

function isBytes(value: unknown, maxBytes: number): value is Uint8Array {
  return value instanceof Uint8Array && value.length <= maxBytes;
}
