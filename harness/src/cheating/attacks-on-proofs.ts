// Attacks of a provider that says of others' users what it likes, or changes its keys; and of a gatekeeper that says which
// gatekeeper it is.
import assert from 'node:assert/strict';
import { generateSigningKey } from '@drawbridge/identity/jwk';
import type { Attack } from './attack.ts';

const isRefused = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && ['proof-refused', 'gatekeeper-refused'].includes(String(error.code));

export const falseProofs: readonly Attack[] = [
  {
    name: "a provider vouches for another provider's user",
    permitted: ['refused'],
    async play(network) {
      const bob = await network.person('bob');
      const { identifier } = bob.name;
      // In its own name it makes a user of its own; in the other's name it is not believed.
      const own = await network.client(`thief-${identifier}`, 'crow.example', {
        proofSource: ({ audience, jkt }) => network.crow.proof({ subject: identifier, audience, jkt }),
      });
      await own.account.enlist();
      assert.notEqual(own.me!.interopId, bob.id);
      await own.close();
      const forged = await network.client(`forger-${identifier}`, 'crow.example', {
        proofSource: ({ audience, jkt }) =>
          network.crow.proof({ subject: identifier, audience, jkt, issuer: network.home.issuer }),
      });
      await assert.rejects(forged.account.enlist({ replace: true }), isRefused);
      await forged.close();
      const anna = await network.person('anna');
      await anna.say(bob, 'still you?');
      await bob.sees('still you?');
      return 'refused';
    },
  },
  {
    name: 'a provider signs with keys that it does not show',
    permitted: ['refused'],
    async play(network) {
      const { crow } = network;
      const { key } = crow;
      const client = await network.client('hidden-keys', 'crow.example');
      crow.key = generateSigningKey('ES256');
      await assert.rejects(client.account.enlist(), isRefused);
      crow.key = key;
      await client.account.enlist();
      await client.close();
      return 'refused';
    },
  },
  {
    name: 'a proof is used a second time, by the gatekeeper’s front for another device',
    permitted: ['refused'],
    async play(network) {
      const proofs: string[] = [];
      const first = await network.client('proof-once', 'crow.example', {
        proofSource: async ({ audience, jkt }) => {
          const proof = await network.crow.proof({ subject: 'proof-once', audience, jkt });
          proofs.push(proof);
          return proof;
        },
      });
      await first.account.enlist();
      const second = await network.client('proof-twice', 'crow.example', {
        proofSource: () => Promise.resolve(proofs[0]!),
      });
      await assert.rejects(second.account.enlist({ replace: true }), isRefused);
      await first.close();
      await second.close();
      return 'refused';
    },
  },
  {
    name: 'the gatekeeper gives itself out for another, to get a proof that is meant for that one',
    permitted: ['refused'],
    async play(network) {
      const audiences: string[] = [];
      const client = await network.client('misled', 'crow.example', {
        proofSource: ({ audience, jkt }) => {
          audiences.push(audience);
          return network.crow.proof({ subject: 'misled', audience, jkt });
        },
      });
      network.gatekeeper.lies.offer = offer => ({ ...offer, issuer: 'https://other.example' });
      await assert.rejects(client.account.enlist(), error => error instanceof Error && 'code' in error);
      assert.deepEqual(audiences, [], 'no proof was asked for');
      await client.close();
      return 'refused';
    },
  },
];
