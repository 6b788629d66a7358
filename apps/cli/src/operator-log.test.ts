// Log lines: JSON for machines, words for a terminal, nothing below the level.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createOperatorLog, type LogLevel } from './operator-log.ts';

function lines(isTTY: boolean, level: LogLevel): string[] {
  const written: string[] = [];
  const target = { isTTY, write: (text: string) => written.push(text) };
  const log = createOperatorLog(target, level, () => Date.UTC(2026, 10, 23, 12, 30, 5));
  log('info', 'listening', { port: 5222 });
  log('warn', 'key-set-not-fetched', { provider: 1, code: 'timed-out' });
  return written;
}

test('JSON lines have level, time, event and data', () => {
  const [first, second] = lines(false, 'info').map(line => JSON.parse(line) as unknown);
  assert.deepEqual(first, { level: 'info', time: '2026-11-23T12:30:05.000Z', port: 5222, event: 'listening' });
  assert.deepEqual(second, {
    level: 'warn',
    time: '2026-11-23T12:30:05.000Z',
    provider: 1,
    code: 'timed-out',
    event: 'key-set-not-fetched',
  });
  assert.equal(lines(false, 'warn').length, 1);
});

test('a terminal gets one readable line each', () => {
  assert.deepEqual(lines(true, 'info'), [
    '12:30:05 info  listening port=5222\n',
    '12:30:05 warn  key-set-not-fetched provider=1 code=timed-out\n',
  ]);
  assert.deepEqual(lines(true, 'error'), []);
});
