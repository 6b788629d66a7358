// Every attack of the table. What nobody may ever be shown is looked at after each.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { attacks } from './attacks.ts';
import { CheatingNetwork } from './network.ts';

let network: CheatingNetwork;
before(async () => {
  network = await CheatingNetwork.open();
});
after(() => network.close());

for (const { name, permitted, play } of attacks) {
  test(`a cheat: ${name}`, { timeout: 120_000 }, async () => {
    const round = network.round();
    try {
      const outcome = await play(round);
      assert(permitted.includes(outcome), `${outcome} is not among ${permitted.join(', ')}`);
      round.check();
    } finally {
      await round.leave();
    }
  });
}
