// What every user directory must do, as tests. Knows no store.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { UserDirectory } from '../directory/user-directory.ts';

export type OpenDirectory = () => Promise<{
  readonly directory: UserDirectory;
  /** Puts somebody in, where people register elsewhere; `directory.register` when left out. */
  readonly add?: (identifier: string, password: string) => Promise<void>;
  readonly remove: (identifier: string) => Promise<boolean>;
}>;

/** Runs the contract against directories that `open` makes, each of them empty. */
export function testUserDirectory(name: string, open: OpenDirectory): void {
  const added = async (opened: Awaited<ReturnType<OpenDirectory>>, identifier: string): Promise<void> => {
    if (opened.add !== undefined) return opened.add(identifier, 'correct horse');
    assert.deepEqual(await opened.directory.register?.(identifier, 'correct horse'), { kind: 'registered' });
  };

  void test(`${name}: only the exact identifier with its password is authenticated`, async () => {
    const opened = await open();
    const { directory } = opened;
    await added(opened, 'mia');
    assert.deepEqual(await directory.authenticate('mia', 'correct horse'), { kind: 'authenticated' });
    for (const [identifier, password] of [
      ['mia', 'another one'],
      ['mia', ''],
      ['mia', 'correct horse '],
      ['Mia', 'correct horse'],
      ['mia ', 'correct horse'],
      ['nobody', 'correct horse'],
      ['', ''],
    ] as const) {
      assert.deepEqual(
        await directory.authenticate(identifier, password),
        { kind: 'refused' },
        `${identifier}/${password}`,
      );
    }
    assert.equal(await directory.exists('mia'), true);
    assert.equal(await directory.exists('Mia'), false);
  });

  void test(`${name}: a removed user is unknown at once`, async () => {
    const opened = await open();
    const { directory, remove } = opened;
    await added(opened, 'mia');
    assert.equal(await remove('mia'), true);
    assert.equal(await remove('mia'), false);
    assert.equal(await directory.exists('mia'), false);
    assert.deepEqual(await directory.authenticate('mia', 'correct horse'), { kind: 'refused' });
  });

  void test(`${name}: registrations are judged, and of many at once exactly one gets the identifier`, async () => {
    const { directory, remove } = await open();
    const { register } = directory;
    if (register === undefined) return;
    const all = await Promise.all(Array.from({ length: 10 }, (_, n) => register('mia', `password ${n}`)));
    assert.equal(all.filter(each => each.kind === 'registered').length, 1);
    assert(all.every(each => each.kind !== 'refused' || each.code === 'identifier-taken'));
    const winner = all.findIndex(each => each.kind === 'registered');
    assert.deepEqual(await directory.authenticate('mia', `password ${winner}`), { kind: 'authenticated' });
    assert.deepEqual(await register('mia ', 'another one'), { kind: 'refused', code: 'identifier-refused' });
    assert.deepEqual(await register('otto', 'short'), { kind: 'refused', code: 'password-refused' });
    assert.equal(await directory.exists('otto'), false, 'a refusal leaves nobody behind');
    await remove('mia');
    assert.deepEqual(await register('mia', 'another one'), { kind: 'registered' });
  });
}
