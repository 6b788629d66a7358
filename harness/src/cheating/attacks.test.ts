// Every attack of the table, and a seeded mix of lies (`npm run cheat` plays long ones). What nobody may ever be shown is looked at after each.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { attacks } from './attacks.ts';
import { seededRandom } from '../durability/random.ts';
import { playMix } from './mix.ts';
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

test('a seeded mix of lies deceives nobody, and last words arrive', { timeout: 180_000 }, async t => {
  const round = network.round();
  try {
    const outcome = await playMix(round, { random: seededRandom(11), lyingMs: 4_000 });
    t.diagnostic(JSON.stringify(outcome));
  } finally {
    await round.leave();
  }
});
