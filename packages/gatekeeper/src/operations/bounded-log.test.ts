// The log's level and the bound on repeats.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createBoundedLog } from './bounded-log.ts';

test('below the level nothing is written; repeats beyond the bound are counted; both change while it runs', () => {
  const lines: string[] = [];
  const bounded = createBoundedLog((level, event, data) => lines.push(`${level} ${event} ${JSON.stringify(data)}`), {
    level: 'info',
    linesPerMinute: 2,
  });
  for (let i = 0; i < 1_000; i++) bounded.log('info', 'login-refused', { code: 'malformed' });
  bounded.log('info', 'login-refused', { code: 'expired' });
  assert.equal(lines.length, 3);
  bounded.summarise();
  assert.equal(lines[3], 'info lines-left-out {"of":"login-refused","count":998}');
  bounded.log('info', 'login-refused', { code: 'malformed' });
  assert.equal(lines.length, 5);
  bounded.configure({ level: 'warn', linesPerMinute: 2 });
  bounded.log('info', 'login-refused', { code: 'device-unknown' });
  bounded.log('error', 'sweep-failed', {});
  bounded.close();
  assert.deepEqual(lines.slice(5), ['error sweep-failed {}']);
});
