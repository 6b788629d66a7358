// What is changed when somebody writes for the first time, or decides; from every state.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { contactKeys, contactStates, providerKey } from './contact.ts';
import { admitChanges, type ContactChange, decideChanges, type KeptContact, type KeptOfPair } from './contact-rules.ts';
import type { AdmitArgs, DecideArgs } from './contact-store.ts';

const party = (row: number, provider: number, identifier: string) => ({
  row,
  provider,
  interopId: `${provider}-${String.fromCharCode(96 + row).repeat(26)}`,
  contacts: contactKeys({ provider, identifier }),
});
const eve = party(1, 1, '+4915112345678');
const bob = party(2, 0, 'bob');
const kept = (state: KeptContact['state'], more: Partial<KeptContact> = {}): KeptContact => ({
  state,
  isOpen: false,
  loud: 0,
  silent: 0,
  isCarried: false,
  ...more,
});
const first = (more: Partial<AdmitArgs> = {}): AdmitArgs => ({
  from: eve,
  to: bob,
  accepts: false,
  isFirst: true,
  isLoud: true,
  isSmall: true,
  maxMessages: 3,
  maxWaiting: 200,
  maxContacts: 2_000,
  nowMs: 0,
  ...more,
});
const nothing: KeptOfPair = {
  theirs: undefined,
  isBlockedByIdentifier: false,
  isBlockedByProvider: false,
  mine: undefined,
};
const kinds = (changes: readonly ContactChange[]): string[] =>
  changes.map(change => (change.kind === 'put' ? `put ${change.state}` : change.kind));

test('a first message asks, and is counted; somebody whose identifier is blocked asks nothing and is answered the same', () => {
  const asked = admitChanges(first(), nothing);
  assert.deepEqual(asked.admitted, { kind: 'open', requested: true, accepted: false });
  assert.deepEqual(kinds(asked.changes), ['put request', 'bound', 'bound', 'count']);
  const blocked = admitChanges(first(), { ...nothing, isBlockedByIdentifier: true });
  assert.deepEqual(blocked.admitted, { kind: 'shut', requested: false, accepted: false });
  assert.deepEqual(kinds(blocked.changes), ['put denied', 'bound', 'bound', 'count'], 'as many writes');
});

test('whoever writes while all of their provider are blocked asks nothing, and may ask once that is over', () => {
  const shut = admitChanges(first(), { ...nothing, isBlockedByProvider: true });
  assert.deepEqual(shut.admitted, { kind: 'shut', requested: false, accepted: false });
  assert.deepEqual(kinds(shut.changes), ['put denied', 'bound-carried', 'bound', 'count'], 'as many writes');
  assert.equal(shut.changes[0]?.kind === 'put' && shut.changes[0].isCarried, true);
  const about = { interopId: undefined, provider: 1, contacts: { key: providerKey(1), sharedKey: undefined } };
  const decision = { account: 2, about, isOpen: false, maxContacts: 9, nowMs: 0 } as const;
  const blocked = decideChanges({ ...decision, decision: 'block' }, { kept: undefined, blocked: 0 });
  assert.deepEqual([blocked.state, kinds(blocked.changes)], ['blocked', ['put blocked', 'bound']]);
  const lifted = decideChanges({ ...decision, decision: 'unblock' }, { kept: kept('blocked'), blocked: 1 });
  assert.deepEqual([lifted.state, kinds(lifted.changes)], [undefined, ['forget', 'bound-carried']]);
});

test('what goes beyond a bound changes nothing, in whatever state', () => {
  for (const state of contactStates) {
    const full = { ...nothing, theirs: kept(state, { loud: 3, silent: 3 }) };
    assert.deepEqual(admitChanges(first({ accepts: true }), full), {
      admitted: { kind: 'too-many', requested: false, accepted: false },
      changes: [],
    });
    const large = admitChanges(first({ isSmall: false }), { ...nothing, theirs: kept(state) });
    assert.deepEqual([large.admitted.kind, large.changes], ['too-large', []]);
    const silent = admitChanges(first({ isLoud: false }), full);
    assert.deepEqual([silent.admitted.kind, silent.changes], ['shut', []]);
  }
  const alone = admitChanges(first({ isLoud: false }), nothing);
  assert.deepEqual([alone.admitted.kind, alone.changes], ['shut', []], 'a silent one alone asks for nothing');
});

test('whoever writes accepts, but never whom they have blocked', () => {
  const args = first({ isFirst: false, accepts: true });
  for (const state of contactStates) {
    const { admitted, changes } = admitChanges(args, { ...nothing, mine: kept(state) });
    const accepts = state !== 'blocked' && state !== 'accepted';
    assert.equal(admitted.accepted, accepts, state);
    assert.deepEqual(kinds(changes), accepts ? ['put accepted', 'bound'] : []);
    for (const change of changes) assert.equal(change.account, eve.row, 'on their own side');
  }
});

test('decisions, from every state: what holds then, and what is kept beside it', () => {
  const decide = (decision: DecideArgs['decision'], was: KeptContact | undefined, blocked = 0) =>
    decideChanges(
      { account: bob.row, about: eve, decision, isOpen: false, maxContacts: 5, nowMs: 0 },
      { kept: was, blocked },
    );
  for (const state of [undefined, ...contactStates]) {
    const was = state === undefined ? undefined : kept(state);
    assert.equal(decide('accept', was).state, 'accepted');
    assert.equal(decide('deny', was).state, 'denied');
    assert.equal(decide('block', was).state, 'blocked');
    const full = decide('block', was, 5);
    if (state === 'blocked') assert.equal(full.state, 'blocked', 'idempotent, also when no more can be');
    else assert.deepEqual(full, { state: 'full', changes: [] });
    const unblocked = decide('unblock', was);
    if (state !== 'blocked') assert.deepEqual(unblocked, { state, changes: [] });
    else assert.deepEqual([unblocked.state, kinds(unblocked.changes)], [undefined, ['forget', 'forget']]);
    assert(
      decide('accept', was).changes.some(change => change.kind === 'forget'),
      'a block of the identifier goes',
    );
  }
  const open = decide('unblock', kept('blocked', { isOpen: true }));
  assert.deepEqual([open.state, kinds(open.changes)], ['accepted', ['forget', 'put accepted', 'bound']]);
  assert.deepEqual(kinds(decide('block', undefined).changes), ['put blocked', 'bound', 'put blocked', 'bound']);
  assert.deepEqual(kinds(decide('deny', kept('denied')).changes), []);
  const carried = kept('blocked', { isCarried: true });
  assert.deepEqual(
    kinds(decide('block', carried).changes),
    ['put blocked', 'bound', 'put blocked', 'bound'],
    'their own',
  );
  assert.equal(decide('block', carried, 5).state, 'full');
  assert.deepEqual(decide('unblock', carried), decide('unblock', kept('blocked')));
});
