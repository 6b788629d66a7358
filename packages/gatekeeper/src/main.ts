// Starts a gatekeeper: configuration → storage → control → core → listeners; closes in reverse. A table of contents.
// Knows nothing of how any of them works.
import { randomInt } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeFolder } from '@drawbridge/identity/make-folder';
import { createEgress } from '@drawbridge/identity/egress';
import { platformCrypto, sodiumAbsence } from '@drawbridge/noise/platform-crypto';
import { compactCiphers, encodeCertificate } from '@drawbridge/stream/compact-login';
import type { CompactServerSettings } from '@drawbridge/stream/compact-server';
import { compactContext } from '@drawbridge/wire/compact-value';
import { element } from '@drawbridge/wire/element';
import { NS_CLIENT } from '@drawbridge/wire/namespaces';
import type { Bus } from './cluster/bus.ts';
import { type GatekeeperClock, openClock } from './clock/gatekeeper-clock.ts';
import type { Config } from './config-schema.ts';
import { type Control, type ControlLog, createControl, egressOptionsOf } from './control.ts';
import { type Core, openCore } from './core.ts';
import { type CoreLimits, coreLimits } from './core-limits.ts';
import type { Development } from './development.ts';
import { connectionRoom, moreFiles, readFileLimit } from './file-limit.ts';
import { openAdminToken } from './http/admin-token.ts';
import { addressKeys, clientAddress } from './http/client-address.ts';
import { listen, type Listening, type Ports } from './listen.ts';
import type { Tap } from './listeners/admission.ts';
import type { CompactOptions } from './listeners/compact.ts';
import { type CompactKeys, loadCompactKeys } from './listeners/compact-keys.ts';
import { openKeyLog } from './listeners/key-log.ts';
import { createStanzaCodec } from './mailbox/stanza-codec.ts';
import { drain } from './operations/drain.ts';
import { createBoundedLog } from './operations/bounded-log.ts';
import { reload, type ReloadResult } from './operations/reload.ts';
import { StartError } from './start-error.ts';
import { openStorage } from './storage/open-storage.ts';
import type { Stores } from './storage/stores.ts';
import { namesOf } from './tls/certificate.ts';
import { type LiveCertificate, openLiveCertificate } from './tls/live-certificate.ts';

/** How often the static keys of the compact transport are read again, and replaced when their time is over. */
const compactKeysEveryMs = 3_600_000;
/** A provider has one fetch of its keys under way: more than there can be providers, so that none waits for another's. */
const maxKeySetFetches = 8_192;

export type GatekeeperOptions = {
  readonly config: Config;
  readonly log: ControlLog;
  /** For networks on one machine; refused unless the configuration's mode is `development`. */
  readonly development?: Development;
};

export type Gatekeeper = {
  readonly ports: Ports;
  readonly control: Control;
  readonly core: Core;
  /** Resolves with the reason when it can't go on, such as a storage worker that ended: close it, and start again. */
  readonly failed: Promise<Error>;
  /** Takes another configuration without ending streams; see `reload`. Calls follow each other. */
  reload(next: Config): Promise<ReloadResult>;
  /** The stages before `close`, as configured (`drain`): streams are told to come again, spread over time. */
  drain(): Promise<void>;
  /** Ends streams, waits until everything accepted is on disk, closes ports and storage. */
  close(): Promise<void>;
};

/** Starts a gatekeeper. Rejects, with everything closed again, when a port, the data folder or the configuration is unfit. */
export async function startGatekeeper(options: GatekeeperOptions): Promise<Gatekeeper> {
  // Its own copy: a reload writes into it.
  const config = structuredClone(options.config);
  const boundedLog = createBoundedLog(options.log, config.log);
  const { log } = boundedLog;
  const development = options.development ?? {};
  if (config.mode !== 'development' && Object.values(development).some(Boolean)) {
    throw new StartError(
      'development-only',
      'plaintext ports and key logs need "mode": "development" in the configuration',
    );
  }
  const closers: (() => Promise<void> | void)[] = [() => boundedLog.close()];
  const closeAll = async (): Promise<void> => {
    for (const close of closers.splice(0).reverse()) await close();
  };
  try {
    const fileLimit = readFileLimit();
    const room = connectionRoom(config.limits, fileLimit);
    if (fileLimit !== undefined && room.filesMissing !== undefined) {
      const { connections } = room;
      const level = config.mode === 'production' ? 'warn' : 'info';
      log(level, 'file-limit-too-low', { fileLimit, connections, next: moreFiles(config.limits, fileLimit) });
    }
    makeFolder(config.dataFolder);
    const certificate = openCertificate(config, log);
    if (certificate !== undefined) {
      const watch = setInterval(() => void certificate.lookAgain(), (config.tls?.watchSeconds ?? 1) * 1_000);
      watch.unref();
      closers.push(() => clearInterval(watch));
    }
    const storage = await openStorage(config);
    closers.push(() => storage.close());
    const { stores } = storage;
    const monotonicMs = (): number => performance.now();
    const clock = await openClock({ store: stores.clock, nowMs: Date.now, monotonicMs, log });
    const egress = createEgress(egressOptionsOf(config));
    const keySetEgress = createEgress({ ...egressOptionsOf(config), limits: { maxConcurrent: maxKeySetFetches } });
    closers.push(() => {
      egress.close();
      keySetEgress.close();
    });

    let core: Core | undefined;
    const control = await createControl({
      config,
      stores,
      egress,
      keySetEgress,
      log,
      nowMs: Date.now,
      monotonicMs,
      clock,
      notifyDevice: (account, device, content) => {
        const to = `${account.interopId}@${config.domain}/${device.id}`;
        core?.notify(device, element('message', NS_CLIENT, { from: config.domain, to, type: 'headline' }, [content]));
      },
    });
    closers.push(() => control.close());
    const limits = coreLimits(config);
    const bus = config.bus === undefined ? undefined : await openBus(config, config.bus, log);
    closers.push(async () => await bus?.close());
    const running = await openGatekeeperCore(config, control, { stores, clock }, log, development.tap, limits, bus);
    core = running;
    closers.push(control.onEvent(event => running.onAccountEvent(event)));

    // Everything works without it; a login and a message on the compact transport then cost more.
    if (sodiumAbsence !== undefined) log('info', 'libsodium-not-used', { reason: sodiumAbsence });
    const compactKeysFile = join(config.dataFolder, 'compact-keys.json');
    let compactKeys = loadCompactKeys(compactKeysFile, config.domain, Date.now());
    let compactSettings = compactSettingsOf(config, compactKeys);
    const compact: CompactOptions = {
      settings: () => compactSettings,
      keyLog: development.keyLogFile === undefined ? undefined : openKeyLog(development.keyLogFile),
    };
    const readCompactKeys = (): void => {
      try {
        const before = compactKeys.signingJwk.x;
        compactKeys = loadCompactKeys(compactKeysFile, config.domain, Date.now());
        compactSettings = compactSettingsOf(config, compactKeys);
        if (compactKeys.signingJwk.x !== before) log('warn', 'signing-key-replaced', {});
      } catch {
        // What was loaded stays valid for weeks: time to mend the file.
        log('error', 'compact-keys-unreadable', {});
      }
    };
    const keyTimer = setInterval(readCompactKeys, compactKeysEveryMs);
    keyTimer.unref();
    closers.push(() => clearInterval(keyTimer));
    const adminToken = openAdminToken(config.dataFolder);
    const metricsToken = openAdminToken(config.dataFolder, 'metrics-token');
    let listening: Listening | undefined;
    // Sockets go last, so that sessions can say goodbye on them.
    closers.push(async () => await listening?.destroy());
    closers.push(() => {
      control.wakeUps.hold();
      control.outboundEvents.hold();
      return running.close();
    });
    listening = await listen({
      config,
      control,
      core: running,
      stores,
      databaseFile: storage.databaseFile,
      certificate,
      compact,
      compactKeys: () => compactKeys,
      adminToken,
      metricsToken,
      log,
      development,
    });
    closers.push(() => listening.stop());
    const inUse = { config, control, core: running, limits, listening, certificate, boundedLog };
    let reloading: Promise<unknown> = Promise.resolve();
    return {
      ports: listening.ports,
      control,
      core: running,
      failed: storage.died,
      reload: next => {
        const done = reloading.then(() => {
          readCompactKeys();
          return reload(inUse, next);
        });
        reloading = done.catch(() => undefined);
        return done;
      },
      drain: () =>
        drain({
          settings: config.drain,
          listening: inUse.listening,
          streams: () => [...running.sessions.all()],
          sleepMs: sleep,
          randomBelow: randomInt,
          log: (event, data) => log('info', event, data),
        }),
      close: closeAll,
    };
  } catch (error) {
    await closeAll();
    throw error;
  }
}

/** One process by itself needs no driver for it. */
async function openBus(config: Config, options: NonNullable<Config['bus']>, log: ControlLog): Promise<Bus> {
  const { busPrefix, openNatsBus } = await import('./cluster/nats-bus.ts');
  const next = 'messages between nodes take seconds until it is back';
  return await openNatsBus(options, busPrefix(config.domain), state => {
    if (state === 'lost' || state === 'behind') log('warn', `bus-${state}`, { next });
    else log('info', `bus-${state}`, {});
  });
}

function clusterOf(
  store: NonNullable<Stores['cluster']>,
  { audit }: Stores,
  { hear, registry }: Control,
  bus: Bus | undefined,
): NonNullable<Parameters<typeof openCore>[0]['cluster']> {
  // A provider that is gone, or whose keys lie here, has nothing to fetch.
  const keysRevoked = async (number: number): Promise<boolean> =>
    registry.find(number) === undefined ||
    registry.find(number)?.status === 'suspended' ||
    (await registry.refetchKeys(number, true));
  return { store, bus, audit, hear, providersChanged: registry.readAgain, keysRevoked };
}

/** Rejects with a sentence that names the file and what to do. */
function openCertificate(config: Config, log: ControlLog): LiveCertificate | undefined {
  if (config.tls === undefined) return undefined;
  const certificate = openLiveCertificate({
    files: config.tls,
    names: namesOf(config),
    nowMs: Date.now,
    onEvent: event => {
      if (event.kind === 'replaced') log('info', 'certificate-replaced', { daysLeft: event.daysLeft });
      else if (event.kind === 'warning') log('warn', 'certificate-warning', { next: event.message });
      else log('error', 'certificate-refused', { code: event.code, next: event.message });
    },
  });
  if (typeof certificate === 'string') throw new StartError('certificate-unusable', certificate);
  return certificate;
}

async function openGatekeeperCore(
  config: Config,
  control: Control,
  { stores, clock }: { readonly stores: Stores; readonly clock: GatekeeperClock },
  log: ControlLog,
  tap: Tap | undefined,
  limits: CoreLimits,
  bus: Bus | undefined,
): Promise<Core> {
  return await openCore({
    domain: config.domain,
    accounts: control.accounts,
    mailboxStore: stores.mailboxes,
    cluster: stores.cluster === undefined ? undefined : clusterOf(stores.cluster, stores, control, bus),
    codec: createStanzaCodec(config.domain),
    iqHandlers: control.iqHandlers,
    stamps: control.stamps,
    mayReach: control.mayReach,
    contacts: control.contacts,
    suiteAdmitted: control.registry.suiteAdmitted,
    keyStands: control.registry.keyStands,
    wakeUp: account => control.wakeUps.requestWakeUp(account),
    authenticate: (token, transport, deviceKeyThumbprint) =>
      control.login.authenticate(token, {
        transport,
        nowMs: Date.now(),
        ...(deviceKeyThumbprint === undefined ? {} : { deviceKeyThumbprint }),
      }),
    keyOf: addressKeys(config.relays),
    addressOf: clientAddress(config.trustedProxies, config.relays),
    nowMs: Date.now,
    expiry: clock,
    tap,
    log: (event, data, level = 'info') => log(level, event, data ?? {}),
    ...limits,
  });
}

function compactSettingsOf(config: Config, keys: CompactKeys): CompactServerSettings {
  return {
    domain: config.domain,
    suites: compactCiphers.map(cipher => platformCrypto.suite(cipher, 'SHA256')),
    staticKeyPairs: keys.staticKeyPairs,
    certificate: encodeCertificate({ ...keys.certificate, ciphers: compactCiphers }, compactContext(config.domain)),
  };
}
