// Prosody as Debian ships it, epoll, rate limits off; the module list is Debian's (`default`) or the fewest that pass a
// message on (`minimal`). Accounts are written as its file store keeps them.
import { pbkdf2Sync, createHash, createHmac } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startChild, stopChild } from '../children.ts';
import { domain, password } from '../load/target.ts';
import { serverCore } from '../machine.ts';
import { writeCertificate } from './certificate.ts';
import type { PeerOptions } from './ejabberd.ts';
import { freePorts, type RunningServer, untilListening } from './server.ts';

/** Debian 12's list without `limits`. `smacks` is added where stream management is measured. */
const defaultModules =
  'disco roster saslauth tls blocklist bookmarks carbons dialback pep private vcard4 vcard_legacy csi_simple invites ' +
  'invites_adhoc invites_register ping register time uptime version admin_adhoc posix';
const minimalModules = 'saslauth posix';

/** Prosody 0.12's own count. */
const iterations = 10_000;

export async function startProsody(options: PeerOptions): Promise<RunningServer> {
  const { variant, managed, offline, sasl } = options;
  const folder = join(options.folder, `prosody-${variant}`);
  const data = join(folder, 'data');
  mkdirSync(join(data, domain, 'accounts'), { recursive: true });
  const files = writeCertificate(folder);
  const [port = 0, tlsPort = 0] = await freePorts(2);
  const modules = (variant === 'default' ? defaultModules : minimalModules).split(' ');
  if (managed) modules.push('smacks');
  const disabled = variant === 'minimal' ? ['s2s', ...(offline ? [] : ['offline'])] : ['s2s'];
  const list = (names: readonly string[]): string => `{ ${names.map(name => `"${name}"`).join('; ')} }`;
  const config = join(folder, 'prosody.cfg.lua');
  writeFileSync(
    config,
    `run_as_root = true
daemonize = false
pidfile = "${folder}/prosody.pid"
data_path = "${data}"
network_backend = "epoll"
modules_enabled = ${list(modules)}
modules_disabled = ${list(disabled)}
authentication = "${sasl === 'scram' ? 'internal_hashed' : 'internal_plain'}"
c2s_require_encryption = false
s2s_require_encryption = false
allow_unencrypted_plain_auth = true
c2s_ports = { ${port} }
c2s_direct_tls_ports = { ${tlsPort} }
interfaces = { "127.0.0.1" }
ssl = { certificate = "${files.cert}"; key = "${files.key}" }
c2s_direct_tls_ssl = { certificate = "${files.cert}"; key = "${files.key}" }
http_ports = { }
https_ports = { }
log = { error = "${folder}/prosody.err" }
VirtualHost "${domain}"
`,
  );
  writeAccounts(join(data, domain, 'accounts'), options.accounts, sasl);
  const child = startChild(serverCore, 'prosody', ['--config', config, '-F'], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const alive = (): boolean => child.exitCode === null;
  await untilListening(port, alive);
  await untilListening(tlsPort, alive);
  const name = `prosody ${variant}`;
  const pid = child.pid!;
  return {
    name,
    pid,
    target(endpoint) {
      if (endpoint === 'compact') return undefined;
      const tls = endpoint === 'xml-tls';
      const accounts = { kind: 'named', sasl } as const;
      return { name, pid, port: tls ? tlsPort : port, carrier: 'xml', tls, caFile: files.ca, accounts };
    },
    stop: () => stopChild(child),
  };
}

/** One salt for all: the server can't tell, and stretching the password once is enough. */
function writeAccounts(folder: string, count: number, sasl: 'plain' | 'scram'): void {
  const salt = 'c0ffee00-c0ff-ee00-c0ff-ee00c0ffee00';
  const salted = pbkdf2Sync(password, salt, iterations, 20, 'sha1');
  const hmac = (text: string): Buffer => createHmac('sha1', salted).update(text).digest();
  const storedKey = createHash('sha1').update(hmac('Client Key')).digest('hex');
  const hashed =
    `["salt"] = "${salt}"; ["iteration_count"] = ${iterations}; ` +
    `["stored_key"] = "${storedKey}"; ["server_key"] = "${hmac('Server Key').toString('hex')}";`;
  const text = `return { ${sasl === 'plain' ? `["password"] = "${password}";` : hashed} };\n`;
  for (let index = 0; index < count; index++) writeFileSync(join(folder, `u${index}.dat`), text);
}
