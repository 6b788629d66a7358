// Lying gatekeepers against the real SDK: one that gives itself out for another to get a proof that is meant for it, before
// and after enlistment; and what the SDK says of the identity key it enlists.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { isSignedByIdentity } from '@drawbridge/e2ee/identity-signature';
import { createDevelopmentAuthority } from '@drawbridge/identity/development-certificates';
import { possessionSignedBytes } from '@drawbridge/wire/device-manifest';
import { openClient } from '../client.ts';
import type { DeviceRecord } from './enlist.ts';
import type { ProofRequest } from './provider-session.ts';

const closers: (() => unknown)[] = [];
after(async () => {
  for (const close of closers.reverse()) await close();
});

type Body = { readonly proof: string; readonly device: DeviceRecord; readonly possession?: string };

/** A gatekeeper that admits everybody and says of itself what `lies` says. */
async function openGatekeeper() {
  const authority = createDevelopmentAuthority({ nowMs: Date.now() });
  const lies: { issuer?: string; domain?: string; possession?: number } = {};
  const asked: { path: string; body: string }[] = [];
  const server = createServer(authority.issue(['localhost']), (request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const isOffer = request.url === '/.well-known/interop-gatekeeper';
      if (!isOffer) asked.push({ path: request.url!, body: Buffer.concat(chunks).toString() });
      const interopId = `1-${'a'.repeat(26)}`;
      const domain = 'citadel.example';
      const enlisted = { interopId, deviceId: 1, jid: `${interopId}@${domain}`, domain };
      const offer = { version: 1, issuer: url, domain, endpoints: { http: url }, suites: ['signal-1'], providers: [] };
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify(isOffer ? { ...offer, possession: 1, ...lies } : enlisted));
    });
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const url = `https://localhost:${(server.address() as AddressInfo).port}`;
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-issuer-'));
  closers.push(() => {
    server.closeAllConnections();
    server.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const proofs: ProofRequest[] = [];
  const open = async (name = 'anna') => {
    const client = await openClient({
      folder: join(folder, name),
      key: new Uint8Array(32),
      gatekeeper: url,
      ca: authority.ca,
      proofSource: async request => {
        proofs.push(request);
        return `proof ${proofs.length}`;
      },
    });
    closers.push(() => client.close());
    return client;
  };
  return { url, lies, asked, proofs, open };
}

test('a gatekeeper that gives itself out for another gets no proof, before and after enlistment', async () => {
  const { url, lies, asked, proofs, open } = await openGatekeeper();
  const anna = await open();
  for (const issuer of ['https://other.example', `${url}/`, url.replace('localhost', 'LOCALHOST')]) {
    lies.issuer = issuer;
    await assert.rejects(anna.account.enlist(), { code: 'issuer-differs' });
  }
  assert.deepEqual([proofs, asked], [[], []], 'nothing was asked of the provider, nor said to the liar');
  delete lies.issuer;
  assert.equal((await anna.account.enlist()).gatekeeper, url);
  assert.equal(proofs[0]!.audience, url);
  await anna.close();

  // It turns malicious later: the issuer and the domain are those of the enlistment, for good.
  const { length } = proofs;
  for (const lie of [{ issuer: 'https://other.example' }, { domain: 'other.example' }]) {
    Object.assign(lies, lie);
    const again = await open();
    await assert.rejects(again.account.status(), { code: 'issuer-differs' });
    await assert.rejects(again.connect(), { code: 'issuer-differs' });
    await assert.rejects(again.account.withdraw(), { code: 'issuer-differs' });
    await again.close();
    delete lies.issuer;
    delete lies.domain;
  }
  assert.equal(proofs.length, length);
});

test('a device says that it holds the identity key, for this gatekeeper, device key and proof alone', async () => {
  const { url, lies, asked, open } = await openGatekeeper();
  await (await open()).account.enlist();
  const { proof, device, possession } = JSON.parse(asked[0]!.body) as Body;
  const x = device.deviceKey;
  const deviceKeyThumbprint = createHash('sha256')
    .update(JSON.stringify({ crv: 'X25519', kty: 'OKP', x }))
    .digest('base64url');
  const nonce = createHash('sha256').update(proof).digest('base64url');
  const isSigned = (issuer: string, text: string): boolean =>
    isSignedByIdentity(
      Buffer.from(device.identityKey, 'base64'),
      possessionSignedBytes({ issuer, deviceKeyThumbprint, subject: { nonce: text } }),
      Buffer.from(possession ?? '', 'base64'),
    );
  assert.equal(isSigned(url, nonce), true);
  assert.equal(isSigned('https://other.example', nonce), false);
  assert.equal(isSigned(url, proof), false);

  // A gatekeeper of version 0.1.0 refuses members that it doesn't know.
  lies.possession = 0;
  await (await open('bert')).account.enlist();
  assert.equal('possession' in (JSON.parse(asked[1]!.body) as Body), false);
});
