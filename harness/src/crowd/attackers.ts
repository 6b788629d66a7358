// The crowd, in a process of its own: `fork` it with a `CrowdSetup` as its one argument. It serves the hostile provider, says
// `ready`, begins when it is told, and at `stop` says what it has done.
import { generateSigningKey, publicJwk } from '@drawbridge/identity/jwk';
import { issueOwnershipProof } from '@drawbridge/identity/issue-ownership-proof';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { RawStream } from '../durability/raw-stream.ts';
import { type Attack, type Crowd, crowdAddresses } from './attack.ts';
import {
  blankBeforeLogin,
  brokenHandshakes,
  connections,
  hopelessLogins,
  httpIdles,
  httpRequests,
} from './attacks-before-login.ts';
import { collectGrants, enlistments, slowMedia, startTraps, wrongPasswords } from './attacks-on-services.ts';
import { bundleDrain, cheapIqs, deadWakeUps, messageFlood, unreadAnswers } from './attacks-on-streams.ts';
import { deadProviders, domain, type Person, type Target } from './network.ts';

export type CrowdSetup = {
  readonly target: Target;
  readonly accounts: readonly Person[];
  readonly sleepers: readonly Person[];
  readonly victims: Crowd['victims'];
  readonly hasIpv6: boolean;
};
export type CrowdReport =
  | { readonly kind: 'ready' }
  | { readonly kind: 'done'; readonly counts: Readonly<Record<string, Readonly<Record<string, number>>>> };

const { target, accounts, sleepers, victims, hasIpv6 } = JSON.parse(process.argv[2]!) as CrowdSetup;
const counts: Record<string, Record<string, number>> = {};
let isStopped = false;

const issuer = `https://localhost:${target.skylark.issuerPort}`;
const key = generateSigningKey('ES256');

/** A provider is its key set. */
async function serveIssuer(): Promise<void> {
  const tls = { cert: readFileSync(target.pki.certFile), key: readFileSync(target.pki.keyFile) };
  const documents: Readonly<Record<string, unknown>> = {
    '/.well-known/openid-configuration': { issuer, jwks_uri: `${issuer}/jwks.json` },
    '/jwks.json': { keys: [publicJwk(key)] },
  };
  const server = createServer(tls, (request, response) => {
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(documents[request.url ?? ''] ?? {}));
  });
  await new Promise<void>(resolve => server.listen(target.skylark.issuerPort, '127.0.0.1', resolve));
}

async function proof(subject: string, jkt: string, inTheNameOf = issuer): Promise<string> {
  const issuedAtSeconds = Math.floor(Date.now() / 1_000);
  const jti = randomBytes(18).toString('base64url');
  const times = { issuedAtSeconds, expiresAtSeconds: issuedAtSeconds + 120 };
  return await issueOwnershipProof(key, {
    issuer: inTheNameOf,
    subject,
    audience: target.audience,
    jkt,
    jti,
    ...times,
  });
}

function crowdOf(attack: string): Crowd {
  const own = (counts[attack] ??= {});
  const address = crowdAddresses(hasIpv6);
  return {
    target,
    accounts,
    sleepers,
    victims,
    address,
    proof,
    open: async (account, on = {}) =>
      await RawStream.open({
        port: target.ports.xmpp,
        domain,
        proof: on.proof ?? (await proof(account.identifier, account.jkt)),
        managed: true,
        localAddress: address(9),
        onStanza: () => {},
        onAcknowledged: () => {},
        ...on,
      }),
    stopped: () => isStopped,
    count: (what, by = 1) => {
      own[what] = (own[what] ?? 0) + by;
    },
  };
}

async function run(grants: readonly string[]): Promise<void> {
  const attacks: Readonly<Record<string, Attack>> = {
    connections,
    httpIdles,
    httpRequests,
    blankBeforeLogin,
    brokenHandshakes,
    hopelessLogins: hopelessLogins(deadProviders),
    cheapIqs,
    unreadAnswers,
    messageFlood,
    bundleDrain,
    enlistments,
    wrongPasswords,
    slowMedia: slowMedia(grants),
    deadWakeUps,
  };
  await Promise.all(Object.entries(attacks).map(([name, attack]) => attack(crowdOf(name))));
}

await serveIssuer();
await startTraps(target);
const grants = await collectGrants(crowdOf('grants'));
process.on('message', (word: string) => {
  if (word === 'begin') void run(grants);
  if (word === 'stop') {
    isStopped = true;
    process.send?.({ kind: 'done', counts } satisfies CrowdReport, () => process.exit(0));
  }
});
process.on('disconnect', () => process.exit(0));
process.send?.({ kind: 'ready' } satisfies CrowdReport);
