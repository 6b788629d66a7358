// ejabberd as Debian ships it, shapers off; the module list is Debian's (`default`) or the fewest that pass a message on
// (`minimal`). Runs as one Erlang node without distribution: nothing listens but its XMPP ports on loopback.
// Accounts are registered in-band by a first start on the same folder.
import { mkdirSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { startChild, stopChild } from '../children.ts';
import { StanzaScanner } from '../load/stanza-scanner.ts';
import { domain, password } from '../load/target.ts';
import { serverCore } from '../machine.ts';
import { writeCertificate } from './certificate.ts';
import { freePorts, type RunningServer, untilListening } from './server.ts';

export type PeerOptions = {
  readonly folder: string;
  readonly variant: 'default' | 'minimal';
  readonly accounts: number;
  /** Stream management. */
  readonly managed: boolean;
  /** Offline storage, which the minimal variant leaves out otherwise. */
  readonly offline: boolean;
  /** How passwords are stored, and how clients log in. */
  readonly sasl: 'plain' | 'scram';
};

/** Debian 12's list without what listens on ports of its own, and without `mod_fail2ban`. */
const defaultModules =
  'mod_adhoc mod_admin_extra mod_avatar mod_blocking mod_caps mod_carboncopy mod_client_state mod_configure mod_disco ' +
  'mod_last mod_muc mod_muc_admin mod_ping mod_pres_counter mod_privacy mod_private mod_pubsub mod_push ' +
  'mod_push_keepalive mod_roster mod_shared_roster mod_sic mod_vcard mod_vcard_xupdate mod_version mod_offline';

export async function startEjabberd(options: PeerOptions): Promise<RunningServer> {
  const { variant, managed, offline } = options;
  const folder = join(options.folder, `ejabberd-${variant}`);
  mkdirSync(join(folder, 'spool'), { recursive: true });
  const fewest = offline ? ['mod_offline'] : [];
  const modules = variant === 'default' ? defaultModules.split(' ') : fewest;
  if (managed) modules.push('mod_stream_mgmt');
  const registering = await start(options, folder, ['mod_register']);
  try {
    await register(registering.port, options.accounts);
  } finally {
    await registering.stop();
  }
  const running = await start(options, folder, modules);
  const name = `ejabberd ${variant}`;
  const accounts = { kind: 'named', sasl: options.sasl } as const;
  return {
    name,
    pid: running.pid,
    target(endpoint) {
      if (endpoint === 'compact') return undefined;
      const tls = endpoint === 'xml-tls';
      const port = tls ? running.tlsPort : running.port;
      return { name, pid: running.pid, port, carrier: 'xml', tls, caFile: running.ca, accounts };
    },
    stop: running.stop,
  };
}

async function start(
  options: PeerOptions,
  folder: string,
  modules: readonly string[],
): Promise<{ pid: number; port: number; tlsPort: number; ca: string; stop: () => Promise<void> }> {
  const [port = 0, tlsPort = 0] = await freePorts(2);
  const files = writeCertificate(folder);
  const config = join(folder, 'ejabberd.yml');
  const settings: Readonly<Record<string, string>> = {
    mod_register: '\n    ip_access: all\n    access: all\n    password_strength: 0',
    mod_offline: '\n    access_max_user_messages: offline_limit',
  };
  const lines = modules.map(name => `  ${name}: ${settings[name] ?? '{}'}`);
  writeFileSync(
    config,
    `hosts:
  - ${domain}
loglevel: error
certfiles:
  - "${files.both}"
listen:
  - port: ${port}
    ip: "127.0.0.1"
    module: ejabberd_c2s
    max_stanza_size: 262144
    shaper: none
  - port: ${tlsPort}
    ip: "127.0.0.1"
    module: ejabberd_c2s
    max_stanza_size: 262144
    shaper: none
    tls: true
auth_password_format: ${options.sasl === 'scram' ? 'scram' : 'plain'}
registration_timeout: infinity
max_fsm_queue: 100000
shaper_rules:
  offline_limit: infinity
modules:${lines.length === 0 ? ' {}' : `\n${lines.join('\n')}`}
`,
  );
  const args = ['+K', 'true', '+P', '250000', '+Q', '65536', '-noinput', '-mnesia', 'dir', `"${folder}/spool"`];
  const child = startChild(serverCore, 'erl', [...args, '-s', 'ejabberd'], {
    stdio: ['ignore', 'ignore', 'inherit'],
    cwd: folder,
    env: {
      ...process.env,
      ERL_LIBS: '/usr/lib/x86_64-linux-gnu',
      EJABBERD_CONFIG_PATH: config,
      EJABBERD_LOG_PATH: join(folder, 'ejabberd.log'),
      ERL_CRASH_DUMP: join(folder, 'erl_crash.dump'),
      ERL_MAX_ETS_TABLES: '1400',
      HOME: folder,
    },
  });
  const alive = (): boolean => child.exitCode === null;
  await untilListening(port, alive);
  await untilListening(tlsPort, alive);
  return { pid: child.pid!, port, tlsPort, ca: files.ca, stop: () => stopChild(child) };
}

/** Registers u0 … over one stream each, a few at a time (XEP-0077). Accounts that are there already stay. */
async function register(port: number, count: number): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    for (let index = next++; index < count; index = next++) await registerOne(port, `u${index}`);
  };
  await Promise.all(Array.from({ length: 16 }, lane));
}

function registerOne(port: number, name: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, noDelay: true }, () => {
      socket.write(
        `<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='${domain}' version='1.0'>` +
          `<iq type='set' id='1'><query xmlns='jabber:iq:register'><username>${name}</username><password>${password}</password></query></iq>`,
      );
    });
    const scanner = new StanzaScanner({
      header: () => {},
      ended: () => {},
      stanza: (bytes, start, _, end) => {
        const text = bytes.toString('latin1', start, end);
        if (!text.startsWith('<iq')) return;
        socket.destroy();
        if (text.includes('result') || text.includes('conflict')) resolve();
        else reject(new Error(`ejabberd refuses to register ${name}: ${text}`));
      },
    });
    socket.on('data', (chunk: Buffer) => scanner.push(chunk));
    socket.on('error', reject);
    socket.setTimeout(20_000, () => reject(new Error('ejabberd does not answer a registration')));
  });
}
