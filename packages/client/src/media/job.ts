// What the client asks of the media process, and what it answers. Knows nothing of either, and loads nothing: each picture
// has a process that begins with it.

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

/** Why a kind of picture can't be rewritten here, and what its owner can do beside what `media-unreadable` says. */
export function pictureAdvice(what: string): string {
  return `${what} can’t be read here: JPEG and PNG can`;
}

export function movingAdvice(what: string): string {
  return `${what} would stand still: as GIF or WebP it moves on`;
}

export const pagesAdvice =
  'a TIFF of several pages would lose all but the first: send each as a picture, or a PDF as a file';
