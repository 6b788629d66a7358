// How large a picture may be that is prepared for sending, and what is made of it. Knows no library.

export const pictureLimits = {
  maxInputBytes: 134_217_728,
  /** Of all frames together, looked at before anything is decoded: at most 480 MB in the media process. */
  maxPixels: 120_000_000,
  maxFrames: 1_500,
  maxEdgePixels: { standard: 2_048, high: 4_096, original: undefined },
  maxThumbnailBytes: 8_192,
  thumbnailEdgePixels: 256,
} as const;
