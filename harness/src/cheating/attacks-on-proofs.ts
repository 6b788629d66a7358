// Attacks of a provider that says of others' users what it likes, or changes its keys; and of a gatekeeper that says which
// gatekeeper it is.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { enlistDevice } from '@drawbridge/client/account/enlist';
import { signPossession } from '@drawbridge/client/account/possession';
import { deviceRecord } from '@drawbridge/client/account/publication';
import { createDevice } from '@drawbridge/e2ee/device-keys';
import { generateSigningKey } from '@drawbridge/identity/jwk';
import { childElement, element } from '@drawbridge/wire/element';
import { NS_KEYS } from '@drawbridge/wire/namespaces';
import type { Attack } from './attack.ts';
import type { CheatingNetwork, Person } from './network.ts';
import { textOf } from './stanzas.ts';

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
  {
    name: 'a published identity key is enlisted by a stranger',
    permitted: ['refused'],
    async play(network) {
      const bob = await network.person('bob');
      const { identityKey } = (await publishedKeys(network, bob))!;
      const made = createDevice({ nowMs: Date.now() });
      assert(made.ok);
      const { keys, publication } = made.value;
      const device = { ...deviceRecord(keys, publication), identityKey };
      const enlist = async (possession: string): Promise<unknown> => {
        const jkt = keys.deviceKey.thumbprint;
        const proof = await network.crow.proof({ subject: 'stranger', audience: network.issuer, jkt });
        return enlistDevice(network.issuer, { proof, device, possession }, { ca: readFileSync(network.ca, 'utf8') });
      };
      await assert.rejects(enlist(Buffer.alloc(64).toString('base64')), isRefused);
      await assert.rejects(enlist(signPossession(keys, network.issuer, { proof: 'x' })), isRefused);
      const anna = await network.person('anna');
      await anna.say(bob, 'the key is still yours');
      await bob.sees('the key is still yours');
      return 'refused';
    },
  },
];

/** What anybody may ask for. */
async function publishedKeys(
  network: CheatingNetwork,
  of: Person,
): Promise<{ readonly identityKey: string } | undefined> {
  const asker = await network.person('asker');
  const asked = element('bundle', NS_KEYS, { jid: `${of.id}@citadel.example`, device: '1' });
  const bundle = childElement(await network.gatekeeper.ask(asker.jid, asked), 'bundle', NS_KEYS);
  const device = bundle === undefined ? undefined : childElement(bundle, 'device', NS_KEYS);
  const identity = device === undefined ? undefined : childElement(device, 'identity', NS_KEYS);
  return identity === undefined ? undefined : { identityKey: textOf(identity) };
}
