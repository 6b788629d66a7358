// What a cheating provider vouches for, at the true gatekeeper: a stranger's device in the name of somebody who is enlisted, each
// time in another way. The gatekeeper refuses every one.
// Knows nothing of what people do meanwhile.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { enlistDevice } from '@drawbridge/client/account/enlist';
import { signPossession } from '@drawbridge/client/account/possession';
import { deviceRecord } from '@drawbridge/client/account/publication';
import { createDevice } from '@drawbridge/e2ee/device-keys';
import { generateSigningKey } from '@drawbridge/identity/jwk';
import type { Random } from '../durability/random.ts';
import type { CheatingNetwork, Person } from './network.ts';
import type { CheatingProvider } from './provider.ts';

type Vouched = { readonly subject: string; readonly audience: string; readonly jkt: string };
type Word = (network: CheatingNetwork, claims: Vouched) => Promise<string>;

/** What signs is read at once, so that nobody else's proof is signed so. */
async function signedInSecret(provider: CheatingProvider, claims: Vouched): Promise<string> {
  const { key } = provider;
  provider.key = generateSigningKey('ES256');
  const proof = provider.proof(claims);
  provider.key = key;
  return await proof;
}

const words: Readonly<Record<string, Word>> = {
  'as another provider': ({ crow, home }, claims) => crow.proof({ ...claims, issuer: home.issuer }),
  'with a key that is not shown': ({ home }, claims) => signedInSecret(home, claims),
  'to another gatekeeper': ({ home }, claims) => home.proof({ ...claims, audience: 'https://other.example' }),
  'for another device key': ({ home }, claims) => home.proof({ ...claims, jkt: randomBytes(32).toString('base64url') }),
  'for its own user, without their identity key': ({ home }, claims) => home.proof(claims),
};

/** Gives how it was done. Throws when the gatekeeper took it. */
export async function vouchFalsely(network: CheatingNetwork, victim: Person, random: Random): Promise<string> {
  const how = random.pick(Object.keys(words));
  const made = createDevice({ nowMs: Date.now() });
  assert(made.ok);
  const { keys, publication } = made.value;
  const jkt = keys.deviceKey.thumbprint;
  const proof = await words[how]!(network, { subject: victim.name.identifier, audience: network.issuer, jkt });
  const request = {
    proof,
    device: deviceRecord(keys, publication),
    possession: signPossession(keys, network.issuer, { proof }),
  };
  await assert.rejects(
    enlistDevice(network.issuer, request, { ca: readFileSync(network.ca, 'utf8') }),
    error =>
      error instanceof Error &&
      'code' in error &&
      ['proof-refused', 'gatekeeper-refused', 'identity-key-differs'].includes(String(error.code)),
    how,
  );
  return how;
}
