import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { needUserName } from '../directory/user-name.ts';
import { encodeLink, maxLinkLength, parseLink } from './link-text.ts';

const link = {
  domain: 'citadel.example',
  name: needUserName('skylark.example', 'anna & co+1@post.example'),
  secret: 's'.repeat(22),
  identityKey: new Uint8Array(33).fill(5),
};

test('what is made is read, with spaces around it; a name may hold anything that a name may hold', () => {
  const text = encodeLink(link);
  assert.match(text, /^drawbridge:meet\?at=citadel\.example&of=skylark\.example&name=/);
  const { identityKey, ...rest } = parseLink(`  ${text}\n`)!;
  assert.deepEqual({ ...rest, identityKey: new Uint8Array(identityKey) }, link);
});

test('what lacks something, has it twice or has more is no link', () => {
  const text = encodeLink(link);
  for (const wrong of [
    text.replace('drawbridge:', 'https:'),
    text.replace('&of=', '&off='),
    `${text}&key=1`,
    `${text}&more=1`,
    text.replace(/secret=s+/, 'secret=s'),
    text.replace(/key=[^&]*/, `key=${Buffer.alloc(32).toString('base64url')}`),
    text.replace('at=citadel.example', 'at='),
    `${text}${' '.repeat(10)}${'x'.repeat(maxLinkLength)}`,
  ]) {
    assert.equal(parseLink(wrong), undefined, wrong);
  }
});

test('any text is a link or none', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.string().map(text => `drawbridge:meet?${text}`),
      ),
      text => {
        parseLink(text);
      },
    ),
  );
});
