// Reads a certificate and its key and says whether they can be served: for the start, a reload and `gatekeeper check`.
// Knows nothing of listeners.
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { isIP } from 'node:net';
import { createSecureContext, type SecureContext } from 'node:tls';
import type { Config } from '../config-schema.ts';

/** RFC 7590, RFC 9325: nothing below TLS 1.2. */
export const minTlsVersion = 'TLSv1.2';
const oneDayMs = 86_400_000;
/** Below this many days a certificate should have been replaced (half of what short-lived ones have is 45). */
export const soonExpiringDays = 14;

export type TlsMaterial = { readonly cert: string | Buffer; readonly key: string | Buffer };

export type Certificate = {
  readonly material: { readonly cert: Buffer; readonly key: Buffer };
  readonly secureContext: SecureContext;
  readonly expiresAtMs: number;
  /** What should be mended although it is accepted, in sentences. */
  readonly warnings: readonly string[];
};

export type CertificateRefusal =
  | 'certificate-unreadable'
  | 'certificate-not-pem'
  | 'key-not-pem'
  | 'key-differs'
  | 'certificate-expired'
  | 'certificate-not-yet-valid'
  | 'certificate-unfit';

export type CertificateResult =
  | { readonly kind: 'good'; readonly certificate: Certificate }
  /** `message` names the file and what to do. */
  | { readonly kind: 'refused'; readonly code: CertificateRefusal; readonly message: string };

export type CertificateFiles = { readonly certFile: string; readonly keyFile: string };

/** What clients of this gatekeeper expect in its certificate. */
export function namesOf({ domain, publicHost, issuer }: Pick<Config, 'domain' | 'publicHost' | 'issuer'>): string[] {
  const issuerHost = new URL(issuer).hostname.replace(/^\[|\]$/g, '');
  return [...new Set([domain, publicHost ?? domain, issuerHost])];
}

const nextSteps: Readonly<Record<string, string>> = {
  ENOENT: 'create it, or name the right one',
  EISDIR: 'it is a folder: name the file in it',
};

function read(file: string): Buffer | { readonly refused: string } {
  try {
    return readFileSync(file);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unreadable';
    const next = nextSteps[code] ?? 'change its owner or mode';
    return { refused: `${file} can't be read (${code}): ${next}` };
  }
}

function parse<T>(make: () => T): T | undefined {
  try {
    return make();
  } catch {
    return undefined;
  }
}

/** Whole days until then, rounded down; negative when it is over. */
export function daysUntil(atMs: number, nowMs: number): number {
  return Math.floor((atMs - nowMs) / oneDayMs);
}

/** `names`: what clients expect in it. Never throws. */
export function readCertificate(files: CertificateFiles, names: readonly string[], nowMs: number): CertificateResult {
  const { certFile, keyFile } = files;
  const refused = (code: CertificateRefusal, message: string): CertificateResult => ({
    kind: 'refused',
    code,
    message,
  });
  const cert = read(certFile);
  if (!Buffer.isBuffer(cert)) return refused('certificate-unreadable', cert.refused);
  const key = read(keyFile);
  if (!Buffer.isBuffer(key)) return refused('certificate-unreadable', key.refused);
  const leaf = parse(() => new X509Certificate(cert));
  if (leaf === undefined) {
    return refused('certificate-not-pem', `${certFile} is not a certificate in PEM: put the certificate chain there`);
  }
  const privateKey = parse(() => createPrivateKey(key));
  if (privateKey === undefined) {
    return refused('key-not-pem', `${keyFile} is not a private key in PEM without a passphrase: put the key there`);
  }
  if (!leaf.checkPrivateKey(privateKey)) {
    return refused('key-differs', `${keyFile} is not the key of ${certFile}: put both files of one certificate there`);
  }
  const expiresAtMs = leaf.validToDate.getTime();
  if (expiresAtMs <= nowMs) {
    return refused('certificate-expired', `${certFile} ended ${leaf.validTo}: renew the certificate`);
  }
  if (leaf.validFromDate.getTime() > nowMs) {
    const message = `${certFile} begins ${leaf.validFrom}: check this machine's clock, or wait`;
    return refused('certificate-not-yet-valid', message);
  }
  const material = { cert, key };
  const secureContext = parse(() => createSecureContext({ ...material, minVersion: minTlsVersion }));
  if (secureContext === undefined) {
    return refused('certificate-unfit', `${certFile} can't be served: look for broken parts behind the first`);
  }
  return {
    kind: 'good',
    certificate: { material, secureContext, expiresAtMs, warnings: warningsOf(files, leaf, names, nowMs) },
  };
}

function warningsOf(files: CertificateFiles, leaf: X509Certificate, names: readonly string[], nowMs: number): string[] {
  const { certFile, keyFile } = files;
  const warnings = names
    .filter(name => (isIP(name) === 0 ? leaf.checkHost(name) : leaf.checkIP(name)) === undefined)
    .map(name => `${certFile} is not for ${name}: clients refuse it; get a certificate with that name`);
  const days = daysUntil(leaf.validToDate.getTime(), nowMs);
  if (days < soonExpiringDays) warnings.push(`${certFile} ends in ${days} days: renew it`);
  const mode = parse(() => statSync(keyFile).mode & 0o077);
  if (mode !== undefined && mode !== 0) warnings.push(`${keyFile} can be read by others: set its mode to 0600`);
  return warnings;
}
