// A short bad time on each transport; `npm run flaky` plays long ones.
import { test } from 'node:test';
import { defaultTransports } from '@drawbridge/client/connection/transports';
import { playFlaky } from './play.ts';

for (const [index, transport] of defaultTransports.entries()) {
  test(`${transport} over a line that is bad for a while: everything once and in order, both ways`, {
    timeout: 900_000,
  }, async t => {
    const outcome = await playFlaky({
      seed: 7_000 + index,
      transport,
      badMs: 5_000,
      patienceMs: 120_000,
      mayLose: false,
    });
    t.diagnostic(JSON.stringify(outcome));
  });
}
