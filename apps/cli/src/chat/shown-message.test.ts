// Times in the terminal are local and show their day, also across midnight and a change of the clocks.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';

/** In a process of its own, since a process keeps the zone that it began with. */
function shownIn(zone: string, times: readonly number[]): unknown {
  const file = JSON.stringify(join(import.meta.dirname, 'shown-message.ts'));
  const code = `const { localTime } = await import(${file}); console.log(JSON.stringify(${JSON.stringify(times)}.map(localTime)))`;
  const args = ['--conditions=drawbridge-source', '--input-type=module', '--eval', code];
  return JSON.parse(execFileSync(process.execPath, args, { env: { ...process.env, TZ: zone }, encoding: 'utf8' }));
}

test('a time shows the day on which it was where the reader is', () => {
  const times = ['2026-11-28T23:59:59Z', '2026-03-29T00:59:30Z', '2026-03-29T01:00:00Z'].map(text => Date.parse(text));
  assert.deepEqual(shownIn('Europe/Berlin', times), [
    '2026-11-29 00:59:59',
    '2026-03-29 01:59:30',
    '2026-03-29 03:00:00',
  ]);
  assert.deepEqual(shownIn('America/Los_Angeles', times), [
    '2026-11-28 15:59:59',
    '2026-03-28 17:59:30',
    '2026-03-28 18:00:00',
  ]);
});

test('the earliest and the latest time that a content may have', () => {
  assert.deepEqual(shownIn('UTC', [0, 253_402_300_799_999]), ['1970-01-01 00:00:00', '9999-12-31 23:59:59']);
});
