// `drawbridge gatekeeper check`: looks at everything a start needs and a day in production: certificate, permissions, ports,
// issuers. Starts nothing and changes nothing. Knows nothing of how a gatekeeper works.
import { accessSync, constants, readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { busFault } from '@drawbridge/gatekeeper/bus-fault';
import type { Config } from '@drawbridge/gatekeeper/config';
import { egressOptionsOf } from '@drawbridge/gatekeeper/control';
import { dataFolderFaults } from '@drawbridge/gatekeeper/data-folder';
import { databaseFault } from '@drawbridge/gatekeeper/database-fault';
import { connectionRoom, moreFiles, readFileLimit } from '@drawbridge/gatekeeper/file-limit';
import { daysUntil, namesOf, readCertificate } from '@drawbridge/gatekeeper/tls/certificate';
import { createEgress } from '@drawbridge/identity/egress';
import { createKeySet } from '@drawbridge/identity/key-set';
import { portFault } from './dev-config.ts';
import { folderIsLocked } from './folder-lock.ts';
import { clockFault } from './gatekeeper-clock.ts';

/** `fault`: it can't start, or clients would refuse it. `warning`: it starts, and somebody should look. */
export type Finding = { readonly kind: 'good' | 'warning' | 'fault'; readonly message: string };

const good = (message: string): Finding => ({ kind: 'good', message });
const warning = (message: string): Finding => ({ kind: 'warning', message });
const fault = (message: string): Finding => ({ kind: 'fault', message });

/** `offline`: issuers are not asked. Findings in the order of the configuration. Never rejects. */
export async function findings(config: Config, options: { readonly offline: boolean }): Promise<readonly Finding[]> {
  const running = folderIsLocked(config.dataFolder);
  return [
    ...checkCertificate(config),
    ...checkDataFolder(config.dataFolder),
    ...(await checkDataFiles(config)),
    ...(await checkClock(config)),
    ...(await checkPorts(config, running)),
    ...(options.offline ? [] : await checkIssuers(config)),
    ...checkOpenFiles(config),
  ];
}

function checkCertificate(config: Config): Finding[] {
  if (config.tls === undefined) return [];
  const result = readCertificate(config.tls, namesOf(config), Date.now());
  if (result.kind === 'refused') return [fault(result.message)];
  const { expiresAtMs, warnings } = result.certificate;
  const days = daysUntil(expiresAtMs, Date.now());
  return [good(`certificate ${config.tls.certFile}: key fits, ${days} days left`), ...warnings.map(warning)];
}

function checkDataFolder(folder: string): Finding[] {
  let mode: number;
  try {
    const found = statSync(folder);
    if (!found.isDirectory()) return [fault(`data folder ${folder} is a file: name a folder`)];
    mode = found.mode;
    accessSync(folder, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOTDIR') return [fault(`a part of the path of data folder ${folder} is a file: mend the path`)];
    if (code !== 'ENOENT') return [fault(`data folder ${folder} can't be used (${code}): change its owner or mode`)];
    return [nearestWritable(folder)];
  }
  if ((mode & 0o077) !== 0) {
    return [warning(`data folder ${folder} can be entered by others: set its mode to 0700`), ...checkFiles(folder)];
  }
  return [good(`data folder ${folder}`), ...checkFiles(folder)];
}

async function checkDataFiles(config: Config): Promise<Finding[]> {
  const faults = [await databaseFault(config), await busFault(config), ...dataFolderFaults(config)];
  return faults.filter(each => each !== undefined).map(fault);
}

async function checkClock(config: Config): Promise<Finding[]> {
  const found = await clockFault(config);
  return found === undefined ? [] : [found];
}

/** A folder that is not there is made at the start, if it can be. */
function nearestWritable(folder: string): Finding {
  for (let parent = dirname(folder); ; parent = dirname(parent)) {
    try {
      accessSync(parent, constants.W_OK | constants.X_OK);
      return good(`data folder ${folder} will be made`);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT' && parent !== dirname(parent)) continue;
      return fault(`data folder ${folder} can't be made in ${parent}: change its owner or mode, or name another`);
    }
  }
}

function checkFiles(folder: string): Finding[] {
  return readdirSync(folder, { withFileTypes: true })
    .filter(entry => entry.isFile() && (statSync(join(folder, entry.name)).mode & 0o077) !== 0)
    .map(entry => warning(`${join(folder, entry.name)} can be read by others: set its mode to 0600`));
}

async function checkPorts(config: Config, running: boolean): Promise<Finding[]> {
  const found: Finding[] = [];
  const seen = new Set<string>();
  for (const [name, { host, port }] of Object.entries(config.listeners)) {
    const place = `${host}:${port}`;
    if (port === 0 || seen.has(place)) continue;
    seen.add(place);
    const code = await portFault(port, host);
    if (code === undefined) found.push(good(`port ${place} (listeners.${name}) is free`));
    else if (code === 'EADDRINUSE' && running)
      found.push(good(`port ${place} (listeners.${name}) is in use by the one that runs`));
    else found.push(fault(`port ${place} (listeners.${name}) ${portWords[code] ?? `can't be had (${code})`}`));
  }
  return found;
}

const portWords: Readonly<Record<string, string>> = {
  EADDRINUSE: 'is in use: stop what uses it or choose another port',
  EACCES: 'needs rights this user lacks: give CAP_NET_BIND_SERVICE, or choose a port above 1023',
  EADDRNOTAVAIL: 'is an address that this machine does not have: name another host',
  ENOTFOUND: 'is a name that is not found: name an address',
};

/** A provider that can't be reached keeps nobody else out: a warning. */
async function checkIssuers(config: Config): Promise<Finding[]> {
  const egress = createEgress(egressOptionsOf(config));
  const own = config.ownUsers.kind === 'issuer' ? [{ ...config.ownUsers, status: 'live' as const }] : [];
  const issuers = [...own, ...config.providers].filter(({ status }) => status === 'live');
  try {
    return await Promise.all(
      issuers.map(async ({ issuer, keySetOrigins }): Promise<Finding> => {
        let code = 'timed-out';
        const set = createKeySet({
          issuer,
          keySetOrigins,
          fetch: egress.fetch,
          nowMs: () => performance.now(),
          onEvent: event => {
            if (event.kind === 'failed') ({ code } = event);
          },
        });
        await set.refresh();
        if (set.fetchedAtMs() !== undefined) return good(`issuer ${issuer}: key set fetched`);
        return warning(`issuer ${issuer}: no key set (${code}); its people can't log in until it can be fetched`);
      }),
    );
  } finally {
    egress.close();
  }
}

function checkOpenFiles(config: Config): Finding[] {
  const fileLimit = readFileLimit();
  if (fileLimit === undefined || connectionRoom(config.limits, fileLimit).filesMissing === undefined) return [];
  return [warning(`started from here, ${moreFiles(config.limits, fileLimit)}`)];
}
