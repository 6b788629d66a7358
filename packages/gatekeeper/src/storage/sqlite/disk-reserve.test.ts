// The reserve on a real file; how full the disk is, the test says.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import { DiskReserveReached, keepDiskReserve, takeRoom } from './disk-reserve.ts';

function openFile(t: TestContext): { readonly db: DatabaseSync; readonly folder: string } {
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-reserve-'));
  const db = new DatabaseSync(join(folder, 'store.sqlite'));
  t.after(() => {
    db.close();
    rmSync(folder, { recursive: true, force: true });
  });
  return { db, folder };
}

const reserveBytes = 10_000_000;

test('what fits above the reserve is let through, twice its size counted; more is refused', t => {
  const { db, folder } = openFile(t);
  const asked: string[] = [];
  keepDiskReserve(db, reserveBytes, of => {
    asked.push(of);
    return reserveBytes + 1_000;
  });
  takeRoom(db, 300, 0);
  assert.throws(() => takeRoom(db, 201, 1), DiskReserveReached);
  takeRoom(db, 200, 2);
  assert.throws(() => takeRoom(db, 1, 3), DiskReserveReached);
  assert.deepEqual(asked, [folder], 'asked once in a while');
});

test('the disk is asked again after 50 ms: somebody may have made room, or taken it', t => {
  const { db } = openFile(t);
  let free = 0;
  keepDiskReserve(db, reserveBytes, () => free);
  assert.throws(() => takeRoom(db, 1, 0), DiskReserveReached);
  free = reserveBytes + 10;
  assert.throws(() => takeRoom(db, 1, 49), DiskReserveReached);
  takeRoom(db, 5, 50);
  free = 0;
  assert.throws(() => takeRoom(db, 1, 100), DiskReserveReached);
});

test('pages that deleted rows have left in the file are room', t => {
  const { db } = openFile(t);
  keepDiskReserve(db, reserveBytes, () => reserveBytes);
  db.exec('CREATE TABLE t (x BLOB)');
  assert.throws(() => takeRoom(db, 1, 0), DiskReserveReached);
  db.exec('INSERT INTO t VALUES (zeroblob(1000000)); DELETE FROM t;');
  takeRoom(db, 400_000, 1_000);
  assert.throws(() => takeRoom(db, 200_000, 1_000), DiskReserveReached);
});

test('in memory, and where no reserve was asked for, there is none', t => {
  const memory = new DatabaseSync(':memory:');
  keepDiskReserve(memory, reserveBytes, () => 0);
  takeRoom(memory, 2 ** 40, 0);
  memory.close();
  takeRoom(openFile(t).db, 2 ** 40, 0);
});
