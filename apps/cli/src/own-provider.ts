// A provider of one's own at a development gatekeeper: what a command line says about it, as a registration, and whose
// certificates are trusted then. Never for production. Starts nothing.
import { X509Certificate } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { parseJid } from '@drawbridge/wire/jid';
import { usageError } from './command-error.ts';
import type { RegisteredProvider } from './dev-config.ts';
import type { DevPki } from './dev-pki.ts';

/** The options of `sandbox` and `gatekeeper init --development`. */
export type OwnProviderFlags = {
  provider?: string;
  providerName?: string;
  providerWakeUps?: string;
  providerEvents?: string;
  providerCa?: string;
};

export type OwnProvider = {
  readonly registration: Omit<RegisteredProvider, 'number'>;
  /** Its origin, when it is plain HTTP on loopback. */
  readonly plainHttpOrigins: readonly string[];
  /** PEM of an authority to trust beside the development one. */
  readonly ca: string | undefined;
};

const defaultName = 'provider.localhost';
const loopbackHosts = ['localhost', '127.0.0.1', '[::1]'];

export function addOwnProviderOptions(command: Command): Command {
  return command
    .option('--provider <issuer>', 'issuer URL of a provider of your own on this machine: https, or http on loopback')
    .option('--provider-name <name>', `its DNS name, which need not resolve (default: ${defaultName})`)
    .option(
      '--provider-wake-ups <url>',
      "where wake-ups for its people are posted (default: the kit's, below the issuer)",
    )
    .option('--provider-events <url>', "where events for it are posted (default: the kit's, below the issuer)")
    .option('--provider-ca <file>', 'PEM, trusted for it beside the development authority');
}

/** Undefined without `--provider`. Throws a CommandError that names the option. */
export function readOwnProvider(flags: OwnProviderFlags): OwnProvider | undefined {
  const { provider: issuer, providerName = defaultName, providerWakeUps, providerEvents, providerCa } = flags;
  if (issuer === undefined) {
    const stray = (['providerName', 'providerWakeUps', 'providerEvents', 'providerCa'] as const).find(
      name => flags[name] !== undefined,
    );
    if (stray === undefined) return undefined;
    throw usageError(
      'there is no --provider to go with it',
      'give its issuer URL, such as https://localhost:8443/interop',
    );
  }
  const url = readUrl('--provider', issuer);
  if (issuer.endsWith('/') || url.search !== '' || !url.href.startsWith(issuer)) {
    throw usageError(
      `--provider ${issuer} is not an issuer URL`,
      'give it as in its proofs: lower-case host, no slash, query or default port at the end',
    );
  }
  const jid = parseJid(providerName);
  if (jid === undefined || jid.domain !== providerName || jid.local !== '' || jid.resource !== '') {
    throw usageError('--provider-name is not a DNS name in lower case', `give one such as ${defaultName}`);
  }
  const wakeUpUrl = providerWakeUps ?? `${issuer}/v1/wake-ups`;
  const eventsUrl = providerEvents ?? `${issuer}/v1/events`;
  const urls = [url, readUrl('--provider-wake-ups', wakeUpUrl), readUrl('--provider-events', eventsUrl)];
  return {
    registration: { name: providerName, issuer, wakeUpUrl, eventsUrl, mediaOrigins: [url.origin] },
    plainHttpOrigins: [...new Set(urls.filter(each => each.protocol === 'http:').map(each => each.origin))],
    ca: providerCa === undefined ? undefined : readCa(providerCa),
  };
}

/** One file with both authorities, since a gatekeeper takes one; the development one's when there is no other. */
export function writeTrust(folder: string, pki: DevPki, ownProvider: OwnProvider | undefined): string {
  if (ownProvider?.ca === undefined) return pki.caFile;
  const file = join(folder, 'trusted.pem');
  writeFileSync(file, `${readFileSync(pki.caFile, 'utf8').trimEnd()}\n${ownProvider.ca}`);
  return file;
}

function readUrl(option: string, text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const plain = url?.protocol === 'http:' && loopbackHosts.includes(url.hostname);
  if (url === undefined || !(plain || url.protocol === 'https:') || url.username !== '' || url.hash !== '') {
    throw usageError(`${option} ${text} is not a URL for this`, 'give an https URL, or an http one on loopback');
  }
  return url;
}

function readCa(file: string): string {
  const text = readFileSync(file, 'utf8');
  if (!isCertificate(text)) {
    throw usageError(`--provider-ca ${file} holds no certificate`, 'give a PEM file');
  }
  return text;
}

function isCertificate(text: string): boolean {
  try {
    return new X509Certificate(text).raw.length > 0;
  } catch {
    return false;
  }
}
