// A control side over a real store in a temporary folder, with providers whose keys are at hand: for tests.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { randomBytes } from 'node:crypto';
import type { ExpiryClock } from '@drawbridge/identity/believed-clock';
import type { Egress, EgressFetch } from '@drawbridge/identity/egress';
import { issueOwnershipProof } from '@drawbridge/identity/issue-ownership-proof';
import { generateSigningKey, publicJwk, type SigningKey } from '@drawbridge/identity/jwk';
import type { After } from '@drawbridge/identity/timers';
import type { Element } from '@drawbridge/wire/element';
import { type Config, parseConfig } from '../config.ts';
import { type Control, createControl } from '../control.ts';
import type { Account, AccountEvent, Device } from '../enlistment/account.ts';
import { type SampleDevice, sampleDevice, type SampleKeys, type SampleIdentity } from './sample-device.ts';
import { parseDevice } from '../keys/device-keys.ts';
import { sqliteStores } from '../storage/sqlite/sqlite-stores.ts';
import { openSqliteStore, type SqliteStore } from '../storage/sqlite/store.ts';
import type { Stores } from '../storage/stores.ts';

export const gatekeeperIssuer = 'https://citadel.example';
export const domain = 'citadel.example';

export type Posted = { readonly url: string; readonly body: string };

/** The outside world: answers for providers' documents, and what was posted to them. */
export type FakeWorld = {
  readonly egress: Egress;
  readonly posted: Posted[];
  /** Status of the answer to a post, or `down`; or what it is for a token. */
  wakeUpAnswer: number | 'down' | ((token: string) => number);
  /** What signs proofs. */
  readonly keys: Map<string, SigningKey>;
  /** What an issuer publishes, when it is not just that key; empty: no answer. */
  readonly published: Map<string, readonly SigningKey[]>;
  /** Where an issuer says that its key set lies, when that is not `/jwks`; there the set of its proofs' key is. */
  readonly movedTo: Map<string, string>;
};

export function fakeWorld(issuers: readonly string[]): FakeWorld {
  const keys = new Map(issuers.map(issuer => [issuer, generateSigningKey('ES256')]));
  const posted: Posted[] = [];
  const json = (value: unknown) =>
    ({ kind: 'response', status: 200, headers: {}, body: Buffer.from(JSON.stringify(value)) }) as const;
  const fetch: EgressFetch = async (url, request) => {
    if (request?.method === 'POST') {
      if (world.wakeUpAnswer === 'down') return { kind: 'failed', code: 'connect-failed' };
      const body = String(request.body);
      posted.push({ url, body });
      const { wakeUpAnswer: answer } = world;
      const status = typeof answer === 'function' ? answer(body) : answer;
      return { kind: 'response', status, headers: {}, body: new Uint8Array(0) };
    }
    for (const [issuer, key] of keys) {
      if (url === `${issuer}/.well-known/openid-configuration`) {
        return json({ issuer, jwks_uri: `${issuer}${world.movedTo.get(issuer) ?? '/jwks'}` });
      }
      const moved = world.movedTo.get(issuer);
      if (moved !== undefined && url === `${issuer}${moved}`) return json({ keys: [publicJwk(key)] });
      if (url === `${issuer}/jwks`) {
        const listed = world.published.get(issuer) ?? [key];
        return listed.length === 0
          ? { kind: 'failed', code: 'connect-failed' }
          : json({ keys: listed.map(each => publicJwk(each)) });
      }
    }
    return { kind: 'failed', code: 'name-not-found' };
  };
  const egress: Egress = {
    fetch,
    open: async () => ({ kind: 'failed', code: 'url-refused' }),
    close: () => {},
  };
  const world: FakeWorld = { egress, posted, wakeUpAnswer: 202, keys, published: new Map(), movedTo: new Map() };
  return world;
}

export const issuers = {
  own: 'https://own.example',
  skylark: 'https://skylark.example',
  heron: 'https://heron.example',
};

export type FixtureOptions = {
  readonly config?: Record<string, unknown>;
  readonly folder?: string;
  readonly world?: FakeWorld;
  /** By which what is kept grows old, of the fixture's clocks; the wall clock alone when left out. */
  readonly expiry?: (wallMs: () => number, monotonicMs: () => number) => ExpiryClock;
  /** The system's timers when left out. */
  readonly after?: After;
};

export type Fixture = {
  readonly config: Config;
  readonly control: Control;
  /** The embedded store, for looks behind the ports. */
  readonly store: SqliteStore;
  readonly stores: Stores;
  readonly world: FakeWorld;
  readonly folder: string;
  /** `setBackMs`: how far the wall clock was set back; the other clock goes on. */
  readonly clock: { nowMs: number; setBackMs: number };
  readonly events: AccountEvent[];
  readonly notices: { account: Account; device: Device; content: Element }[];
  readonly logLines: string[];
  readonly proof: (issuer: string, subject: string, jkt: string, more?: ProofOptions) => Promise<string>;
  /** Enlists a person with one device, without HTTP. */
  readonly enlist: (
    provider: number,
    identifier: string,
    keys?: SampleKeys & { readonly identity?: SampleIdentity },
  ) => Promise<{ account: Account; device: Device; sample: SampleDevice }>;
  /** Closes the control side and the store and opens them again over the same folder. */
  readonly restart: () => Promise<Fixture>;
  /** Closes both; the folder stays. */
  readonly stop: () => Promise<void>;
  /** Closes both and removes the folder. */
  readonly close: () => Promise<void>;
};

export type ProofOptions = {
  readonly lifetimeSeconds?: number;
  readonly audience?: string;
  readonly jti?: string;
  readonly key?: SigningKey;
};

export async function openFixture(options: FixtureOptions = {}): Promise<Fixture> {
  const folder = options.folder ?? mkdtempSync(join(tmpdir(), 'drawbridge-control-'));
  const world = options.world ?? fakeWorld(Object.values(issuers));
  const parsed = parseConfig(
    {
      mode: 'development',
      domain,
      issuer: gatekeeperIssuer,
      dataFolder: folder,
      listeners: { http: { port: 0 }, admin: { port: 0 } },
      ownUsers: { kind: 'issuer', issuer: issuers.own, wakeUpUrl: `${issuers.own}/wake` },
      providers: [
        { number: 1, name: 'skylark.example', issuer: issuers.skylark, wakeUpUrl: `${issuers.skylark}/wake` },
        { number: 2, name: 'heron.example', issuer: issuers.heron },
      ],
      // Requests are tested where they are asked for; elsewhere people write at once.
      policy: { requests: 'none' },
      ...options.config,
    },
    folder,
  );
  if (parsed.kind === 'refused') throw new Error(JSON.stringify(parsed.errors));
  const { config } = parsed;
  const store = await openSqliteStore(join(folder, 'gatekeeper.sqlite'));
  const stores = sqliteStores(store);
  const clock = { nowMs: 1_790_000_000_000, setBackMs: 0 };
  const notices: Fixture['notices'] = [];
  const logLines: string[] = [];
  const events: AccountEvent[] = [];
  const nowMs = (): number => clock.nowMs - clock.setBackMs;
  const monotonicMs = (): number => clock.nowMs - 1_789_000_000_000;
  const expiry = options.expiry?.(nowMs, monotonicMs);
  const control = await createControl({
    config,
    ...(expiry && {
      clock: { tellMs: nowMs, ...expiry, state: () => ({ kind: 'believed' }), note: async () => undefined },
    }),
    stores,
    egress: world.egress,
    keySetEgress: world.egress,
    nowMs,
    monotonicMs,
    ...(options.after === undefined ? {} : { after: options.after }),
    notifyDevice: (account, device, content) => notices.push({ account, device, content }),
    log: (level, event, data) => logLines.push(JSON.stringify({ level, event, ...data })),
  }).catch(async (error: unknown) => {
    await store.close();
    throw error;
  });
  control.onEvent(event => events.push(event));

  let closing: Promise<void> | undefined;
  const closeBoth = (): Promise<void> => {
    closing ??= control.close().then(() => store.close());
    return closing;
  };
  const fixture: Fixture = {
    config,
    control,
    store,
    stores,
    world,
    folder,
    clock,
    events,
    notices,
    logLines,
    proof: (issuer, subject, jkt, more = {}) => {
      const issuedAtSeconds = Math.floor(clock.nowMs / 1000);
      return issueOwnershipProof(more.key ?? world.keys.get(issuer)!, {
        issuer,
        subject,
        audience: more.audience ?? gatekeeperIssuer,
        jkt,
        issuedAtSeconds,
        expiresAtSeconds: issuedAtSeconds + (more.lifetimeSeconds ?? 120),
        jti: more.jti ?? randomBytes(18).toString('base64url'),
      });
    },
    async enlist(provider, identifier, keys) {
      const sample = sampleDevice(keys);
      const device = parseDevice(sample.json)!;
      const result = await control.enlistment.enlist({ provider, identifier, device, replace: false }, clock.nowMs);
      if (result.kind === 'refused') throw new Error(result.code);
      const account = (await control.accounts.find(result.interopId))!;
      return { account, device: account.devices.find(each => each.id === result.deviceId)!, sample };
    },
    async restart() {
      await closeBoth();
      return await openFixture({ ...options, folder, world });
    },
    stop: closeBoth,
    async close() {
      await closeBoth();
      rmSync(folder, { recursive: true, force: true });
    },
  };
  return fixture;
}
