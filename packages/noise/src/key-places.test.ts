// Places for keys: each key its own, whatever becomes of others; given back, it is wiped and somebody else's.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KeyPlaces } from './key-places.ts';

const wipe = (secret: Uint8Array): void => void secret.fill(0);

function keyAt(places: KeyPlaces, place: number): Uint8Array {
  const words = new Uint32Array(8);
  places.read(place, words);
  return new Uint8Array(words.buffer);
}

test('keys stay what they are while thousands of others come and go', () => {
  const places = new KeyPlaces();
  const held = new Map<number, Uint8Array>();
  for (let i = 0; i < 5_000; i++) {
    const key = Uint8Array.from({ length: 32 }, (_, at) => (i * 31 + at * 7) & 255);
    const place = places.take(key);
    assert.ok(!held.has(place), 'a place is one key’s');
    held.set(place, Uint8Array.from(key));
    key.fill(0);
    assert.deepEqual(keyAt(places, place), held.get(place), 'a copy, not the caller’s bytes');
    if (i % 3 !== 0) continue;
    const [gone] = held.keys();
    held.delete(gone!);
    places.giveBack(gone!, wipe);
    assert.deepEqual(keyAt(places, gone!), new Uint8Array(32), 'wiped when it is given back');
  }
  assert.equal(places.taken, held.size);
  for (const [place, key] of held) assert.deepEqual(keyAt(places, place), key);
  for (const place of held.keys()) places.giveBack(place, wipe);
  assert.equal(places.taken, 0);
});

test('what is given back is taken again before memory grows', () => {
  const places = new KeyPlaces();
  const first = places.take(new Uint8Array(32).fill(1));
  places.giveBack(first, wipe);
  assert.equal(places.take(new Uint8Array(32).fill(2)), first);
  assert.deepEqual(keyAt(places, first), new Uint8Array(32).fill(2));
});
