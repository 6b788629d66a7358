// What the SDK calls the problems that a gatekeeper answers with.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ProblemCode } from '@drawbridge/wire/problem-codes';
import { problemError } from './enlist.ts';

const called = (code: ProblemCode, status: number): string =>
  problemError(status, { code, detail: undefined, retryAfterSeconds: undefined }, 'gatekeeper-refused').code;

test('a problem that a person can do something about has a code of its own', () => {
  assert.equal(called('device-limit', 409), 'device-limit-reached');
  assert.equal(called('identity-key-differs', 409), 'identity-key-differs');
  assert.equal(called('proof-refused', 401), 'proof-refused');
});

test('every other is told by its status, with its code in words', () => {
  assert.equal(called('report-decided', 409), 'gatekeeper-refused');
  assert.equal(called('storage-unavailable', 503), 'rate-limited');
  const { detail } = problemError(
    409,
    { code: 'agreement-differs', detail: undefined, retryAfterSeconds: undefined },
    'gatekeeper-refused',
  );
  assert.equal(detail, 'agreement-differs');
});
