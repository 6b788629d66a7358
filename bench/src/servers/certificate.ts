// One certificate for the peers, from the same authority code that the sandbox uses: P-256, as ours.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createDevelopmentAuthority } from '@drawbridge/identity/development-certificates';
import { domain } from '../load/target.ts';

export type CertificateFiles = {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
  readonly both: string;
};

export function writeCertificate(folder: string): CertificateFiles {
  mkdirSync(folder, { recursive: true });
  const authority = createDevelopmentAuthority({ nowMs: Date.now() });
  const { cert, key } = authority.issue([domain]);
  const files = { ca: 'ca.pem', cert: 'cert.pem', key: 'key.pem', both: 'both.pem' };
  const paths = Object.fromEntries(Object.entries(files).map(([name, file]) => [name, join(folder, file)]));
  const { ca, cert: certFile, key: keyFile, both } = paths as unknown as CertificateFiles;
  writeFileSync(ca, authority.ca);
  writeFileSync(certFile, cert);
  writeFileSync(keyFile, key, { mode: 0o600 });
  writeFileSync(both, cert + key, { mode: 0o600 });
  return { ca, cert: certFile, key: keyFile, both };
}
