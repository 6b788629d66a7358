// The certificate that is served just now, and how it is replaced while everything runs: connections that are there keep
// theirs, new ones get the new one. A broken new file leaves the old one in place. Knows nothing of ports.
import { readFile } from 'node:fs/promises';
import type { SecureContext } from 'node:tls';
import {
  type Certificate,
  type CertificateFiles,
  daysUntil,
  readCertificate,
  type TlsMaterial,
} from './certificate.ts';

export type CertificateEvent =
  | { readonly kind: 'replaced'; readonly daysLeft: number }
  /** Said once for each content of the files. */
  | { readonly kind: 'refused'; readonly code: string; readonly message: string }
  | { readonly kind: 'warning'; readonly message: string };

export type LiveCertificate = {
  readonly secureContext: SecureContext;
  readonly material: TlsMaterial;
  readonly expiresAtMs: number;
  /** Called with each new one. */
  onReplaced(listener: (material: TlsMaterial) => void): void;
  /** Reads the files, perhaps others than before. Gives what serves them from now on; undefined: unfit, the old one stays. */
  prepare(files: CertificateFiles): (() => void) | undefined;
  /** Looks at the files and takes what has changed there. The key that is written after its certificate is waited for. */
  lookAgain(): Promise<void>;
};

export type LiveCertificateDeps = {
  readonly files: CertificateFiles;
  readonly names: readonly string[];
  readonly nowMs: () => number;
  readonly onEvent: (event: CertificateEvent) => void;
};

/** Gives the words of what is wrong when the files can't be served: nothing can start then. */
export function openLiveCertificate(deps: LiveCertificateDeps): LiveCertificate | string {
  const first = readCertificate(deps.files, deps.names, deps.nowMs());
  if (first.kind === 'refused') return first.message;
  for (const message of first.certificate.warnings) deps.onEvent({ kind: 'warning', message });
  return new WatchedCertificate(deps, first.certificate);
}

class WatchedCertificate implements LiveCertificate {
  readonly #deps: LiveCertificateDeps;
  readonly #listeners: ((material: TlsMaterial) => void)[] = [];
  #files: CertificateFiles;
  #current: Certificate;
  /** Contents that were refused, so that it is said once; and seen once, because the second file may be on its way. */
  #refused = '';
  #seen = '';

  constructor(deps: LiveCertificateDeps, first: Certificate) {
    this.#deps = deps;
    this.#files = deps.files;
    this.#current = first;
  }

  get secureContext(): SecureContext {
    return this.#current.secureContext;
  }

  get material(): TlsMaterial {
    return this.#current.material;
  }

  get expiresAtMs(): number {
    return this.#current.expiresAtMs;
  }

  onReplaced(listener: (material: TlsMaterial) => void): void {
    this.#listeners.push(listener);
  }

  prepare(files: CertificateFiles): (() => void) | undefined {
    const { names, nowMs, onEvent } = this.#deps;
    const result = readCertificate(files, names, nowMs());
    if (result.kind === 'refused') {
      onEvent(result);
      return undefined;
    }
    return () => {
      this.#files = files;
      for (const message of result.certificate.warnings) onEvent({ kind: 'warning', message });
      this.#current = result.certificate;
      for (const listener of this.#listeners) listener(this.#current.material);
      onEvent({ kind: 'replaced', daysLeft: daysUntil(this.#current.expiresAtMs, nowMs()) });
    };
  }

  async lookAgain(): Promise<void> {
    const files = this.#files;
    const contents = await Promise.all([readFile(files.certFile), readFile(files.keyFile)]).catch(() => undefined);
    // Absent for a moment while they are replaced, or for good: what is served stays.
    const text = contents === undefined ? 'absent' : contents.map(each => each.toString('latin1')).join('\n');
    const { cert, key } = this.#current.material;
    const same = contents !== undefined && contents[0].equals(cert) && contents[1].equals(key);
    const isNew = !same && text !== this.#refused;
    const seenTwice = text === this.#seen;
    this.#seen = text;
    if (isNew && seenTwice) {
      const serve = this.prepare(files);
      if (serve === undefined) this.#refused = text;
      serve?.();
    }
    if (same) this.#refused = '';
  }
}
