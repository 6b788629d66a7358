// The catalogue is whole in each language: every name, every value to be filled in, and no word twice or for nobody.
// (That names are complete the types demand as well; this also sees what types can't.)
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type ClientErrorCode, clientErrors } from '@drawbridge/client';
import { type CommandArguments, type PageErrorCode, pageErrorCodes } from '@drawbridge/cli/page/protocol';
import type { NoticeLine } from '@drawbridge/cli/page/views';
import { de } from './strings/de.ts';
import { en } from './strings/en.ts';
import { fr } from './strings/fr.ts';

const placeholders = (text: string): string[] => [...text.matchAll(/\{(\w+)\}/g)].map(([, name]) => name!).sort();
const names = Object.keys(en) as (keyof typeof en)[];

for (const [tag, strings] of Object.entries({ de, fr })) {
  test(`${tag} has every sentence, with the values that English has`, () => {
    assert.deepEqual(Object.keys(strings).sort(), Object.keys(en).sort());
    for (const name of names) {
      assert.ok(strings[name].trim() !== '', name);
      // Forms of a number may leave the number to its words.
      assert.deepEqual(placeholders(strings[name]), placeholders(en[name]), name);
    }
  });

  test(`${tag} is translated: no sentence of three words is the English one`, () => {
    for (const name of names) if (en[name].split(' ').length >= 3) assert.notEqual(strings[name], en[name], name);
  });
}

/** Names that are made of a code or kind, of those that there are. */
type LookedUp =
  | `failed_${ClientErrorCode | PageErrorCode | 'not-known' | 'not-taken'}`
  | `notice_${NoticeLine['kind']}${'' | '_held'}`
  | `category_${CommandArguments<'people.report'>['category']}`;
type Made = Extract<keyof typeof en, `${'failed' | 'notice' | 'category'}_${string}`>;

function isMade(name: keyof typeof en): name is Made {
  return /^(?:failed|notice|category)_/.test(name);
}

test('every sentence is used by some screen, and every form of a number has its other', () => {
  const sources = globSync('**/*.{ts,tsx}', { cwd: import.meta.dirname, exclude: ['strings/**', '*.test.ts'] })
    .map(file => readFileSync(join(import.meta.dirname, file), 'utf8'))
    .join('\n');
  for (const name of names) {
    if (isMade(name)) {
      // None is for a code that is gone: types say so.
      name satisfies LookedUp;
      continue;
    }
    const stem = name.replace(/_(?:one|other)$/, '');
    if (stem !== name) assert.ok(`${stem}_one` in en && `${stem}_other` in en, name);
    assert.ok(sources.includes(`'${name}'`) || sources.includes(`'${stem}'`), `${name} is shown nowhere`);
  }
});

test('every code that the SDK or the process gives has words of its own, in each language', () => {
  for (const code of [...Object.keys(clientErrors), ...pageErrorCodes]) {
    for (const [tag, strings] of Object.entries({ en, de, fr })) {
      const words = (strings as Readonly<Record<string, string>>)[`failed_${code}`];
      assert.ok(words !== undefined, `${tag} has no words for ${code}`);
    }
  }
});
