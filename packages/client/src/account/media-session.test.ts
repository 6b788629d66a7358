// An app with a login of its own gives the session for files: asked once, again when refused or when it failed.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type MediaSession, mediaPlaceOf } from './media-session.ts';

const mediaUrl = 'https://skylark.example/media';

test('the app is asked once for many uploads, and again when a session is refused', async () => {
  const asked: boolean[] = [];
  const place = mediaPlaceOf(async ({ renew }) => {
    asked.push(renew);
    return { session: `session-${asked.length}`, mediaUrl };
  });
  assert.deepEqual(await Promise.all([place.mediaEndpoint(), place.mediaEndpoint()]), [mediaUrl, mediaUrl]);
  assert.equal(await place.session(), 'session-1');
  assert.equal(await place.session(true), 'session-2');
  assert.equal(await place.session(), 'session-2');
  assert.deepEqual(asked, [false, true]);
});

test('an app that failed, or had no place, is asked again', async () => {
  const answers: (MediaSession | Error | undefined)[] = [new Error('offline'), undefined, { session: 's', mediaUrl }];
  const place = mediaPlaceOf(async () => {
    const next = answers.shift();
    if (next instanceof Error) throw next;
    return next;
  });
  await assert.rejects(place.mediaEndpoint(), /offline/);
  assert.equal(await place.mediaEndpoint(), undefined);
  assert.equal(await place.mediaEndpoint(), mediaUrl);
});

test('without a place a session is refused, and a token is sent to no plain or broken URL', async () => {
  await assert.rejects(mediaPlaceOf(async () => undefined).session(), { code: 'no-media-origin' });
  for (const wrong of ['http://skylark.example/media', 'skylark', '']) {
    const place = mediaPlaceOf(async () => ({ session: 's', mediaUrl: wrong }));
    await assert.rejects(place.session(), { code: 'invalid-argument' });
  }
});
