// How large pictures, videos and voice messages may be that are prepared for sending, and what is made of them.

export const pictureLimits = {
  maxInputBytes: 134_217_728,
  /** Of all frames together, looked at before anything is decoded: at most 480 MB in the media process. */
  maxPixels: 120_000_000,
  maxFrames: 1_500,
  maxEdgePixels: { standard: 2_048, high: 4_096, original: undefined },
  maxThumbnailBytes: 8_192,
  thumbnailEdgePixels: 256,
} as const;

export const videoLimits = {
  /** As many as an attachment may have. */
  maxInputBytes: 2_147_483_648,
} as const;

export const voiceLimits = {
  /** An hour of 48 kHz, two channels, 16 bits. */
  maxInputBytes: 691_200_044,
  maxDurationMs: 3_600_000,
  /** Of WAV: what is sampled more rarely becomes much more when it is encoded. */
  minSampleHz: 4_000,
  maxSampleHz: 192_000,
  waveformSteps: 64,
  /** Of what is encoded here; what is Opus already stays as it is. */
  bitRate: 32_000,
  /** Root of the mean square, of 1: what is never louder is shown as silence. */
  silence: 0.000_1,
  /** Said with a refusal. */
  advice: 'give Opus in Ogg or WebM, or WAV; `ffmpeg -i FILE -c:a libopus VOICE.ogg` makes the first',
} as const;
