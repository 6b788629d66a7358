// Where a page finds the files of a message: an address that nobody can make but this process, so that it stands for the half
// of a session that a picture's or a download's request can't carry. Knows nothing of files and of HTTP.
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

/** `show`: as a picture, video or sound in the page. `preview`: the small picture that came with it. `save`: to be kept. */
const uses = ['show', 'preview', 'save'] as const;
export type MediaUse = (typeof uses)[number];

export type MediaPlace = {
  readonly use: MediaUse;
  readonly author: string;
  readonly id: string;
  readonly index: number;
};

/** Of this process: the addresses of another one lead nowhere. */
const key = randomBytes(32);

const marked = ({ use, author, id, index }: MediaPlace): string => [use, author, id, index].join('/');
const markOf = (place: MediaPlace): Buffer => createHmac('sha256', key).update(marked(place)).digest();

export function mediaPath(place: MediaPlace): string {
  return `/media/${marked(place)}/${markOf(place).toString('base64url')}`;
}

/** Undefined: not one of ours. */
export function readMediaPath(path: string): MediaPlace | undefined {
  const [, use, author, id, index, mark] =
    /^\/media\/([a-z]+)\/([0-9a-z-]{1,64})\/([0-9a-f]{32})\/(\d{1,3})\/([\w-]{43})$/.exec(path) ?? [];
  const known = uses.find(each => each === use);
  if (known === undefined || author === undefined || id === undefined || mark === undefined) return undefined;
  const place = { use: known, author, id, index: Number(index) };
  return timingSafeEqual(Buffer.from(mark, 'base64url'), markOf(place)) ? place : undefined;
}
