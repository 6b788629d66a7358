// The servers of the media suite: nginx as origin and as proxy, our media origin, and a whole gatekeeper whose provider's
// files lie at an origin. Each on its core; all with one certificate for localhost.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { devGatekeeperConfig, freePorts } from '@drawbridge/cli/dev-config';
import type { DevPki } from '@drawbridge/cli/dev-pki';
import { forkGatekeeper } from '@drawbridge/cli/gatekeeper-process';
import { makeDevice } from '@drawbridge/cli/sandbox-devices';
import { createMediaGrants, openMediaGrantKey } from '@drawbridge/gatekeeper/media/media-grants';
import { nodeArguments, runJob, startChild, stopChild } from '../children.ts';
import { pinToCore, serverCore } from '../machine.ts';
import type { MediaOriginJob } from './media-origin-main.ts';
import { untilListening } from './server.ts';

export type MediaServer = {
  readonly pid: number;
  /** Without a slash at its end. */
  readonly url: string;
  readonly stop: () => Promise<void>;
};

export type NginxRole =
  /** Serves the files of a folder. */
  | { readonly kind: 'files'; readonly folder: string }
  /** Passes everything on to an origin on this machine. */
  | { readonly kind: 'proxy'; readonly originPort: number; readonly buffering: NginxBuffering };
export type NginxBuffering = 'memory' | 'off' | 'default';

/** Never to disk but by default, which lets up to 1 GiB of each answer lie in a file. */
const buffering: Readonly<Record<NginxBuffering, string>> = {
  memory: 'proxy_max_temp_file_size 0; proxy_buffer_size 64k; proxy_buffers 16 64k; proxy_busy_buffers_size 128k;',
  off: 'proxy_buffering off; proxy_buffer_size 64k; proxy_buffers 16 64k; proxy_busy_buffers_size 128k;',
  default: '',
};

export async function startNginx(folder: string, pki: DevPki, core: number, role: NginxRole): Promise<MediaServer> {
  const place = join(folder, `nginx-${role.kind}-${role.kind === 'proxy' ? role.buffering : 'served'}`);
  mkdirSync(place, { recursive: true });
  const [port = 0] = await freePorts(1);
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map(name => `${name}_temp_path ${join(place, name)};`)
    .join(' ');
  const location =
    role.kind === 'files'
      ? `root ${role.folder};`
      : `proxy_pass https://origin; proxy_http_version 1.1; proxy_set_header Connection ''; proxy_set_header Host localhost;
      proxy_ssl_name localhost; proxy_ssl_server_name on; proxy_ssl_verify on; proxy_ssl_protocols TLSv1.3;
      proxy_ssl_trusted_certificate ${pki.caFile}; ${buffering[role.buffering]}`;
  const upstream =
    role.kind === 'files' ? '' : `upstream origin { server 127.0.0.1:${role.originPort}; keepalive 16; }`;
  const config = join(place, 'nginx.conf');
  writeFileSync(
    config,
    `${process.getuid?.() === 0 ? 'user root;' : ''}
daemon off; worker_processes 1; pid ${join(place, 'pid')}; error_log ${join(place, 'error.log')} error;
events { worker_connections 1024; }
http {
  access_log off; sendfile on; tcp_nodelay on; ${temporary}
  ssl_protocols TLSv1.3; ssl_certificate ${pki.certFile}; ssl_certificate_key ${pki.keyFile};
  ${upstream}
  server { listen 127.0.0.1:${port} ssl; location / { ${location} } }
}
`,
  );
  const child = startChild(core, 'nginx', ['-c', config, '-p', place], { stdio: ['ignore', 'ignore', 'inherit'] });
  await untilListening(port, () => child.exitCode === null);
  const [worker] = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'latin1').trim().split(' ');
  return { pid: Number(worker), url: `https://localhost:${port}`, stop: () => stopChild(child) };
}

export async function startMediaOrigin(folder: string, pki: DevPki, core: number): Promise<MediaServer> {
  const [port = 0] = await freePorts(1);
  const { certFile, keyFile } = pki;
  const job: MediaOriginJob = { folder: join(folder, `origin-${port}`), port, certFile, keyFile };
  const file = fileURLToPath(new URL('./media-origin-main.ts', import.meta.url));
  const child = fork(file, [JSON.stringify(job)], { execArgv: nodeArguments });
  pinToCore(child.pid!, core);
  await once(child, 'message');
  pinToCore(child.pid!, core);
  return { pid: child.pid!, url: `https://localhost:${port}/media`, stop: () => stopChild(child) };
}

/** The origin takes anybody. */
export const tusHeaders = { authorization: `Bearer ${'b'.repeat(43)}`, 'tus-resumable': '1.0.0' };

/** Puts a file into our origin; its URL. */
export async function storeFile(origin: MediaServer, caFile: string, sizeBytes: number): Promise<string> {
  return await runJob({ kind: 'store-file', url: origin.url, caFile, headers: tusHeaders, sizeBytes });
}

export type MediaGatekeeper = Omit<MediaServer, 'url'> & {
  /** Where a person fetches this file, as a grant says. */
  readonly href: (url: string, sizeBytes: number) => string;
};

/** One person of a provider whose files lie at `originUrl`. */
export async function startMediaGatekeeper(
  folder: string,
  pki: DevPki,
  originUrl: string,
  environment: Readonly<Record<string, string>> = {},
): Promise<MediaGatekeeper> {
  const data = join(folder, 'gatekeeper');
  mkdirSync(data, { recursive: true });
  const [xmpp = 0, xmpps = 0, websocket = 0, compact = 0, http = 0, admin = 0] = await freePorts(6);
  const config = devGatekeeperConfig({
    folder: data,
    pki,
    domain: 'citadel.localhost',
    ports: { xmpp, xmpps, websocket, compact, http, admin },
    providers: [
      {
        number: 1,
        name: 'skylark.localhost',
        issuer: 'https://localhost:1',
        mediaOrigins: [new URL(originUrl).origin],
      },
    ],
    unlimited: true,
  });
  const gatekeeper = forkGatekeeper(environment);
  await gatekeeper.start({ config, plaintextXmpp: false, logLevel: 'error' });
  const { device } = makeDevice(Date.now());
  const [person] = await gatekeeper.enlist([{ provider: 1, identifier: 'anna', device }], 1);
  if (person?.kind !== 'enlisted') throw new Error('nobody was enlisted');
  pinToCore(gatekeeper.pid, serverCore);
  const grants = createMediaGrants(openMediaGrantKey(data));
  const { interopId, deviceId } = person;
  return {
    pid: gatekeeper.pid,
    stop: gatekeeper.stop,
    href(url, sizeBytes) {
      const sealed = grants.seal({ interopId, deviceId, url, sizeBytes, expiresAtMs: Date.now() + 3_600_000 });
      return `https://localhost:${http}/media/${sealed}`;
    },
  };
}
