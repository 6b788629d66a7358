// A cheating provider: it signs proofs for whoever it likes, with keys that it shows or hides as it likes.
// Knows nothing of gatekeepers or attacks.
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { DevPki } from '@drawbridge/cli/dev-pki';
import { issueOwnershipProof } from '@drawbridge/identity/issue-ownership-proof';
import { generateSigningKey, publicJwk, type SigningKey } from '@drawbridge/identity/jwk';

export type CheatingProvider = {
  readonly issuer: string;
  /** The key set that everybody is shown. */
  shown: readonly SigningKey[];
  /** What signs. */
  key: SigningKey;
  /** A proof in the name of any issuer, for anybody. */
  proof(claims: {
    /** User-visible identifier. */
    readonly subject: string;
    readonly audience: string;
    readonly jkt: string;
    readonly issuer?: string;
  }): Promise<string>;
  close(): Promise<void>;
};

export async function openCheatingProvider(pki: DevPki): Promise<CheatingProvider> {
  const tls = { cert: readFileSync(pki.certFile, 'utf8'), key: readFileSync(pki.keyFile, 'utf8') };
  const server = createServer(tls, (request, response) => {
    const answer = (value: unknown): void => {
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value));
    };
    if (request.url === '/.well-known/openid-configuration') answer({ issuer, jwks_uri: `${issuer}/jwks` });
    else if (request.url === '/jwks') answer({ keys: provider.shown.map(publicJwk) });
    else response.writeHead(404).end();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const issuer = `https://localhost:${(server.address() as AddressInfo).port}`;
  const key = generateSigningKey('ES256');
  const provider: CheatingProvider = {
    issuer,
    key,
    shown: [key],
    async proof({ subject, audience, jkt, issuer: named = issuer }) {
      const now = Math.floor(Date.now() / 1_000);
      return await issueOwnershipProof(provider.key, {
        issuer: named,
        subject,
        audience,
        jkt,
        jti: randomUUID(),
        issuedAtSeconds: now,
        expiresAtSeconds: now + 60,
      });
    },
    async close() {
      server.closeAllConnections();
      await new Promise(resolve => server.close(resolve));
    },
  };
  return provider;
}
