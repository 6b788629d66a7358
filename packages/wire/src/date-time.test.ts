// Every valid XEP-0082 time and no other.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseDateTime } from './date-time.ts';

test('what XEP-0082 and XML Schema show', () => {
  for (const [text, ms] of [
    ['1969-07-21T02:56:15Z', Date.UTC(1969, 6, 21, 2, 56, 15)],
    ['1969-07-20T21:56:15-05:00', Date.UTC(1969, 6, 21, 2, 56, 15)],
    ['2026-11-28T10:00:00.1234567Z', Date.UTC(2026, 10, 28, 10, 0, 0, 123)],
    ['2026-11-28T10:00:00.9+14:00', Date.UTC(2026, 10, 27, 20, 0, 0, 900)],
    ['2024-02-29T00:00:00Z', Date.UTC(2024, 1, 29)],
    ['2016-12-31T23:59:60Z', Date.UTC(2017, 0, 1)],
    ['2017-01-01T00:59:60+01:00', Date.UTC(2017, 0, 1)],
    ['0099-01-01T00:00:00Z', Date.parse('0099-01-01T00:00:00Z')],
  ] as const) {
    assert.equal(parseDateTime(text), ms, text);
  }
  for (const text of [
    '',
    '2026-11-28',
    '2026-11-28T10:00:00',
    '2026-11-28 10:00:00Z',
    '2026-11-28T10:00:00z',
    '2026-11-28T10:00Z',
    '2026-11-28T10:00:00.Z',
    '2026-11-28T10:00:00.1234567890Z',
    '2026-13-01T00:00:00Z',
    '2026-02-29T00:00:00Z',
    '2100-02-29T00:00:00Z',
    '2026-04-31T00:00:00Z',
    '2026-11-28T24:00:00Z',
    '2026-11-28T10:60:00Z',
    '2026-11-28T10:00:60Z',
    '2026-11-28T10:00:61Z',
    '2026-11-28T10:00:00+15:00',
    '2026-11-28T10:00:00+01:60',
    '2026-11-28T10:00:00+0100',
    '+002026-11-28T10:00:00Z',
    ' 2026-11-28T10:00:00Z',
  ]) {
    assert.equal(parseDateTime(text), undefined, text);
  }
});

test('property: what a clock says is read back', () => {
  fc.assert(
    fc.property(fc.date({ min: new Date(0), max: new Date('9999-12-31'), noInvalidDate: true }), date => {
      assert.equal(parseDateTime(date.toISOString()), date.getTime());
    }),
  );
});
