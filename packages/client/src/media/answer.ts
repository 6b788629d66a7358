// What the media process said, read by whoever asked. Knows nothing of what was asked.
import { attachmentPointerLimits } from '@drawbridge/e2ee/content-attachment';
import { type MediaAnswer, refused } from './job.ts';

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
