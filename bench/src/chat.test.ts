// The load generator, its process and the copier together: messages go round, are counted once, and are measured.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { runJob } from './children.ts';
import { unfitMachine } from './machine.ts';
import { check, mediansOf } from './results.ts';
import { startCopier } from './servers/copier.ts';

const skip = unfitMachine();
const folder = mkdtempSync(join(tmpdir(), 'drawbridge-copier-'));
after(() => rmSync(folder, { recursive: true, force: true }));

test('closed and open loops through the copier', { skip }, async () => {
  const server = await startCopier(folder);
  try {
    const target = server.target('xml')!;
    const job = {
      kind: 'chat',
      target,
      pairs: 4,
      managed: false,
      payload: 'equal-bytes',
      warmUpMs: 100,
      measureMs: 400,
    } as const;
    const closed = await runJob({ ...job, receipts: true, load: { loop: 'closed', window: 2 } });
    assert.ok(closed.messages > 100 && closed.serverCpuMs > 0 && closed.refused === 0 && closed.lost === 0);
    // A text out and a receipt out; what arrives is longer by the address it is from.
    assert.ok(closed.bytesPerMessage.received > closed.bytesPerMessage.sent);
    const open = await runJob({ ...job, receipts: false, load: { loop: 'open', perSecond: 500 } });
    assert.ok(Math.abs(open.perSecond - 500) < 250, `${open.perSecond} of 500 per second`);
    assert.ok(open.latencyMs!.p50 > 0 && open.latencyMs!.p50 <= open.latencyMs!.p99);
  } finally {
    await server.stop();
  }
});

test('a generator that cannot log in says why', { skip }, async () => {
  const server = await startCopier(folder);
  const target = { ...server.target('xml')!, port: 1 };
  await server.stop();
  const load = { loop: 'closed', window: 1 } as const;
  const job = {
    kind: 'chat',
    target,
    pairs: 1,
    managed: false,
    receipts: false,
    payload: 'equal-bytes',
    load,
  } as const;
  await assert.rejects(runJob({ ...job, warmUpMs: 1, measureMs: 1 }), /ECONNREFUSED/);
});

test('medians leave out what does not apply; promises compare the right way', () => {
  assert.deepEqual(mediansOf([{ a: 3, b: undefined }, { a: 1, b: 5 }, { a: 2 }]), { a: 2, b: 5 });
  assert.equal(check('x', 2, 'at-most', 1)[0]?.met, false);
  assert.equal(check('x', 2, 'at-least', 1)[0]?.met, true);
  assert.deepEqual(check('x', Number.NaN, 'at-least', 1), []);
});
