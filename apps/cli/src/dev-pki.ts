// Keeps a development certificate authority's certificate and one server certificate in a folder. Never for production.
// Knows nothing of servers. The authority's private key is never written: who steals the folder can't make certificates.
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { chmodSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { makeFolder } from '@drawbridge/identity/make-folder';
import { createDevelopmentAuthority } from '@drawbridge/identity/development-certificates';

export type DevPki = {
  /** PEM: what clients are told to trust. */
  readonly caFile: string;
  readonly certFile: string;
  /** PEM, mode 0600. */
  readonly keyFile: string;
};

const validDays = 365;
const renewBeforeMs = 30 * 86_400_000;

/** Names that every development certificate has. No `*.localhost`: OpenSSL matches no wildcard that stands for so much. */
export const loopbackNames = ['localhost', '127.0.0.1', '::1'];

/**
 * Makes `ca.pem`, `server.pem` and `server-key.pem` in `folder` (mode 0700), or keeps those that are there: valid for a
 * year, made again (authority and all) within 30 days of their end, when damaged, or when a name of `names` is missing.
 * `names` are DNS names and IP addresses besides `loopbackNames`. Rejects with the file system's error.
 */
export async function ensureDevPki(folder: string, names: readonly string[] = [], nowMs = Date.now()): Promise<DevPki> {
  const files = {
    caFile: join(folder, 'ca.pem'),
    certFile: join(folder, 'server.pem'),
    keyFile: join(folder, 'server-key.pem'),
  };
  const wanted = [...new Set([...loopbackNames, ...names])];
  if (isFit(files, wanted, nowMs)) return files;
  makeFolder(folder);
  const authority = createDevelopmentAuthority({ nowMs, days: validDays });
  const { cert, key } = authority.issue(wanted);
  // The key first and the authority last: after a crash in between, the parts don't fit and all are made again.
  write(files.keyFile, key, 0o600);
  write(files.certFile, cert, 0o644);
  write(files.caFile, authority.ca, 0o644);
  return files;
}

function isFit(files: DevPki, names: readonly string[], nowMs: number): boolean {
  try {
    const ca = new X509Certificate(readFileSync(files.caFile));
    const cert = new X509Certificate(readFileSync(files.certFile));
    const key = readFileSync(files.keyFile);
    const hasName = (name: string): boolean =>
      (isIP(name) === 0 ? cert.checkHost(name) : cert.checkIP(name)) !== undefined;
    const ends = Math.min(cert.validToDate.getTime(), ca.validToDate.getTime());
    chmodSync(files.keyFile, 0o600);
    return (
      nowMs < ends - renewBeforeMs &&
      nowMs >= cert.validFromDate.getTime() &&
      cert.verify(ca.publicKey) &&
      cert.checkPrivateKey(createPrivateKey(key)) &&
      names.every(hasName)
    );
  } catch {
    return false;
  }
}

function write(file: string, text: string, mode: number): void {
  writeFileSync(`${file}.new`, text, { mode });
  renameSync(`${file}.new`, file);
}
