// Development certificates, judged by node's own TLS and X.509 reader.

import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { createDevelopmentAuthority } from './development-certificates.ts';

test('a certificate is of its authority, for its names and times', () => {
  const nowMs = Date.UTC(2026, 10, 23);
  const authority = createDevelopmentAuthority({ nowMs });
  const { cert, key } = authority.issue(['citadel.test', '*.citadel.test', '127.0.0.1', '::1', '2001:db8::7']);
  const ca = new X509Certificate(authority.ca);
  const certificate = new X509Certificate(cert);
  assert.ok(ca.ca && ca.verify(ca.publicKey));
  assert.ok(!certificate.ca && certificate.verify(ca.publicKey) && certificate.checkIssued(ca));
  assert.ok(certificate.checkHost('citadel.test') && certificate.checkHost('a.citadel.test'));
  assert.ok(certificate.checkIP('127.0.0.1') && certificate.checkIP('::1') && certificate.checkIP('2001:db8::7'));
  assert.ok(certificate.checkHost('evil.test') === undefined && certificate.checkIP('::2') === undefined);
  assert.equal(Date.parse(certificate.validTo), nowMs + 90 * 86_400_000);
  assert.match(key, /^-----BEGIN PRIVATE KEY-----/);
});

test('times beyond 2049 are written in full', () => {
  const { ca } = createDevelopmentAuthority({ nowMs: Date.UTC(2060, 0, 1) });
  assert.equal(Date.parse(new X509Certificate(ca).validTo), Date.UTC(2060, 0, 1) + 90 * 86_400_000);
});
