// What comes of a directory's word about names, in a real store: who is shown and found under which, what waits, what is told.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { trustChanges } from '@drawbridge/e2ee/inherited-trust';
import type { InteropId } from '@drawbridge/wire/jid';
import { putJson } from '../store/json-rows.ts';
import { testStore } from '../testing/test-store.ts';
import { findContact, forgetContact, hadName, listContacts, maxFormerHolders, readContact } from './contact-records.ts';
import { hearName } from './heard-names.ts';
import { acceptName, isMoving, listWaiting, movedNameLimits, refuseName, refuseWhileMoved } from './moved-names.ts';
import { needUserName, type UserName } from './user-name.ts';

const { inStore, remove } = await testStore('names');
after(remove);
let people = 0;
const person = (): InteropId =>
  `1-${(++people).toString(2).replaceAll('0', 'a').replaceAll('1', 'b').padStart(26, 'a')}`;
const named = (identifier: string): UserName => needUserName('skylark.example', identifier);
const own = person();
const move = ({ provider, identifier }: UserName, interopId: InteropId) => ({ provider, identifier, interopId });

/** Whether it is believed, and the kinds of lines that came of it. */
const hear = (name: UserName, interopId: InteropId): [boolean, ...string[]] => {
  const { isBelieved, lines } = inStore(tx => hearName(tx, own, { name, interopId }, 1));
  return [isBelieved, ...lines.map(({ notice }) => notice!.kind)];
};
const verify = (interopId: InteropId): void => {
  const identityKey = Buffer.alloc(33, interopId);
  inStore(tx => tx.apply(trustChanges([{ interopId, identityKey, verified: true, firstSeenAtMs: 1 }])));
};
const shown = (interopId: InteropId): string | undefined => inStore(tx => readContact(tx, interopId))?.identifier;
const found = (name: UserName): InteropId | undefined => inStore(tx => findContact(tx, name));

test('a first name of somebody unknown is believed without a word, and again', () => {
  const [anna, name] = [person(), named('anna')];
  assert.deepEqual(hear(name, anna), [true]);
  assert.deepEqual(hear(name, anna), [true]);
  assert.deepEqual([shown(anna), found(name)], ['anna', anna]);
});

test('whoever was compared without a name is not called so without a person', () => {
  const [bob, name] = [person(), named('bob')];
  verify(bob);
  assert.deepEqual(hear(name, bob), [false, 'contact-renamed']);
  assert.deepEqual([shown(bob), found(name)], [undefined, undefined]);
  assert.equal(
    inStore(tx => isMoving(tx, bob)),
    false,
    'they are written to as before',
  );
  inStore(tx => acceptName(tx, move(name, bob)));
  assert.deepEqual([shown(bob), found(name)], ['bob', bob]);
});

test('a name that nobody is found by belongs to whom it led to', () => {
  const [clara, other, name] = [person(), person(), named('clara')];
  hear(name, clara);
  verify(clara);
  inStore(tx => forgetContact(tx, name));
  assert.equal(found(name), undefined);
  assert.deepEqual(hear(name, other), [false, 'contact-moved']);
  assert.deepEqual(hear(name, clara), [true]);
  assert.equal(found(name), clara);
  for (const each of [clara, other])
    assert.throws(() => inStore(tx => refuseWhileMoved(tx, each)), { code: 'untrusted-identity' });
  inStore(tx => refuseName(tx, move(name, other)));
  inStore(tx => refuseWhileMoved(tx, clara));
});

test('a name that would be taken from one and given to a verified other waits, and both chats say so', () => {
  const [dora, emil, name] = [person(), person(), named('dora')];
  hear(name, dora);
  hear(named('emil'), emil);
  verify(emil);
  assert.deepEqual(hear(name, emil), [false, 'contact-moved', 'contact-renamed']);
  inStore(tx => acceptName(tx, move(name, emil)));
  assert.deepEqual([shown(emil), shown(dora), found(name), found(named('emil'))], ['dora', undefined, emil, undefined]);
  assert.deepEqual(hear(named('emil'), emil), [false, 'contact-renamed'], 'also the one that they had before');
});

test('one’s own name is one’s own, and no other is', () => {
  const [stranger, name] = [person(), named('me')];
  assert.deepEqual(hear(name, own), [true]);
  assert.deepEqual(hear(named('somebody'), own), [false, 'contact-renamed']);
  assert.deepEqual(hear(name, stranger), [false, 'contact-moved']);
  assert.deepEqual([shown(own), found(name)], ['me', own]);
});

test('refused answers are remembered, each by itself, up to a number; exactly what was shown is decided', () => {
  const [frida, name] = [person(), named('frida')];
  hear(name, frida);
  verify(frida);
  const others = Array.from({ length: movedNameLimits.refused + 1 }, person);
  for (const other of others) {
    assert.deepEqual(hear(name, other), [false, 'contact-moved']);
    assert.throws(() => inStore(tx => refuseName(tx, move(name, frida))), { code: 'identity-unknown' });
    inStore(tx => refuseName(tx, move(name, other)));
    assert.throws(() => inStore(tx => acceptName(tx, move(name, other))), { code: 'identity-unknown' });
  }
  for (const other of others.slice(1)) assert.deepEqual(hear(name, other), [false]);
  assert.deepEqual(hear(name, others[0]!), [false, 'contact-moved'], 'the oldest is asked about again');
});

test('further names that wait have a bound, and hide no name that moves', () => {
  const [gustav, thief, name] = [person(), person(), named('gustav')];
  hear(name, gustav);
  verify(gustav);
  const before = inStore(listWaiting).filter(each => each.before === undefined).length;
  for (let i = before; i < movedNameLimits.further; i++)
    assert.deepEqual(hear(named(`gustav ${i}`), gustav), [false, 'contact-renamed']);
  assert.deepEqual(hear(named('gustav the last'), gustav), [false], 'refused, and nobody is asked');
  assert.deepEqual(hear(name, thief), [false, 'contact-moved']);
  assert(inStore(tx => isMoving(tx, gustav)));
});

test('a name comes back to whoever had it only by a person; an answer that alternates is asked about once', () => {
  const [ida, julia, name] = [person(), person(), named('ida')];
  assert.deepEqual(hear(name, ida), [true]);
  assert.deepEqual(hear(name, julia), [true, 'contact-moved']);
  assert.deepEqual([shown(ida), found(name)], [undefined, julia]);
  assert.deepEqual(hear(name, ida), [false, 'contact-moved']);
  assert.deepEqual(hear(name, ida), [false], 'it waits already');
  assert.deepEqual(hear(name, julia), [true]);
  assert.deepEqual(hear(name, person()), [false], 'one answer waits at a time');
  inStore(tx => refuseName(tx, move(name, ida)));
  // Also when they were called otherwise in between, and in the chat stands what they were called.
  assert.deepEqual(hear(named('ida the second'), ida), [true, 'contact-renamed']);
  const kurt = person();
  assert.deepEqual(hear(name, kurt), [true, 'contact-moved']);
  assert.deepEqual(hear(name, julia), [false, 'contact-moved']);
});

test('whoever had a name last is remembered as one who had it, the oldest up to a number', () => {
  const name = named('many');
  const holders = Array.from({ length: maxFormerHolders + 2 }, person);
  for (const each of holders) assert(hear(name, each)[0]);
  // All of them called otherwise by now: what they were shown under says nothing.
  for (const [at, each] of holders.entries()) hear(named(`not ${at}`), each);
  const had = holders.map(each => inStore(tx => hadName(tx, name, each)));
  assert.deepEqual([had[0], had[1], had.at(-2), had.filter(Boolean).length], [false, true, true, maxFormerHolders]);
});

test('rows of earlier versions: another form of a name is nobody’s, and what was refused stays refused', () => {
  const [hans, thief, other, name] = [person(), person(), person(), named('hans')];
  const row = { provider: 'Skylark.example', providerNumber: 1, identifier: 'hans' };
  inStore(tx => putJson(tx, 'contact', hans, row));
  assert.equal(shown(hans), undefined);
  assert(!inStore(listContacts).some(({ interopId }) => interopId === hans));
  hear(name, hans);
  verify(hans);
  const refused = { ...move(name, thief), before: hans, state: 'refused' };
  inStore(tx => putJson(tx, 'contact', `@@skylark.example\nhans`, refused, 'moves'));
  assert.deepEqual(hear(name, thief), [false]);
  assert.equal(
    inStore(tx => isMoving(tx, hans)),
    false,
  );
  assert.deepEqual(hear(name, other), [false, 'contact-moved']);
  inStore(tx => refuseName(tx, move(name, other)));
  for (const each of [thief, other]) assert.deepEqual(hear(name, each), [false]);
});
