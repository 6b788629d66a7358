// What two people have decided about each other, and what becomes of a message between them: every pair of states.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Contact, contactKeys, contactStates, type Decider, decisionAbout, providerKey } from './contact.ts';
import { judge } from './first-contact.ts';

function person(provider: number, identifier: string, decided: Record<string, Contact['state']> = {}, isOpen = false) {
  const rows = Object.entries(decided).map(([key, state]) => [key, { state, isOpen, interopId: undefined }] as const);
  return { provider, contacts: { ...contactKeys({ provider, identifier }), decided: new Map(rows) } } satisfies Decider;
}
const anna = contactKeys({ provider: 1, identifier: 'anna' }).key;
const bob = contactKeys({ provider: 0, identifier: 'bob' }).key;

test('every pair of decisions: nobody who was refused meets another answer than before', () => {
  for (const theirs of ['none', ...contactStates] as const) {
    for (const mine of ['none', ...contactStates] as const) {
      const from = person(1, 'anna', mine === 'none' ? {} : { [bob]: mine });
      const decided = theirs === 'none' ? {} : { [anna]: theirs };
      const loud = judge(from, person(0, 'bob', decided), 'across-providers', true);
      const silent = judge(from, person(0, 'bob', decided), 'across-providers', false);
      const waits = mine === 'request' || mine === 'denied';
      if (mine === 'blocked') assert.equal(loud.kind, 'blocked-by-sender');
      else if (theirs === 'accepted' && mine === 'accepted') assert.equal(loud.kind, 'open');
      else {
        const accepts = mine !== 'accepted';
        assert.deepEqual(loud, { kind: 'undecided', accepts, isFirst: theirs !== 'accepted' });
      }
      if (waits) assert.equal(silent.kind, 'mute');
      // Accepted before: whatever it is now, nothing is counted.
      const open = judge(
        person(1, 'anna', { [bob]: 'accepted' }),
        person(0, 'bob', decided, true),
        'across-providers',
        true,
      );
      if (theirs === 'denied' || theirs === 'blocked') assert.equal(open.kind, 'shut');
    }
  }
});

test('within one provider, and where the operator asks for none, a first message is not a request', () => {
  assert.equal(judge(person(0, 'bob'), person(0, 'carl'), 'across-providers', true).kind, 'open');
  assert.equal(judge(person(1, 'anna'), person(0, 'bob'), 'none', true).kind, 'open');
  const shut = person(0, 'bob', { [anna]: 'blocked' }, true);
  assert.equal(judge(person(1, 'anna'), shut, 'none', true).kind, 'shut', 'decisions hold all the same');
});

test('a block of a provider holds for all its people, whatever was decided about one, and for nobody else', () => {
  const everybody = { [providerKey(1)]: 'blocked' } as const;
  for (const theirs of ['none', ...contactStates] as const) {
    const decided = theirs === 'none' ? everybody : { ...everybody, [anna]: theirs };
    const to = person(0, 'bob', decided, true);
    assert.equal(decisionAbout(to, person(1, 'anna'))?.state, 'blocked');
    assert.equal(judge(to, person(1, 'anna'), 'across-providers', true).kind, 'blocked-by-sender');
    // Somebody who was accepted once meets no bound, as before; a stranger those of a first contact.
    const loud = judge(person(1, 'anna', { [bob]: 'accepted' }), to, 'across-providers', true);
    assert.equal(loud.kind, theirs === 'none' ? 'undecided' : 'shut');
    assert.equal(decisionAbout(to, person(2, 'anna')), undefined);
  }
  assert.equal(decisionAbout(person(0, 'bob', everybody), person(0, 'carl')), undefined);
});

test('a number or a mail address is blocked wherever a third party brings it; never an own user', () => {
  for (const identifier of ['+4915112345678', 'Eve@post.example']) {
    const { sharedKey } = contactKeys({ provider: 1, identifier: identifier.toLowerCase() });
    const whose = person(0, 'bob', { [sharedKey!]: 'blocked' });
    for (const provider of [1, 2]) assert.equal(decisionAbout(whose, person(provider, identifier))?.state, 'blocked');
    assert.equal(decisionAbout(whose, person(0, identifier)), undefined);
  }
  for (const name of ['eve', '+49', '015112345678', 'eve@', 'a b@post.example']) {
    assert.equal(contactKeys({ provider: 1, identifier: name }).sharedKey, undefined, name);
  }
});
