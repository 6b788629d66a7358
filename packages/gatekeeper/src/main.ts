// Starts a gatekeeper: configuration → storage → control → core → listeners; closes in reverse. A table of contents.
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createEgress } from '@drawbridge/identity/egress';
import { platformCrypto, sodiumAbsence } from '@drawbridge/noise/platform-crypto';
import { compactCiphers, encodeCertificate } from '@drawbridge/stream/compact-login';
import type { CompactServerSettings } from '@drawbridge/stream/compact-server';
import { compactContext } from '@drawbridge/wire/compact-value';
import { element } from '@drawbridge/wire/element';
import { NS_CLIENT } from '@drawbridge/wire/namespaces';
import type { Config } from './config-schema.ts';
import { type Control, type ControlLog, createControl, egressOptionsOf } from './control.ts';
import { type Core, openCore } from './core.ts';
import { connectionRoom, moreFiles, readFileLimit } from './file-limit.ts';
import { openAdminToken } from './http/admin.ts';
import { clientAddress } from './http/client-address.ts';
import { listen, type Listening, type Ports } from './listen.ts';
import { defaultListenerLimits, type Tap } from './listeners/admission.ts';
import type { CompactOptions } from './listeners/compact.ts';
import { type CompactKeys, loadCompactKeys } from './listeners/compact-keys.ts';
import { openKeyLog } from './listeners/key-log.ts';
import type { TlsMaterial } from './listeners/tcp.ts';
import { defaultMailboxLimits } from './mailbox/mailbox-limits.ts';
import { createStanzaCodec } from './mailbox/stanza-codec.ts';
import { defaultSessionLimits } from './routing/device-session.ts';
import { type ShaperLimits, unlimitedShaper } from './routing/stream-shaper.ts';
import { sqliteStores } from './storage/sqlite/sqlite-stores.ts';
import { openSqliteStore } from './storage/sqlite/store.ts';
import type { Stores } from './storage/stores.ts';

const oneDayMs = 86_400_000;
const mebibyte = 1_048_576;
/** How often the static keys of the compact transport are read again, and replaced when their time is over. */
const compactKeysEveryMs = 3_600_000;

export type GatekeeperOptions = {
  readonly config: Config;
  readonly log: ControlLog;
  /** For networks on one machine; refused unless the configuration's mode is `development`. */
  readonly development?: Development;
};

export type Development = {
  /** HTTP and WebSocket ports also speak without TLS, told apart by the first byte. */
  readonly alsoPlain?: boolean;
  /** The `xmpp` port speaks without TLS, for measurements. */
  readonly plaintextXmpp?: boolean;
  /** Where the keys of compact sessions are written for `drawbridge inspect`. */
  readonly keyLogFile?: string;
  /** Shown every byte that clients and providers send, after TLS and Noise: for those who check what a gatekeeper can see. */
  readonly tap?: Tap;
};

export type Gatekeeper = {
  readonly ports: Ports;
  readonly control: Control;
  readonly core: Core;
  /** Resolves with the reason when it can't go on, such as a storage worker that ended: close it, and start again. */
  readonly failed: Promise<Error>;
  /** Ends streams, waits until everything accepted is on disk, closes ports and storage. */
  close(): Promise<void>;
};

/** Starts a gatekeeper. Rejects, with everything closed again, when a port, the data folder or the configuration is unfit. */
export async function startGatekeeper(options: GatekeeperOptions): Promise<Gatekeeper> {
  const { config, log } = options;
  const development = options.development ?? {};
  if (config.mode !== 'development' && Object.values(development).some(Boolean)) {
    throw new Error('plaintext ports and key logs need "mode": "development" in the configuration');
  }
  const closers: (() => Promise<void> | void)[] = [];
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
    mkdirSync(config.dataFolder, { recursive: true, mode: 0o700 });
    const tls = readTls(config);
    const store = await openSqliteStore(join(config.dataFolder, 'gatekeeper.sqlite'));
    closers.push(() => store.close());
    const stores = sqliteStores(store);
    const egress = createEgress(egressOptionsOf(config));
    closers.push(() => egress.close());

    let core: Core | undefined;
    const control = await createControl({
      config,
      stores,
      egress,
      log,
      nowMs: Date.now,
      notifyDevice: (account, device, content) => {
        const session = core?.sessions.ofDevice(device);
        const to = `${account.interopId}@${config.domain}/${device.id}`;
        session?.send(element('message', NS_CLIENT, { from: config.domain, to, type: 'headline' }, [content]));
      },
    });
    closers.push(() => control.close());
    const running = await openGatekeeperCore(config, control, stores, log, development.tap, room.connections);
    core = running;
    closers.push(control.onEvent(event => running.onAccountEvent(event)));

    // Everything works without it; a login and a message on the compact transport then cost more.
    if (sodiumAbsence !== undefined) log('info', 'libsodium-not-used', { reason: sodiumAbsence });
    const compactKeysFile = join(config.dataFolder, 'compact-keys.json');
    const compactKeys = loadCompactKeys(compactKeysFile, config.domain, Date.now());
    let compactSettings = compactSettingsOf(config, compactKeys);
    const compact: CompactOptions = {
      settings: () => compactSettings,
      keyLog: development.keyLogFile === undefined ? undefined : openKeyLog(development.keyLogFile),
    };
    const keyTimer = setInterval(() => {
      try {
        compactSettings = compactSettingsOf(config, loadCompactKeys(compactKeysFile, config.domain, Date.now()));
      } catch {
        // What was loaded stays valid for weeks: time to mend the file.
        log('error', 'compact-keys-unreadable', {});
      }
    }, compactKeysEveryMs);
    keyTimer.unref();
    closers.push(() => clearInterval(keyTimer));
    const adminToken = openAdminToken(config.dataFolder);
    let listening: Listening | undefined;
    // Sockets go last, so that sessions can say goodbye on them.
    closers.push(async () => await listening?.destroy());
    closers.push(() => {
      control.wakeUps.hold();
      return running.close();
    });
    listening = await listen({
      config,
      control,
      core: running,
      stores,
      tls,
      compact,
      compactKeys,
      adminToken,
      log,
      development,
    });
    closers.push(() => listening.stop());
    return { ports: listening.ports, control, core: running, failed: store.died, close: closeAll };
  } catch (error) {
    await closeAll();
    throw error;
  }
}

function readTls(config: Config): TlsMaterial | undefined {
  if (config.tls === undefined) return undefined;
  return { cert: readFileSync(config.tls.certFile), key: readFileSync(config.tls.keyFile) };
}

async function openGatekeeperCore(
  config: Config,
  control: Control,
  stores: Stores,
  log: ControlLog,
  tap: Tap | undefined,
  maxConnections: number,
): Promise<Core> {
  const { limits, budgets } = config;
  return await openCore({
    domain: config.domain,
    accounts: control.accounts,
    mailboxStore: stores.mailboxes,
    codec: createStanzaCodec(config.domain),
    iqHandlers: control.iqHandlers,
    mayReach: control.mayReach,
    suiteAdmitted: control.registry.suiteAdmitted,
    keyStands: control.registry.keyStands,
    wakeUp: account => control.wakeUps.requestWakeUp(account),
    authenticate: (token, transport, deviceKeyThumbprint) =>
      control.login.authenticate(token, {
        transport,
        nowMs: Date.now(),
        ...(deviceKeyThumbprint === undefined ? {} : { deviceKeyThumbprint }),
      }),
    addressOf: clientAddress(config.trustedProxies),
    nowMs: Date.now,
    tap,
    log: (event, data, level = 'info') => log(level, event, data ?? {}),
    mailboxLimits: {
      ...defaultMailboxLimits,
      maxEntries: limits.mailboxEntries,
      maxBytes: limits.mailboxBytes,
      maxEntriesPerSender: budgets.unlimited ? limits.mailboxEntries : limits.mailboxEntriesPerSender,
      maxBytesPerSender: budgets.unlimited ? limits.mailboxBytes : limits.mailboxBytesPerSender,
      ttlMs: limits.mailboxDays * oneDayMs,
    },
    sessionLimits: budgets.unlimited
      ? { ...defaultSessionLimits, shaper: unlimitedShaper }
      : { ...defaultSessionLimits, shaper: shaperOf(limits) },
    maxHeldBytes: limits.unacknowledgedMebibytes * mebibyte,
    listenerLimits: {
      ...defaultListenerLimits,
      maxUnauthenticatedPerAddress: limits.connectionsPerAddress,
      maxUnauthenticatedPerSite: limits.connectionsPerSite,
      maxUnauthenticated: limits.connectionsBeforeLogin,
      maxConnections,
    },
  });
}

function shaperOf(limits: Config['limits']): ShaperLimits {
  const { stanzaBurst, stanzasPerSecond, streamMebibyteBurst, streamKibibytesPerSecond } = limits;
  return {
    stanzaBurst,
    stanzasPerSecond,
    byteBurst: streamMebibyteBurst * mebibyte,
    bytesPerSecond: streamKibibytesPerSecond * 1_024,
  };
}

function compactSettingsOf(config: Config, keys: CompactKeys): CompactServerSettings {
  return {
    domain: config.domain,
    suites: compactCiphers.map(cipher => platformCrypto.suite(cipher, 'SHA256')),
    staticKeyPairs: keys.staticKeyPairs,
    certificate: encodeCertificate({ ...keys.certificate, ciphers: compactCiphers }, compactContext(config.domain)),
  };
}
