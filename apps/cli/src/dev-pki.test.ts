// Development certificates: kept, renewed, never with the authority's key.
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ensureDevPki } from './dev-pki.ts';

const dayMs = 86_400_000;

function folder(): string {
  return join(mkdtempSync(join(tmpdir(), 'drawbridge-pki-')), 'pki');
}

function fingerprint(file: string): string {
  return new X509Certificate(readFileSync(file)).fingerprint256;
}

test('certificates are kept until 30 days before their end, then made again', async () => {
  const at = folder();
  const nowMs = Date.now();
  const files = await ensureDevPki(at, ['citadel.example'], nowMs);
  const first = fingerprint(files.certFile);
  await ensureDevPki(at, ['citadel.example'], nowMs + 330 * dayMs);
  assert.equal(fingerprint(files.certFile), first);
  await ensureDevPki(at, ['citadel.example'], nowMs + 336 * dayMs);
  assert.notEqual(fingerprint(files.certFile), first);
});

test('the certificate is for loopback and the names asked for; a further name makes another', async () => {
  const at = folder();
  const files = await ensureDevPki(at);
  const first = fingerprint(files.certFile);
  const cert = new X509Certificate(readFileSync(files.certFile));
  assert.ok(cert.checkHost('localhost') !== undefined);
  for (const address of ['127.0.0.1', '::1']) assert.ok(cert.checkIP(address) !== undefined, address);
  assert.equal(cert.checkHost('citadel.example'), undefined);
  await ensureDevPki(at, ['citadel.example']);
  const renewed = new X509Certificate(readFileSync(files.certFile));
  assert.notEqual(renewed.fingerprint256, first);
  assert.ok(renewed.checkHost('citadel.example') !== undefined);
  assert.ok(renewed.verify(new X509Certificate(readFileSync(files.caFile)).publicKey));
});

test("only the server's key is written, for its owner alone", async () => {
  const at = folder();
  const { keyFile } = await ensureDevPki(at);
  assert.deepEqual(readdirSync(at).sort(), ['ca.pem', 'server-key.pem', 'server.pem']);
  assert.equal(statSync(keyFile).mode & 0o777, 0o600);
  assert.equal(statSync(at).mode & 0o777, 0o700);
  assert.doesNotMatch(readFileSync(join(at, 'ca.pem'), 'utf8'), /PRIVATE/);
});

test('damaged or mixed files are made again', async () => {
  const at = folder();
  const files = await ensureDevPki(at);
  for (const file of Object.values(files)) {
    const before = fingerprint(files.caFile);
    writeFileSync(file, 'damage');
    await ensureDevPki(at);
    assert.notEqual(fingerprint(files.caFile), before);
  }
  const other = await ensureDevPki(folder());
  writeFileSync(files.caFile, readFileSync(other.caFile));
  await ensureDevPki(at);
  const cert = new X509Certificate(readFileSync(files.certFile));
  assert.ok(cert.verify(new X509Certificate(readFileSync(files.caFile)).publicKey));
});
