// Attacks on the key that clients have pinned: an offer that names another one, or none.
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { encodeSigningKey, signStatement } from '@drawbridge/identity/signing-key-succession';
import type { ClientOptions } from '@drawbridge/client';
import type { Attack } from './attack.ts';
import { type CheatingNetwork, type Person, until } from './network.ts';

/** Wants the compact transport, which this network lacks, and gets through on another. */
const transports = ['compact', 'websocket'] as const satisfies ClientOptions['transports'];

async function pair(network: CheatingNetwork): Promise<[Person, Person]> {
  const anna = await network.person('anna', 'citadel.example', { transports });
  const bob = await network.person('bob');
  await anna.say(bob, 'hello');
  await bob.sees('hello');
  return [anna, bob];
}

/** The same person in another process, who reads the offer again. */
async function startedAgain(network: CheatingNetwork, { client, name }: Person): Promise<Person> {
  await client.close();
  const again = await network.client(name.identifier, name.provider, { transports });
  await again.connect();
  return network.watch(again, name);
}

const warnings = ({ client }: Person) =>
  client.notices.list().flatMap(({ change }) => (change.kind === 'gatekeeper-not-certified' ? [change.reason] : []));

export const falsePins: readonly Attack[] = [
  {
    name: 'the offer withholds the key that was pinned',
    permitted: ['told'],
    async play(network) {
      const [anna, bob] = await pair(network);
      const { signingKey, backupKey } = anna.client.me!;
      assert(signingKey !== undefined && backupKey !== undefined);
      network.gatekeeper.lies.offer = offer => ({ ...offer, compactKeys: undefined });
      const again = await startedAgain(network, anna);
      await until(() => warnings(again).length > 0, 'a warning that is kept');
      assert.deepEqual(warnings(again), ['withheld']);
      assert.deepEqual([again.client.me!.signingKey, again.client.me!.backupKey], [signingKey, backupKey]);
      await again.say(bob, 'still here');
      await bob.sees('still here');
      return 'told';
    },
  },
  {
    name: 'the offer names another key, with statements that its holder has signed',
    permitted: ['delivered'],
    async play(network) {
      const [anna, bob] = await pair(network);
      const { signingKey, backupKey } = anna.client.me!;
      const thief = generateKeyPairSync('ed25519').privateKey;
      const x = encodeSigningKey(thief);
      const since = Math.floor(Date.now() / 1_000) + 1_000;
      const said = signStatement('citadel.example', { since, signingKey: x, backupKey: x }, [thief]);
      network.gatekeeper.lies.offer = offer => {
        const { succession, ...rest } = offer['compactKeys'] as { succession: { signatures: string[] }[] };
        const taken = { ...said, signatures: [...said.signatures, ...succession.at(-1)!.signatures] };
        return {
          ...offer,
          compactKeys: { ...rest, signingKey: { kty: 'OKP', crv: 'Ed25519', x }, succession: [taken] },
        };
      };
      const again = await startedAgain(network, anna);
      assert.deepEqual([again.client.me!.signingKey, again.client.me!.backupKey], [signingKey, backupKey]);
      await again.say(bob, 'not moved');
      await bob.sees('not moved');
      return 'delivered';
    },
  },
];
