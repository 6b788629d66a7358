// Chapter 6 of the protocol lists every namespace that the code speaks.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import * as namespaces from './namespaces.ts';

test('the protocol names each namespace in the table of chapter 6', () => {
  const chapter = readFileSync(new URL('../../../docs/protocol/06-stanzas.md', import.meta.url), 'utf8');
  const rows = chapter.split('\n').filter(line => line.startsWith('|'));
  const listed = new Set(
    rows.flatMap(row => {
      const [cell = ''] = row.split('|').slice(1);
      let before = '';
      // `…-tls` stands for the name before it up to its last `-` or `#`.
      return Array.from(cell.matchAll(/`([^`]+)`/g), ([, name = '']) => {
        const whole = name.startsWith('…')
          ? before.replace(new RegExp(`${name[1]}[^${name[1]}]*$`), name.slice(1))
          : name;
        before = whole;
        return whole;
      });
    }),
  );
  // XML's own two are not ours to list.
  const spoken = Object.values(namespaces).filter(name => !name.startsWith('http://www.w3.org/'));
  assert.ok(spoken.length > 20);
  assert.deepEqual(
    spoken.filter(name => !listed.has(name)),
    [],
  );
  assert.ok(listed.has('urn:drawbridge:login:1'));
});
