// `node --conditions=drawbridge-source bench/src/mailbox-over.ts [--write]`: what mail that is over costs the writer.
// Question: how long does a withdrawal with a full mailbox take, how long does everybody else wait meanwhile, how much does a
// sweep remove in a second, and what does it cost with nothing due? Before: 2.7 s, 2.7 s, 83 and 5.2 s.
// Expectation: a withdrawal is some rows by their keys; a piece of a sweep is 128 rows, a millisecond of the writer.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Sweep } from '@drawbridge/gatekeeper/mailbox/sweep';
import { sqliteStores } from '@drawbridge/gatekeeper/storage/sqlite/sqlite-stores';
import { openSqliteStore } from '@drawbridge/gatekeeper/storage/sqlite/store';
import { addDevices } from '@drawbridge/gatekeeper/testing/add-devices';
import { mailboxRow, unbounded } from '@drawbridge/gatekeeper/testing/mailbox-contract';
import { systemAfter } from '@drawbridge/identity/timers';
import { element } from '@drawbridge/wire/element';
import { NS_CLIENT } from '@drawbridge/wire/namespaces';
import { describeMachine } from './machine.ts';
import { resultsFolder, round } from './results.ts';

const full = 200_000;
const devices = 2_000;
const perDevice = 10;
const never = 1e15;

const folder = mkdtempSync(join(tmpdir(), 'drawbridge-over-'));
const file = join(folder, 'gatekeeper.sqlite');
const store = await openSqliteStore(file);
addDevices(file, devices);
const { mailboxes } = sqliteStores(store);
for (let from = 0; from < full; from += 2_000) {
  const row = (i: number) => mailboxRow(4, from + i, 1_300, { sender: `s${(from + i) % 500}`, expiresAtMs: never });
  await mailboxes.append(
    Array.from({ length: 2_000 }, (_, i) => row(i)),
    unbounded,
  );
}
for (let device = 5; device <= devices; device++) {
  const expiresAtMs = device % 2 === 0 ? 1_000 : never;
  const rows = Array.from({ length: perDevice }, (_, i) => mailboxRow(device, i, 1_300, { expiresAtMs }));
  await mailboxes.append(rows, unbounded);
}

/** Somebody else's small write, again and again: the longest that it took. */
let longestMs = 0;
let isOver = false;
const others = (async () => {
  while (!isOver) {
    const beganMs = performance.now();
    await store.run('heartbeat', undefined);
    longestMs = Math.max(longestMs, performance.now() - beganMs);
    await sleep(1);
  }
})();
async function timed<T>(work: () => Promise<T>): Promise<{ ms: number; longestOtherMs: number; value: T }> {
  longestMs = 0;
  const beganMs = performance.now();
  const value = await work();
  return { ms: round(performance.now() - beganMs), longestOtherMs: round(longestMs), value };
}

const undisturbed = await timed(() => sleep(2_000));
const withdrawal = await timed(() => store.run('accountWithdraw', { account: 4 }));
const told = element('message', NS_CLIENT);
const sweep = new Sweep({
  store: mailboxes,
  codec: { encode: () => new Uint8Array(0), decode: () => told },
  expiry: { stampMs: () => 0, judgeMs: () => 2_000 },
  after: systemAfter,
  isClosing: () => false,
  isLive: () => false,
  tell: async () => {},
  damaged: () => {},
});
const swept = await timed(() => sweep.run());
const nothingDue = await timed(() => sweep.run());
isOver = true;
await others;
await store.close();
rmSync(folder, { recursive: true });

const result = {
  question: 'What does mail that is over cost the writer?',
  method: `a mailbox with ${full} messages of 1,300 bytes whose person withdraws, and ${devices - 4} with ${perDevice}, half of them expired; another small durable write every millisecond`,
  longestOtherWriteMs: {
    undisturbed: undisturbed.longestOtherMs,
    sweep: swept.longestOtherMs,
  },
  withdrawalMs: withdrawal.ms,
  sweptPerSecond: Math.round(swept.value / (swept.ms / 1_000)),
  nothingDueMs: nothingDue.ms,
  machine: describeMachine(),
};
process.stdout.write(`${JSON.stringify(result)}\n`);
const { values } = parseArgs({ options: { write: { type: 'boolean', default: false } } });
if (values.write) writeFileSync(join(resultsFolder, 'mailbox-over.json'), `${JSON.stringify(result, undefined, 1)}\n`);
