// A gatekeeper's core over real sockets, and devices that speak compact or XML to it by hand: for tests of the compact
// transport that need more liberty than the SDK gives. Accounts, proofs and time are those of the control fixture.
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, connect, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Core, openCore } from '@drawbridge/gatekeeper/core';
import type { Account, Device } from '@drawbridge/gatekeeper/enlistment/account';
import { parseDevice } from '@drawbridge/gatekeeper/keys/device-keys';
import { sampleDevice } from '@drawbridge/gatekeeper/testing/sample-device';
import { defaultListenerLimits, type ListenerLimits } from '@drawbridge/gatekeeper/listeners/admission';
import { type CompactOptions, createCompactListener } from '@drawbridge/gatekeeper/listeners/compact';
import { type CompactKeys, loadCompactKeys, rotateCompactKeys } from '@drawbridge/gatekeeper/listeners/compact-keys';
import { attachWebSocket } from '@drawbridge/gatekeeper/listeners/websocket';
import { defaultMailboxLimits } from '@drawbridge/gatekeeper/mailbox/mailbox-limits';
import { createStanzaCodec } from '@drawbridge/gatekeeper/mailbox/stanza-codec';
import { createSqliteMailbox } from '@drawbridge/gatekeeper/storage/sqlite/sqlite-mailbox';
import { defaultSessionLimits, type SessionLimits } from '@drawbridge/gatekeeper/routing/session-limits';
import {
  domain,
  type Fixture,
  type FixtureOptions,
  issuers,
  openFixture,
} from '@drawbridge/gatekeeper/testing/control-fixture';
import { thumbprintX25519 } from '@drawbridge/identity/jwk';
import { importPinnedKey, isStaticKeyCertified } from '@drawbridge/identity/static-key-certificate';
import type { KeyPair, Suite } from '@drawbridge/noise/crypto';
import { generateKeyPair, nodeSuite } from '@drawbridge/noise/node-crypto';
import { CompactClient, type CompactClientEvent } from '@drawbridge/stream/compact-client';
import { encodeCertificate } from '@drawbridge/stream/compact-login';
import { encodeOauthBearer } from '@drawbridge/stream/oauthbearer';
import { compactContext } from '@drawbridge/wire/compact-value';
import { attribute, childElement, type Element, element } from '@drawbridge/wire/element';
import { encodeEnvelopeMessage } from '@drawbridge/wire/envelope';
import { xmlLimitsAfterLogin } from '@drawbridge/wire/limits';
import { NS_BIND, NS_CLIENT, NS_SASL, NS_SM } from '@drawbridge/wire/namespaces';
import { parseFraming, parseXmlDocument } from '@drawbridge/wire/xml-decoder';
import { encodeElement, encodeFramingOpen } from '@drawbridge/wire/xml-encoder';
import { WebSocket } from 'ws';

export { domain };

const patienceMs = 5_000;
export const suite = nodeSuite('AESGCM', 'SHA256');
export const bind = element('iq', NS_CLIENT, { type: 'set', id: 'bind' }, [element('bind', NS_BIND)]);
export const enable = element('enable', NS_SM, { resume: 'true' });

export type Person = {
  readonly account: Account;
  readonly device: Device;
  readonly deviceKeyPair: KeyPair;
  /** A fresh ownership proof. */
  readonly proof: () => Promise<string>;
};

export type NetworkOptions = {
  readonly fixture?: FixtureOptions;
  readonly limits?: Partial<ListenerLimits>;
  readonly keyLog?: (line: string) => void;
  readonly session?: Partial<SessionLimits>;
};

export class CompactNetwork {
  readonly fixture: Fixture;
  readonly core: Core;
  readonly ports: { readonly compact: number; readonly http: number };
  keys: CompactKeys;
  readonly log: string[];
  readonly #servers: readonly Server[];
  readonly #keysFile: string;
  readonly #folder: string;
  readonly #sockets: Set<Socket>;

  static async open(options: NetworkOptions = {}): Promise<CompactNetwork> {
    const fixture = await openFixture(options.fixture);
    const { control, store } = fixture;
    const log: string[] = [];
    const core = await openCore({
      domain,
      accounts: control.accounts,
      mailboxStore: createSqliteMailbox(store),
      codec: createStanzaCodec(domain),
      iqHandlers: control.iqHandlers,
      stamps: control.stamps,
      mayReach: control.mayReach,
      contacts: control.contacts,
      suiteAdmitted: control.registry.suiteAdmitted,
      keyStands: control.registry.keyStands,
      wakeUp: () => {},
      authenticate: (token, transport, deviceKeyThumbprint) =>
        control.login.authenticate(token, {
          transport,
          nowMs: fixture.clock.nowMs,
          ...(deviceKeyThumbprint === undefined ? {} : { deviceKeyThumbprint }),
        }),
      nowMs: () => fixture.clock.nowMs,
      log: (event, data) => void log.push(`${event} ${JSON.stringify(data ?? {})}`),
      mailboxLimits: defaultMailboxLimits,
      sessionLimits: { ...defaultSessionLimits, ...options.session },
      listenerLimits: { ...defaultListenerLimits, ...options.limits },
    });
    control.onEvent(event => core.onAccountEvent(event));
    const folder = mkdtempSync(join(tmpdir(), 'drawbridge-compact-'));
    const keysFile = join(folder, 'compact-keys.json');
    const keys = loadCompactKeys(keysFile, domain, fixture.clock.nowMs);
    const sockets = new Set<Socket>();
    let network: CompactNetwork | undefined;
    const compact: CompactOptions = {
      settings: () => {
        const { staticKeyPairs, certificate } = network?.keys ?? keys;
        return {
          domain,
          suites: [suite, nodeSuite('ChaChaPoly', 'SHA256')],
          staticKeyPairs,
          certificate: encodeCertificate(certificate, compactContext(domain)),
        };
      },
      keyLog: options.keyLog,
    };
    const compactServer = createCompactListener(core.listenerHost, compact);
    const httpServer = createHttpServer();
    attachWebSocket(core.listenerHost, httpServer, { xmpp: true, compact });
    const servers = [compactServer, httpServer];
    const [compactPort, httpPort] = await Promise.all(
      servers.map(async server => {
        server.on('connection', (socket: Socket) => {
          sockets.add(socket);
          socket.once('close', () => sockets.delete(socket));
        });
        await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
        return (server.address() as AddressInfo).port;
      }),
    );
    const ports = { compact: compactPort!, http: httpPort! };
    network = new CompactNetwork({ fixture, core, ports, keys, log, servers, keysFile, folder, sockets });
    return network;
  }

  private constructor(parts: {
    fixture: Fixture;
    core: Core;
    ports: { compact: number; http: number };
    keys: CompactKeys;
    log: string[];
    servers: readonly Server[];
    keysFile: string;
    folder: string;
    sockets: Set<Socket>;
  }) {
    this.fixture = parts.fixture;
    this.core = parts.core;
    this.ports = parts.ports;
    this.keys = parts.keys;
    this.log = parts.log;
    this.#servers = parts.servers;
    this.#keysFile = parts.keysFile;
    this.#folder = parts.folder;
    this.#sockets = parts.sockets;
  }

  rotate(forget = false): void {
    this.keys = rotateCompactKeys(this.#keysFile, domain, this.fixture.clock.nowMs, forget);
  }

  /** As the gatekeeper does every hour. */
  reloadKeys(): void {
    this.keys = loadCompactKeys(this.#keysFile, domain, this.fixture.clock.nowMs);
  }

  async person(name: string): Promise<Person> {
    const deviceKeyPair = generateKeyPair();
    const sample = sampleDevice();
    const x = Buffer.from(deviceKeyPair.publicKey).toString('base64url');
    const parsed = parseDevice({ ...sample.json, deviceKey: x })!;
    const { control, clock } = this.fixture;
    const request = { provider: 0, identifier: name, device: parsed, replace: false };
    const result = await control.enlistment.enlist(request, clock.nowMs);
    if (result.kind === 'refused') throw new Error(result.code);
    const account = (await control.accounts.find(result.interopId))!;
    const device = account.devices.find(each => each.id === result.deviceId)!;
    const jkt = thumbprintX25519(deviceKeyPair.publicKey);
    return { account, device, deviceKeyPair, proof: () => this.fixture.proof(issuers.own, name, jkt) };
  }

  isCertified(certificate: Parameters<typeof isStaticKeyCertified>[0]): boolean {
    const pinned = importPinnedKey(this.keys.signingJwk.x)!;
    return isStaticKeyCertified(certificate, domain, pinned, this.fixture.clock.nowMs);
  }

  /** An envelope for the one device of a person. */
  message(from: Person, to: Person, id: string, size = 100): Element {
    return encodeEnvelopeMessage({
      to: `${to.account.interopId}@${domain}`,
      id,
      type: 'chat',
      suite: 'signal-1',
      fromDevice: from.device.id,
      noStore: false,
      silent: false,
      ciphertexts: [
        {
          deviceId: to.device.id,
          registrationId: to.device.registrationId,
          kind: 'session',
          payload: Buffer.alloc(size, id),
        },
      ],
    });
  }

  async close(): Promise<void> {
    for (const server of this.#servers) server.close();
    await this.core.close();
    for (const socket of this.#sockets) socket.destroy();
    await this.fixture.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** What a device has got, and a way to wait for more of it. */
export class Received {
  readonly elements: Element[] = [];
  isClosed = false;
  #changed = Promise.withResolvers<void>();

  add(...elements: readonly Element[]): void {
    this.elements.push(...elements);
    this.changed();
  }

  changed(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  async until(what: string, holds: () => boolean): Promise<void> {
    const giveUpAt = performance.now() + patienceMs;
    while (!holds()) {
      const leftMs = giveUpAt - performance.now();
      if (leftMs <= 0) {
        throw new Error(`${what} did not happen; received: ${this.elements.map(el => encodeElement(el, '')).join('')}`);
      }
      let timer: NodeJS.Timeout | undefined;
      await Promise.race([this.#changed.promise, new Promise(resolve => (timer = setTimeout(resolve, leftMs)))]);
      clearTimeout(timer);
    }
  }

  named(name: string): Element[] {
    return this.elements.filter(el => el.name === name);
  }

  async next(name: string, count = 1): Promise<Element> {
    await this.until(`${count} <${name}/>`, () => this.named(name).length >= count);
    return this.named(name)[count - 1]!;
  }

  async closed(): Promise<void> {
    await this.until('the end of the connection', () => this.isClosed);
  }
}

export type CompactDeviceOptions = {
  readonly carrier?: 'tcp' | 'websocket';
  readonly known?: Uint8Array | undefined;
  readonly stanzas?: readonly Element[];
  /** Another proof than a fresh one. */
  readonly proof?: string;
  readonly deviceKeyPair?: KeyPair;
  readonly suite?: Suite;
  /** Loopback address to come from. */
  readonly localAddress?: string;
  /** Says nothing before this is fulfilled. */
  readonly silentUntil?: Promise<void>;
  /** Called once, when the connection is there or was turned away. */
  readonly arrived?: () => void;
  /** Another port than the gatekeeper's own. */
  readonly port?: number;
};

/** A device on the compact transport: events as they come, bytes at hand. */
export class CompactDevice {
  readonly received = new Received();
  readonly events: CompactClientEvent[] = [];
  /** All bytes of either direction, as a capture would have them. */
  readonly captured = { client: [] as Uint8Array[], server: [] as Uint8Array[] };
  readonly client: CompactClient;
  readonly #write: (bytes: Uint8Array) => void;
  readonly #cut: () => void;
  /** Stops reading, or reads on. */
  readonly read: (reads: boolean) => void;
  /** Bytes that the gatekeeper has not taken yet. */
  readonly unsentBytes: () => number;

  static async open(
    network: CompactNetwork,
    person: Person,
    options: CompactDeviceOptions = {},
  ): Promise<CompactDevice> {
    const client = new CompactClient({
      domain,
      suite: options.suite ?? suite,
      deviceKeyPair: options.deviceKeyPair ?? person.deviceKeyPair,
      knownStaticKey: options.known,
      isCertified: certificate => network.isCertified(certificate),
      proof: options.proof ?? (await person.proof()),
      stanzas: options.stanzas ?? [bind, enable],
    });
    const ports = { http: network.ports.http, compact: options.port ?? network.ports.compact };
    return new CompactDevice(ports, client, options.carrier ?? 'tcp', options);
  }

  private constructor(
    ports: { readonly compact: number; readonly http: number },
    client: CompactClient,
    carrier: 'tcp' | 'websocket',
    { localAddress, silentUntil, arrived = () => {} }: CompactDeviceOptions,
  ) {
    this.client = client;
    const bytes = (chunk: Uint8Array): void => {
      this.captured.server.push(Uint8Array.from(chunk));
      this.#take(this.client.receive(chunk));
    };
    const closed = (): void => {
      this.received.isClosed = true;
      this.received.changed();
    };
    if (carrier === 'tcp') {
      const from = localAddress === undefined ? {} : { localAddress };
      const socket = connect({ host: '127.0.0.1', port: ports.compact, noDelay: true, ...from });
      socket.once('close', arrived);
      socket.once('connect', () => {
        socket.off('close', arrived);
        arrived();
        if (silentUntil === undefined) this.#take(this.client.start());
        else void silentUntil.then(() => this.#take(this.client.start()));
      });
      socket.on('data', bytes);
      socket.on('error', () => {});
      socket.on('close', closed);
      this.#write = data => void socket.write(data);
      this.#cut = () => void socket.destroy();
      this.read = reads => void (reads ? socket.resume() : socket.pause());
      this.unsentBytes = () => socket.writableLength;
      return;
    }
    const socket = new WebSocket(`ws://127.0.0.1:${ports.http}/compact`, 'drawbridge-compact');
    socket.on('open', () => this.#take(this.client.start()));
    socket.on('message', (data: Buffer) => bytes(data));
    socket.on('error', () => {});
    socket.on('close', closed);
    // In pieces: message borders mean nothing.
    this.#write = data => {
      for (let at = 0; at < data.length; at += 50_000) socket.send(data.subarray(at, at + 50_000));
    };
    this.#cut = () => socket.terminate();
    this.read = reads => (reads ? socket.resume() : socket.pause());
    this.unsentBytes = () => socket.bufferedAmount;
  }

  get pattern(): string | undefined {
    return this.events.find(event => event.kind === 'established')?.pattern;
  }

  get failure(): string | undefined {
    return this.events.find(event => event.kind === 'failed')?.code;
  }

  get staticKey(): Uint8Array | undefined {
    return this.events.find(event => event.kind === 'established')?.staticKey;
  }

  send(...elements: Element[]): void {
    this.raw(this.client.send(elements)!);
  }

  raw(bytes: Uint8Array): void {
    this.captured.client.push(Uint8Array.from(bytes));
    this.#write(bytes);
  }

  /** The network is gone: no goodbye. */
  cut(): void {
    this.#cut();
  }

  #take(events: readonly CompactClientEvent[]): void {
    for (const event of events) {
      this.events.push(event);
      if (event.kind === 'send') this.raw(event.bytes);
      if (event.kind === 'elements') this.received.add(...event.elements);
    }
    this.received.changed();
  }
}

/** The same device on a WebSocket with XML. */
export class XmlDevice {
  readonly received = new Received();
  readonly #socket: WebSocket;

  static async open(
    network: CompactNetwork,
    person: Person,
    first: readonly Element[] = [bind, enable],
  ): Promise<XmlDevice> {
    const device = new XmlDevice(network);
    const { received } = device;
    await received.until('the connection', () => device.#socket.readyState === WebSocket.OPEN);
    device.#header();
    await received.next('features');
    device.send(
      element('auth', NS_SASL, { mechanism: 'OAUTHBEARER' }, [encodeOauthBearer({ token: await person.proof() })]),
    );
    await received.next('success');
    device.#header();
    await received.next('features', 2);
    for (const el of first) {
      const before = received.elements.length;
      device.send(el);
      await received.until(`an answer to <${el.name}/>`, () => received.elements.length > before);
    }
    return device;
  }

  private constructor(network: CompactNetwork) {
    this.#socket = new WebSocket(`ws://127.0.0.1:${network.ports.http}/xmpp`, 'xmpp');
    this.#socket.on('open', () => this.received.changed());
    this.#socket.on('error', () => {});
    this.#socket.on('message', (data: Buffer) => {
      const el = parseXmlDocument(data, xmlLimitsAfterLogin);
      if ('kind' in el) throw new Error('the gatekeeper sent bad XML');
      if (parseFraming(el) === undefined) this.received.add(el);
    });
    this.#socket.on('close', () => {
      this.received.isClosed = true;
      this.received.changed();
    });
  }

  send(...elements: Element[]): void {
    for (const el of elements) this.#socket.send(encodeElement(el, ''));
  }

  cut(): void {
    this.#socket.terminate();
  }

  #header(): void {
    this.#socket.send(encodeFramingOpen({ to: domain, version: '1.0' }));
  }
}

/** The bytes of the one ciphertext of a delivered message. */
export function payloadOf(message: Element): string {
  const ciphertext = childElement(
    childElement(message, 'envelope', 'urn:drawbridge:e2ee:1')!,
    'ciphertext',
    'urn:drawbridge:e2ee:1',
  )!;
  const [payload] = ciphertext.children;
  if (payload instanceof Uint8Array) return Buffer.from(payload).toString('base64');
  return typeof payload === 'string' ? payload : '';
}

export function idOf(message: Element): string | undefined {
  return attribute(message, 'id');
}

export function resume(session: { readonly id: string; readonly handled: number }): Element {
  return element('resume', NS_SM, { previd: session.id, h: String(session.handled) });
}

export function acknowledge(handled: number): Element {
  return element('a', NS_SM, { h: String(handled) });
}
