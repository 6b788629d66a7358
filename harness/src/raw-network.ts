// A gatekeeper's core with its XMPP listeners on real sockets, for tests that must reach inside it or bend its limits.
// Accounts and proofs are those of the control fixture, whose clock stands still; everything else is in force.
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo, Server, Socket } from 'node:net';
import { createSecureContext } from 'node:tls';
import { type Core, type CoreDeps, openCore } from '@drawbridge/gatekeeper/core';
import type { Account, Device } from '@drawbridge/gatekeeper/enlistment/account';
import { parseDevice } from '@drawbridge/gatekeeper/keys/device-keys';
import { type SampleDevice, sampleDevice } from '@drawbridge/gatekeeper/testing/sample-device';
import {
  defaultListenerLimits,
  type ListenerHost,
  type ListenerLimits,
} from '@drawbridge/gatekeeper/listeners/admission';
import { createTcpListener } from '@drawbridge/gatekeeper/listeners/tcp';
import { attachWebSocket } from '@drawbridge/gatekeeper/listeners/websocket';
import { defaultMailboxLimits, type MailboxLimits } from '@drawbridge/gatekeeper/mailbox/mailbox-limits';
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
import { createDevelopmentAuthority } from '@drawbridge/identity/development-certificates';
import { RawXmpp, type RawTarget, type RawTransport } from './raw-xmpp.ts';

export { domain };

const issuerOf = [issuers.own, issuers.skylark, issuers.heron];

export type Person = {
  readonly provider: number;
  readonly identifier: string;
  readonly account: Account;
  readonly device: Device;
  readonly sample: SampleDevice;
  readonly bareJid: string;
  readonly fullJid: string;
};

export type RawNetworkOptions = {
  readonly fixture?: FixtureOptions;
  readonly listener?: Partial<ListenerLimits>;
  readonly session?: Partial<SessionLimits>;
  readonly mailbox?: Partial<MailboxLimits>;
  /** Whose a WebSocket is; the socket's peer when left out. */
  readonly addressOf?: ListenerHost['addressOf'];
  readonly core?: Pick<CoreDeps, 'sweepEveryMs' | 'desertedAfterMs' | 'maxHeldBytes'>;
};

export class RawNetwork {
  readonly fixture: Fixture;
  readonly core: Core;
  readonly target: RawTarget;
  /** Events that operators would see. */
  readonly log: readonly string[];
  readonly #servers: readonly Server[];
  readonly #sockets: ReadonlySet<Socket>;
  #isClosed = false;

  static async open(options: RawNetworkOptions = {}): Promise<RawNetwork> {
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
      wakeUp: account => control.wakeUps.requestWakeUp(account),
      authenticate: (token, transport) => control.login.authenticate(token, { transport, nowMs: fixture.clock.nowMs }),
      ...(options.addressOf === undefined ? {} : { addressOf: options.addressOf }),
      nowMs: () => fixture.clock.nowMs,
      log: (event, data) => void log.push(`${event} ${JSON.stringify(data ?? {})}`),
      mailboxLimits: { ...defaultMailboxLimits, ...options.mailbox },
      sessionLimits: { ...defaultSessionLimits, ...options.session },
      listenerLimits: { ...defaultListenerLimits, ...options.listener },
      ...options.core,
    });
    control.onEvent(event => core.onAccountEvent(event));
    const authority = createDevelopmentAuthority({ nowMs: Date.now() });
    const tls = authority.issue(['localhost', domain]);
    const https = createHttpsServer(tls, (_request, response) => response.writeHead(426).end());
    attachWebSocket(core.listenerHost, https, { xmpp: true, compact: undefined });
    const secureContext = createSecureContext(tls);
    const servers = [
      createTcpListener(core.listenerHost, () => secureContext, 'starttls'),
      createTcpListener(core.listenerHost, () => secureContext, 'direct'),
      https,
    ];
    const sockets = new Set<Socket>();
    const [xmpp, xmpps, websocket] = (await Promise.all(
      servers.map(async server => {
        server.on('connection', (socket: Socket) => {
          sockets.add(socket);
          socket.once('close', () => sockets.delete(socket));
        });
        await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
        return (server.address() as AddressInfo).port;
      }),
    )) as [number, number, number];
    const target = { domain, ca: authority.ca, ports: { xmpp, xmpps, websocket } };
    return new RawNetwork({ fixture, core, target, log, servers, sockets });
  }

  private constructor(parts: {
    fixture: Fixture;
    core: Core;
    target: RawTarget;
    log: readonly string[];
    servers: readonly Server[];
    sockets: ReadonlySet<Socket>;
  }) {
    this.fixture = parts.fixture;
    this.core = parts.core;
    this.target = parts.target;
    this.log = parts.log;
    this.#servers = parts.servers;
    this.#sockets = parts.sockets;
  }

  /** Enlists somebody with one device. */
  async person(identifier: string, provider = 0): Promise<Person> {
    return this.#enlist(provider, identifier, sampleDevice());
  }

  /** A further device of somebody; `person` afterwards has an account that is out of date. */
  async furtherDevice(person: Person): Promise<Person> {
    const sample = sampleDevice({ identity: person.sample.identity });
    const { provider, identifier, account } = person;
    const { control } = this.fixture;
    await control.enlistment.authorise(account, person.device, sample.jkt);
    return this.#enlist(provider, identifier, sample);
  }

  async #enlist(provider: number, identifier: string, sample: SampleDevice): Promise<Person> {
    const { control, clock } = this.fixture;
    const request = { provider, identifier, device: parseDevice(sample.json)!, replace: false };
    const result = await control.enlistment.enlist(request, clock.nowMs);
    if (result.kind === 'refused') throw new Error(result.code);
    const account = (await control.accounts.find(result.interopId))!;
    const device = account.devices.find(each => each.id === result.deviceId)!;
    const bareJid = `${account.interopId}@${domain}`;
    return { provider, identifier, account, device, sample, bareJid, fullJid: `${bareJid}/${device.id}` };
  }

  /** A fresh ownership proof. */
  async proof(person: Person): Promise<string> {
    return await this.fixture.proof(issuerOf[person.provider]!, person.identifier, person.sample.jkt);
  }

  async login(person: Person, transport: RawTransport = 'direct', management = true): Promise<RawXmpp> {
    return await RawXmpp.login(this.target, transport, await this.proof(person), { management });
  }

  /** How many stanzas wait on disk for a device. */
  stored(person: Person): Promise<number> {
    const { reads } = this.fixture.store;
    const row = reads.prepare('SELECT count(*) AS n FROM mailbox WHERE device = ?').get(person.device.row);
    return Promise.resolve(Number(row!['n']));
  }

  /** Ends all streams in good order, as a gatekeeper that is stopped does. */
  async shutDown(): Promise<void> {
    this.#isClosed = true;
    for (const server of this.#servers) server.close();
    await this.core.close();
  }

  async close(): Promise<void> {
    if (!this.#isClosed) await this.shutDown();
    for (const socket of this.#sockets) socket.destroy();
    await this.fixture.close();
  }
}

/** A message as any client can write it: the gatekeeper can't know what the ciphertexts are. */
export function envelope(
  from: Person,
  to: string,
  id: string,
  ciphertexts: string = ciphertextFor(1),
  rest = '',
): string {
  return (
    `<message xmlns='jabber:client' to='${to}' id='${id}' type='chat'>` +
    `<envelope xmlns='urn:drawbridge:e2ee:1' suite='signal-1' from-device='${from.device.id}'>${ciphertexts}</envelope>` +
    `${rest}</message>`
  );
}

export function ciphertextFor(device: number, bytes = 24, registration?: number): string {
  const named = registration === undefined ? '' : ` registration='${registration}'`;
  return `<ciphertext device='${device}'${named} kind='session'>${Buffer.alloc(bytes, device).toString('base64')}</ciphertext>`;
}
