// How large pictures, videos and voice messages may be that are prepared for sending, and what is made of them.
// Values alone.

export const pictureLimits = {
  maxInputBytes: 134_217_728,
  /** Of all frames together, looked at before anything is decoded: at most 480 MB in the media process. */
  maxPixels: 120_000_000,
  maxFrames: 1_500,
  /** Of all frames of a moving picture together: each of them is decoded and coded. */
  maxMovingPixels: 60_000_000,
  maxEdgePixels: { standard: 2_048, high: 4_096, original: undefined },
  maxThumbnailBytes: 8_192,
  thumbnailEdgePixels: 256,
} as const;

export const videoLimits = {
  /** As many as an attachment may have. */
  maxInputBytes: 2_147_483_648,
  /** Pictures that an edit list hides and that leave all the same: the delay that reordered pictures need, in seconds. */
  editToleranceS: 0.1,
  /** What may be missing at the beginning of a trimmed video, because no picture stands by itself there. */
  maxTrimLossS: 1,
  /** What a sound codec needs in front of the first sound that is heard. */
  audioRunUpS: 0.1,
} as const;

export const voiceLimits = {
  /** An hour of 48 kHz, two channels, 16 bits. */
  maxInputBytes: 691_200_044,
  maxDurationMs: 3_600_000,
  /** Of WAV: what is sampled more rarely becomes much more when it is encoded. */
  minSampleHz: 4_000,
  maxSampleHz: 192_000,
  waveformSteps: 64,
  /** Packets that are listened to for one step of the waveform, in runs; all, when there are not more. */
  maxPacketsPerStep: 160,
  packetsPerRun: 16,
  /** Decoded at the start of a run and not counted: the decoder finds its way in. */
  runUpPackets: 3,
  /** Of what is encoded here; what is Opus already stays as it is. */
  bitRate: 32_000,
  /** Of 10: what is above takes twice the time, and speech sounds the same. */
  complexity: 5,
  /** Root of the mean square, of 1: what is never louder is shown as silence. */
  silence: 0.000_1,
  /** Said with a refusal. */
  advice: 'give Opus in Ogg or WebM, or WAV; `ffmpeg -i FILE -c:a libopus VOICE.ogg` makes the first',
} as const;
