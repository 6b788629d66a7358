// The whole page's script is small: what a person waits for, and what somebody reads who checks it. And nothing of ours makes
// markup of text.
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';

const maxScriptBytes = 150_000;

test('the script is at most 150 kB compressed, and holds nothing of the SDK or of its schemas', async () => {
  const maker = new URL('../../../scripts/bundle-page.js', import.meta.url).href;
  const { bundlePage } = (await import(maker)) as {
    bundlePage: (folder: string) => Promise<{ readonly script: Buffer }>;
  };
  const { script } = await bundlePage(import.meta.dirname);
  const bytes = gzipSync(script).length;
  assert.ok(bytes > 5_000 && bytes <= maxScriptBytes, `${bytes} bytes`);
  assert.deepEqual(script.toString().match(/libsignal|typebox|node:\w+|\beval\(|new Function/gi), null);
});

test('no source of the page writes markup', () => {
  const files = globSync('**/*.{ts,tsx}', { cwd: import.meta.dirname, exclude: ['*.test.ts'] });
  assert.ok(files.length > 30);
  for (const file of files) {
    const text = readFileSync(join(import.meta.dirname, file), 'utf8');
    assert.doesNotMatch(text, /innerHTML|outerHTML|insertAdjacent|document\.write|createContextualFragment/, file);
  }
});
