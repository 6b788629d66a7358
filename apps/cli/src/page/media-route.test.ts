// What leads to a file and what part of it is given: addresses, types, ranges, and who comes when.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { partAsked } from './media-desk.ts';
import { mediaPath, readMediaPath } from './media-path.ts';
import { previewType, shownType } from './media-type.ts';
import { Turns } from './turns.ts';

test('an address is of one file and one use, and nobody can make another of it', () => {
  const place = { use: 'show', author: '12-abc234', id: '0123456789abcdef'.repeat(2), index: 3 } as const;
  const path = mediaPath(place);
  assert.deepEqual(readMediaPath(path), place);
  for (const other of [
    { ...place, use: 'save' as const },
    { ...place, author: '12-abc235' },
    { ...place, index: 13 },
  ]) {
    const mark = path.slice(path.lastIndexOf('/'));
    const theirs = mediaPath(other);
    assert.equal(readMediaPath(theirs.slice(0, theirs.lastIndexOf('/')) + mark), undefined);
  }
  fc.assert(fc.property(fc.string({ maxLength: 200 }), text => readMediaPath(`/media/${text}`) === undefined));
});

test('a browser is shown pictures, films and sound that it decodes, and nothing with markup or code in it', () => {
  assert.equal(shownType('image', 'image/JPEG; x=1'), 'image/jpeg');
  assert.equal(shownType('voice', 'audio/ogg'), 'audio/ogg');
  for (const [kind, type] of [
    ['image', 'image/svg+xml'],
    ['image', 'text/html'],
    ['image', 'video/mp4'],
    ['file', 'image/png'],
    ['video', 'application/pdf'],
    ['image', ''],
    ['toString', 'image/png'],
    ['__proto__', 'image/png'],
  ] as const) {
    assert.equal(shownType(kind, type), undefined, `${kind} ${type}`);
  }
  assert.equal(previewType(Uint8Array.of(0xff, 0xd8, 0xff, 0xe0)), 'image/jpeg');
  assert.equal(previewType(Buffer.from('RIFF0000WEBPVP8 ')), 'image/webp');
  assert.equal(previewType(Buffer.from('<svg xmlns="http://www.w3.org/2000/svg">')), undefined);
  assert.equal(previewType(new Uint8Array()), undefined);
});

test('a range is the part that is asked for, and at most so much of it', () => {
  const part = (startBytes: number, endBytes: number) => ({ startBytes, endBytes });
  const cases: [string | undefined, ReturnType<typeof partAsked>][] = [
    [undefined, 'whole'],
    ['bytes=0-', part(0, 40)],
    ['bytes=0-0', part(0, 1)],
    ['bytes=90-200', part(90, 100)],
    ['bytes=99-', part(99, 100)],
    ['bytes=100-', 'unsatisfiable'],
    ['bytes=-10', part(90, 100)],
    ['bytes=-200', part(0, 40)],
    ['bytes=-0', 'unsatisfiable'],
    ['bytes=5-4', 'whole'],
    ['bytes=0-1,3-4', 'whole'],
    ['bytes=-', 'whole'],
    ['bytes=a-b', 'whole'],
    ['items=0-1', 'whole'],
  ];
  for (const [header, wanted] of cases) assert.deepEqual(partAsked(header, 100, 40), wanted, String(header));
  assert.equal(partAsked('bytes=0-', 0, 40), 'unsatisfiable');
});

test('so many at once, the others in their order, also when one fails', async () => {
  const turns = new Turns(2);
  const order: number[] = [];
  let now = 0;
  let most = 0;
  const work = (at: number) => async (): Promise<void> => {
    most = Math.max(most, ++now);
    await new Promise(resolve => setImmediate(resolve));
    order.push(at);
    now--;
    if (at === 1) throw new Error('broken');
  };
  const done = await Promise.allSettled([0, 1, 2, 3, 4, 5].map(at => turns.run(work(at))));
  assert.deepEqual(order, [0, 1, 2, 3, 4, 5]);
  assert.equal(most, 2);
  assert.deepEqual(
    done.map(({ status }) => status === 'fulfilled'),
    [true, false, true, true, true, true],
  );
});
