import assert from 'node:assert/strict';
import { test } from 'node:test';
import { basePatternNames, type HandshakePattern, parsePattern, type Token } from './patterns.ts';

const modifiable = basePatternNames.flatMap(name => {
  const names = [name];
  for (let psk = 0; psk <= parsePattern(name)!.messages.length; psk++) names.push(`${name}psk${psk}`);
  return names;
});

test('the table has all patterns of revision 34', () => {
  assert.equal(basePatternNames.length, 3 + 12 + 23);
});

/** Section 7.3: what makes a pattern valid; section 9.3: the rule for pre-shared keys. The first broken rule. */
function brokenRule(pattern: HandshakePattern): string | undefined {
  const has = { initiator: new Set<string>(pattern.initiatorPre), responder: new Set<string>(pattern.responderPre) };
  const done = new Set<Token>();
  let psk = false;
  for (const [i, tokens] of pattern.messages.entries()) {
    const initiator = i % 2 === 0;
    const own = initiator ? has.initiator : has.responder;
    // Rule 4: after an agreement with the own static key, one with the own ephemeral before anything is encrypted.
    const exposed = () =>
      (psk && !own.has('e')) ||
      (initiator
        ? (done.has('se') && !done.has('ee')) || (done.has('ss') && !done.has('es'))
        : (done.has('es') && !done.has('ee')) || (done.has('ss') && !done.has('se')));
    for (const token of tokens) {
      if (token === 'psk') psk = true;
      else if (token === 'e' || token === 's') {
        if (own.has(token)) return `message ${i} sends ${token} twice`;
        if (token === 's' && exposed()) return `message ${i} encrypts s without a fresh key`;
        own.add(token);
      } else {
        if (done.has(token)) return `message ${i} does ${token} twice`;
        if (!has.initiator.has(token[0]!) || !has.responder.has(token[1]!)) return `message ${i}: ${token} lacks a key`;
        done.add(token);
      }
    }
    if (exposed()) return `message ${i} encrypts its payload without a fresh key`;
  }
  return undefined;
}

test('every pattern, with and without a pre-shared key, is valid', () => {
  for (const name of [
    ...modifiable,
    'XXfallback',
    'NXfallback',
    'XXfallback+psk0',
    'INfallback',
    'X1X1fallback+psk3',
  ]) {
    const pattern = parsePattern(name);
    assert.ok(pattern, name);
    assert.equal(brokenRule(pattern), undefined, name);
  }
});

test('the rules do refuse', () => {
  const xx = parsePattern('XX')!;
  assert.match(brokenRule({ ...xx, messages: [['e'], ['e', 's', 'es']] })!, /without a fresh key/);
  assert.match(brokenRule({ ...xx, messages: [['e', 'es']] })!, /lacks a key/);
  assert.match(brokenRule({ ...xx, messages: [['e'], ['e', 'ee', 'ee']] })!, /twice/);
  assert.match(brokenRule({ ...xx, messages: [['s'], ['psk', 's']] })!, /without a fresh key/);
});

test('XXfallback in canonical form: the side that falls back is the initiator', () => {
  assert.deepEqual(parsePattern('XXfallback'), {
    name: 'XXfallback',
    initiatorPre: [],
    responderPre: ['e'],
    messages: [
      ['e', 'ee', 's', 'se'],
      ['s', 'es'],
    ],
    oneWay: false,
    psks: 0,
  });
});

test('modifiers apply from left to right', () => {
  assert.deepEqual(parsePattern('NNpsk0+psk2')!.messages, [
    ['psk', 'e'],
    ['e', 'ee', 'psk'],
  ]);
  assert.equal(parsePattern('XXpsk0+psk1+psk2+psk3')!.psks, 4);
  assert.deepEqual(parsePattern('XXfallback+psk2')!.messages[1], ['s', 'es', 'psk']);
});

test('what is not a pattern is refused', () => {
  for (const name of [
    '',
    'xx',
    'ZZ',
    'XX1X',
    'XXpsk',
    'XXpsk4',
    'XXpsk3+psk1',
    'XXpsk1+psk1',
    'XXpsk03',
    'XXpsk1+',
    'XX+psk1',
    'XXfallback+fallback',
    'XXpsk1+fallback',
    'IKfallback',
    'NKfallback',
    'Nfallback',
    'XXhfs',
    'constructor',
    '__proto__',
    `XX${'psk1+'.repeat(1000)}`,
  ]) {
    assert.equal(parsePattern(name), undefined, name);
  }
});
