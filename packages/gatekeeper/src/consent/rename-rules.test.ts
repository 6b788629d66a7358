// What a rename changes of one person's decisions, from every pair of states.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { contactStates } from './contact.ts';
import type { KeptContact } from './contact-rules.ts';
import { type KeptOfNames, renameChanges } from './rename-rules.ts';

const renamed = {
  keys: { from: 'old name', to: 'new name', sharedFrom: '*old name' },
  provider: 1,
  interopId: `1-${'a'.repeat(26)}`,
  maxCarriedBlocks: 5,
} as const;
const kept = (state: KeptContact['state'], isCarried = false, isOpen = false): KeptContact => ({
  state,
  isOpen,
  loud: 2,
  silent: 1,
  isCarried,
});
const every = [undefined, ...contactStates.map(state => kept(state)), kept('blocked', true)];

/** What stands under both names after the changes. */
function after(names: KeptOfNames): { readonly from: KeptContact | undefined; readonly to: KeptContact | undefined } {
  const rows = new Map<string, KeptContact>();
  if (names.from !== undefined) rows.set(renamed.keys.from, names.from);
  if (names.to !== undefined) rows.set(renamed.keys.to, names.to);
  for (const change of renameChanges(7, renamed, names)) {
    assert.equal(change.account, 7);
    if (change.kind === 'forget') assert(rows.delete(change.key));
    else if (change.kind === 'move') {
      const row = rows.get(change.key);
      assert(row !== undefined && !rows.has(change.to));
      rows.delete(change.key);
      rows.set(change.to, row);
    } else if (change.kind === 'carry') {
      const row = rows.get(change.key) ?? { isOpen: false, loud: 0, silent: 0 };
      rows.set(change.key, { ...row, state: 'blocked', isCarried: true });
    } else if (change.kind === 'put') {
      const row = rows.get(change.key) ?? { loud: 0, silent: 0 };
      rows.set(change.key, { ...row, state: change.state, isOpen: change.isOpen, isCarried: false });
    } else assert.deepEqual(change, { kind: 'bound-carried', account: 7, provider: 1, state: 'blocked', max: 5 });
  }
  return { from: rows.get(renamed.keys.from), to: rows.get(renamed.keys.to) };
}

test('a decision follows the person, a block of either name stands, and nothing is left under the earlier one', () => {
  for (const from of every) {
    for (const to of every) {
      for (const isBlockedByIdentifier of [false, true]) {
        const done = after({ from, to, isBlockedByIdentifier });
        assert.equal(done.from, undefined);
        if (from === undefined && !isBlockedByIdentifier) {
          assert.deepEqual(done.to, to);
          continue;
        }
        const isBlocked = isBlockedByIdentifier || from?.state === 'blocked' || to?.state === 'blocked';
        assert.equal(done.to?.state, isBlocked ? 'blocked' : from?.state);
        const isOwn = [from, to].some(each => each?.state === 'blocked' && !each.isCarried);
        assert.equal(
          done.to?.isCarried,
          isBlocked && !isOwn,
          'who has blocked one of them themselves keeps their own block',
        );
        if (from !== undefined)
          assert.deepEqual([done.to?.loud, done.to?.silent], [2, 1], 'what was counted goes along');
      }
    }
  }
});

test('whether somebody was accepted once is theirs, and not of whoever had the name before', () => {
  const open = kept('accepted', false, true);
  assert.equal(after({ from: open, to: kept('blocked'), isBlockedByIdentifier: false }).to?.isOpen, true);
  const had = kept('blocked', false, true);
  assert.equal(after({ from: kept('denied'), to: had, isBlockedByIdentifier: false }).to?.isOpen, false);
  assert.equal(after({ from: undefined, to: had, isBlockedByIdentifier: true }).to?.isOpen, false);
});

test('each block that is carried has the bound behind it', () => {
  for (const from of every) {
    const kinds = renameChanges(7, renamed, { from, to: undefined, isBlockedByIdentifier: true }).map(
      each => each.kind,
    );
    const carries = from?.state !== 'blocked' || from.isCarried;
    assert.deepEqual(kinds.slice(-2), carries ? ['carry', 'bound-carried'] : ['move']);
  }
});
