// Writes a gatekeeper's first configuration, with a README.md that explains each part. Knows nothing of running one.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeFolder } from '@drawbridge/identity/make-folder';
import { parseConfig } from '@drawbridge/gatekeeper/config';
import { CommandError, usageError } from './command-error.ts';
import { loopbackAddresses } from './dev-config.ts';
import { ensureDevPki } from './dev-pki.ts';
import { type OwnProvider, type OwnProviderFlags, readOwnProvider, writeTrust } from './own-provider.ts';

/** Overwrites nothing. Rejects with a CommandError or the file system's error. */
export async function initGatekeeper(
  folder: string,
  options: OwnProviderFlags & { readonly domain?: string; readonly data?: string; readonly development: boolean },
): Promise<void> {
  const { development } = options;
  const ownProvider = readOwnProvider(options);
  if (ownProvider !== undefined && !development) {
    throw usageError('--provider needs --development', 'in production, write the provider into `providers` yourself');
  }
  const domain = options.domain ?? (development ? 'localhost' : undefined);
  if (domain === undefined) throw usageError('--domain is missing', 'name the DNS name that is to stand in addresses');
  const config = {
    ...(development ? developmentConfig(domain, ownProvider) : productionConfig(domain)),
    ...(options.data === undefined ? {} : { dataFolder: options.data }),
  };
  const parsed = parseConfig(config, folder);
  if (parsed.kind === 'refused') {
    throw usageError(
      `--domain: ${parsed.errors.map(error => error.message).join('; ')}`,
      'give a DNS name in lower case',
    );
  }
  makeFolder(folder);
  const file = join(folder, 'gatekeeper.json');
  writeNew(file, `${JSON.stringify(config, undefined, 2)}\n`);
  writeNew(join(folder, 'README.md'), readme(domain, development));
  if (development) writeTrust(join(folder, 'pki'), await ensureDevPki(join(folder, 'pki'), [domain]), ownProvider);
  const next = development
    ? `drawbridge gatekeeper --config ${file}`
    : `put your certificate into ${join(folder, 'tls')}, then drawbridge gatekeeper check --config ${file}`;
  process.stdout.write(`wrote ${file} and README.md\nNext: ${next}\n`);
}

function writeNew(file: string, text: string): void {
  try {
    writeFileSync(file, text, { flag: 'wx' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    throw new CommandError(`${file} is there already`, 'name another folder, or remove it');
  }
}

function productionConfig(domain: string): object {
  return {
    mode: 'production',
    domain,
    issuer: `https://${domain}`,
    dataFolder: 'data',
    tls: { certFile: 'tls/fullchain.pem', keyFile: 'tls/privkey.pem' },
    listeners: {
      xmpp: { port: 5222 },
      xmpps: { port: 5223 },
      compact: { port: 5224 },
      websocket: { port: 443 },
      compactWebsocket: { port: 443 },
      http: { port: 443 },
      admin: { host: '127.0.0.1', port: 9320 },
      health: { host: '127.0.0.1', port: 9321 },
    },
    ownUsers: { kind: 'embedded', registration: 'closed' },
    providers: [],
  };
}

function developmentConfig(domain: string, ownProvider: OwnProvider | undefined): object {
  const at = (port: number): object => ({ host: '127.0.0.1', port });
  return {
    mode: 'development',
    domain,
    issuer: 'https://localhost:5226',
    publicHost: 'localhost',
    dataFolder: 'data',
    tls: { certFile: 'pki/server.pem', keyFile: 'pki/server-key.pem' },
    listeners: {
      xmpp: at(5222),
      xmpps: at(5223),
      websocket: at(5224),
      compactWebsocket: at(5224),
      compact: at(5225),
      http: at(5226),
      admin: at(5228),
    },
    ownUsers: { kind: 'embedded', registration: 'open' },
    providers: ownProvider === undefined ? [] : [{ number: 1, ...ownProvider.registration }],
    ...(ownProvider === undefined ? {} : { policy: { admittedPairs: [[1, 1]] } }),
    egress: {
      allowAddresses: loopbackAddresses,
      ...(ownProvider === undefined ? {} : { allowPlainHttpOrigins: ownProvider.plainHttpOrigins }),
      caFile: ownProvider?.ca === undefined ? 'pki/ca.pem' : 'pki/trusted.pem',
    },
  };
}

function readme(domain: string, development: boolean): string {
  const provider = JSON.stringify(
    development
      ? { number: 1, name: 'skylark.localhost', issuer: 'https://localhost:5227' }
      : {
          number: 1,
          name: 'skylark.example',
          issuer: 'https://id.skylark.example',
          wakeUpUrl: 'https://id.skylark.example/v1/wake-ups',
        },
  );
  return `# A gatekeeper for ${domain}

\`gatekeeper.json\` holds what has no good default; \`docs/operations/configuration.md\` explains every key.
Check it with \`drawbridge gatekeeper check --config gatekeeper.json\`, run it with \`drawbridge gatekeeper --config gatekeeper.json\`.

| key | meaning |
| --- | --- |
| \`mode\` | \`${development ? 'development' : 'production'}\`. \`development\` allows loopback addresses and plain HTTP, and is for one machine |
| \`domain\` | stands in every JID and never changes |
| \`issuer\` | the audience of every ownership proof; providers are told it |
| \`dataFolder\` | database, keys, \`admin-token\`: back it up, let nobody else read it |
| \`tls\` | ${development ? 'development certificates from `pki/`, valid for a year; trust `pki/ca.pem` in clients' : 'certificate chain and key for the domain; put them there, with mode 0600 for the key'} |
| \`listeners\` | ports; \`websocket\`, \`compactWebsocket\` and \`http\` may share one; \`admin\` stays off the Internet; \`health\` is for a supervisor or load balancer |
| \`ownUsers\` | the embedded issuer vouches for this gatekeeper's own users; name your own OpenID issuer instead with \`{"kind": "issuer", "issuer": …}\` |
| \`providers\` | third-party providers; one looks like \`${provider}\` |
${development ? '| `egress` | lets it fetch keys from providers on this machine |\n' : ''}`;
}
