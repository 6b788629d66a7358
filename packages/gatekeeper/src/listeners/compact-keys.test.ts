// The keys of the compact transport on disk: made, renewed, followed by the backup key, lost, and in the middle of a crash.
import assert from 'node:assert/strict';
import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { followStatements, type PinnedKeys } from '@drawbridge/identity/signing-key-succession';
import { importPinnedKey, isStaticKeyCertified } from '@drawbridge/identity/static-key-certificate';
import {
  backupFileOf,
  type CompactKeys,
  compactKeysFault,
  loadCompactKeys,
  rotateCompactKeys,
  rotateSigningKey,
} from './compact-keys.ts';

const root = mkdtempSync(join(tmpdir(), 'drawbridge-compact-keys-'));
after(() => rmSync(root, { recursive: true }));
const domain = 'citadel.example';
const nowMs = 1_800_000_000_000;
const place = () => join(mkdtempSync(join(root, 'data-')), 'compact-keys.json');

/** What a client pins that enlists now. */
function pinsOf({ signingJwk, succession }: CompactKeys): PinnedKeys {
  return followStatements(domain, { signingKey: signingJwk.x, since: 0 }, succession);
}

function isCertified(keys: CompactKeys, { signingKey }: PinnedKeys): boolean {
  return isStaticKeyCertified(keys.certificate, domain, importPinnedKey(signingKey)!, nowMs);
}

test('a start by a clock that is decades ahead leaves no certificate that clients refuse when it is right again', () => {
  const file = place();
  const pins = pinsOf(loadCompactKeys(file, domain, nowMs));
  loadCompactKeys(file, domain, nowMs + 64 * 365 * 86_400_000);
  assert(isCertified(loadCompactKeys(file, domain, nowMs + 60_000), pins));
});

test('keys are made once, with a backup key beside them, for their owner alone', () => {
  const file = place();
  const keys = loadCompactKeys(file, domain, nowMs);
  const pins = pinsOf(keys);
  assert.equal(pins.signingKey, keys.signingJwk.x);
  assert(pins.backupKey !== undefined && pins.backupKey !== pins.signingKey);
  assert(isCertified(keys, pins));
  for (const each of [file, backupFileOf(file)]) assert.equal(statSync(each).mode & 0o777, 0o600);
  // The backup key may be taken away: nothing needs it until it follows.
  rmSync(backupFileOf(file));
  const again = loadCompactKeys(file, domain, nowMs + 1_000);
  assert.deepEqual([again.signingJwk, again.succession], [keys.signingJwk, keys.succession]);
  assert.deepEqual(
    rotateCompactKeys(file, domain, nowMs).succession,
    keys.succession,
    'static keys are another matter',
  );
  assert(!existsSync(backupFileOf(file)));
});

test('a file of 0.1.0 keeps its keys and gets a backup key', () => {
  const file = place();
  const first = loadCompactKeys(file, domain, nowMs);
  const { succession: _, ...of010 } = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
  writeFileSync(file, JSON.stringify(of010));
  rmSync(backupFileOf(file));
  const keys = loadCompactKeys(file, domain, nowMs);
  assert.deepEqual([keys.signingJwk, keys.staticKeyPairs], [first.signingJwk, first.staticKeyPairs]);
  assert(pinsOf(keys).backupKey !== undefined && existsSync(backupFileOf(file)));
});

test('the backup key follows: whoever pinned either key comes along, and earlier static keys are gone', () => {
  const file = place();
  const first = loadCompactKeys(file, domain, nowMs);
  const pinned = pinsOf(first);
  const away = join(root, 'safe.json');
  renameSync(backupFileOf(file), away);
  const second = rotateSigningKey(file, domain, nowMs, away);
  assert.equal(second.signingJwk.x, pinned.backupKey);
  for (const pins of [pinned, { signingKey: pinned.signingKey, since: 0 }]) {
    const moved = followStatements(domain, pins, second.succession);
    assert.deepEqual(moved, pinsOf(second));
    assert(isCertified(second, moved) && !isCertified(second, pins));
  }
  assert.equal(second.staticKeyPairs.length, 1);
  assert.notDeepEqual(second.staticKeyPairs[0].publicKey, first.staticKeyPairs[0].publicKey);
  assert.deepEqual(loadCompactKeys(file, domain, nowMs).succession, second.succession);
  // The same second, and the next backup key.
  const third = rotateSigningKey(file, domain, nowMs);
  assert.deepEqual(followStatements(domain, pinned, third.succession), pinsOf(third));
  // Whoever stole the first key can't lead anybody back.
  assert.deepEqual(followStatements(domain, pinsOf(third), first.succession), pinsOf(third));
});

test('a key that clients don’t know follows nobody, and nothing is changed', () => {
  const file = place();
  loadCompactKeys(file, domain, nowMs);
  const other = place();
  loadCompactKeys(other, domain, nowMs);
  const before = [file, backupFileOf(file)].map(each => readFileSync(each, 'utf8'));
  const refused = { code: 'compact-keys-unusable' };
  assert.throws(() => rotateSigningKey(file, domain, nowMs, backupFileOf(other)), refused);
  assert.throws(() => rotateSigningKey(file, domain, nowMs, join(root, 'nowhere.json')), refused);
  assert.throws(() => rotateSigningKey(file, domain, nowMs, file), refused);
  assert.deepEqual(
    [file, backupFileOf(file)].map(each => readFileSync(each, 'utf8')),
    before,
  );
});

test('keys that are lost are not made again in silence: the backup key leads those who pinned it on', () => {
  const file = place();
  const pinned = pinsOf(loadCompactKeys(file, domain, nowMs));
  assert.equal(compactKeysFault(file, domain), undefined);
  rmSync(file);
  assert.throws(() => loadCompactKeys(file, domain, nowMs), { code: 'compact-keys-unusable' });
  assert.match(compactKeysFault(file, domain) ?? '', /is gone, and clients have pinned its key/);
  const keys = rotateSigningKey(file, domain, nowMs + 1_000);
  const moved = followStatements(domain, pinned, keys.succession);
  assert.deepEqual(moved, pinsOf(keys));
  assert(isCertified(keys, moved));
  assert.equal(followStatements(domain, { signingKey: pinned.signingKey, since: 0 }, keys.succession).since, 0);
});

test('a crash between the files leaves the keys before or after', () => {
  const file = place();
  loadCompactKeys(file, domain, nowMs);
  const [keys, backup] = [`${file}.copy`, `${backupFileOf(file)}.copy`];
  copyFileSync(file, keys);
  copyFileSync(backupFileOf(file), backup);
  const rotated = rotateSigningKey(file, domain, nowMs);
  // After the keys were written, before the next backup key took its place.
  renameSync(backupFileOf(file), `${backupFileOf(file)}.next`);
  copyFileSync(backup, backupFileOf(file));
  assert.deepEqual(loadCompactKeys(file, domain, nowMs).succession, rotated.succession);
  const next = rotateSigningKey(file, domain, nowMs);
  assert.equal(next.signingJwk.x, pinsOf(rotated).backupKey);
  // Before the keys were written: the next backup key is nobody's, and the one that clients know is still there.
  copyFileSync(keys, file);
  copyFileSync(backupFileOf(file), `${backupFileOf(file)}.next`);
  copyFileSync(backup, backupFileOf(file));
  const before = loadCompactKeys(file, domain, nowMs);
  assert.equal(rotateSigningKey(file, domain, nowMs).signingJwk.x, pinsOf(before).backupKey);
});
