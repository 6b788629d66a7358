// Both ends of a compact connection and the wire between them, for tests and fuzzing: every byte passes through `alter`.
// Plays the gatekeeper's shell: a proof is good when it is `goodProof`. Knows nothing of sockets.
import type { KeyPair, Suite } from '@drawbridge/noise/crypto';
import { generateKeyPair, nodeSuite } from '@drawbridge/noise/node-crypto';
import { compactContext } from '@drawbridge/wire/compact-value';
import type { Element } from '@drawbridge/wire/element';
import { CompactClient, type CompactClientEvent, type CompactClientSettings } from '../compact-client.ts';
import { encodeCertificate, type StaticKeyCertificate } from '../compact-login.ts';
import type { PipeTransport } from '@drawbridge/noise/pipes';
import { CompactServer, type CompactServerEvent } from '../compact-server.ts';

export const domain = 'citadel.example';
export const goodProof = 'eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmVk';

/** What a wire does with the bytes of one `send`: gives what arrives, in pieces. */
export type Alter = (bytes: Uint8Array, from: 'client' | 'server') => readonly Uint8Array[];

export const honest: Alter = bytes => [bytes];

export type PairOptions = {
  readonly serverDomain?: string;
  /** The client's, and the only one of the server unless `serverSuites` says more. */
  readonly suite?: Suite;
  readonly serverSuites?: readonly Suite[];
  readonly staticKeyPairs?: readonly [KeyPair, ...KeyPair[]];
  /** What the server's certificate says, when not the truth. */
  readonly certificate?: Partial<StaticKeyCertificate>;
  readonly client?: Partial<CompactClientSettings>;
  /** What the server answers to the first stanzas. */
  readonly answers?: (stanzas: readonly Element[]) => readonly Element[];
  readonly alter?: Alter;
  /** The verdict waits until `decide` is called. */
  readonly waits?: boolean;
};

/** Signature of a certificate that the client approves; whoever else signs is not approved. */
export const pinnedSignature = new Uint8Array(64).fill(0x5a);

export class CompactPair {
  readonly client: CompactClient;
  readonly server: CompactServer;
  /** What the handshake gave the server, once it is open. */
  serverTransport: PipeTransport | undefined;
  readonly deviceKeyPair: KeyPair;
  readonly clientEvents: CompactClientEvent[] = [];
  readonly serverEvents: CompactServerEvent[] = [];
  /** All bytes that each side sent, before the wire. */
  readonly sent: { from: 'client' | 'server'; bytes: Uint8Array }[] = [];
  readonly #options: PairOptions;
  readonly #alter: Alter;
  readonly #travelling: { from: 'client' | 'server'; piece: Uint8Array }[] = [];
  #isMoving = false;

  constructor(options: PairOptions = {}) {
    this.#options = options;
    this.#alter = options.alter ?? honest;
    const suite = options.suite ?? nodeSuite('AESGCM', 'SHA256');
    const staticKeyPairs = options.staticKeyPairs ?? [generateKeyPair()];
    this.deviceKeyPair = options.client?.deviceKeyPair ?? generateKeyPair();
    const serverDomain = options.serverDomain ?? domain;
    const certificate: StaticKeyCertificate = {
      publicKey: staticKeyPairs[0].publicKey,
      notBefore: 1_790_000_000,
      notAfter: 1_797_776_000,
      signature: pinnedSignature,
      ...options.certificate,
    };
    this.server = new CompactServer({
      domain: serverDomain,
      suites: options.serverSuites ?? [suite],
      staticKeyPairs,
      certificate: encodeCertificate(certificate, compactContext(serverDomain)),
      opened: transport => {
        this.serverTransport = transport;
      },
    });
    this.client = new CompactClient({
      domain,
      suite,
      deviceKeyPair: this.deviceKeyPair,
      knownStaticKey: undefined,
      isCertified: ({ signature }) => Buffer.compare(signature, pinnedSignature) === 0,
      proof: goodProof,
      stanzas: [],
      ...options.client,
    });
  }

  /** Starts the client and carries bytes to and fro until nothing moves any more. */
  run(): this {
    this.#fromClient(this.client.start());
    return this;
  }

  clientSends(elements: readonly Element[]): void {
    this.#move('client', this.client.send(elements));
  }

  serverSends(elements: readonly Element[]): void {
    this.#move('server', this.server.send(elements));
  }

  clientSendsBytes(bytes: Uint8Array | undefined): void {
    this.#move('client', bytes);
  }

  /** The verdict on the proof that waits. */
  decide(proof: string, stanzas: readonly Element[]): void {
    if (proof === goodProof) this.#fromServer(this.server.admit(this.#options.answers?.(stanzas) ?? []));
    else this.#move('server', this.server.refuse());
  }

  get clientElements(): Element[] {
    return this.clientEvents.flatMap(event => (event.kind === 'elements' ? event.elements : []));
  }

  get serverElements(): Element[] {
    return this.serverEvents.flatMap(event => (event.kind === 'elements' ? event.elements : []));
  }

  get clientFailure(): string | undefined {
    return this.clientEvents.find(event => event.kind === 'failed')?.code;
  }

  get serverFailure(): string | undefined {
    return this.serverEvents.find(event => event.kind === 'failed')?.code;
  }

  get login(): Extract<CompactServerEvent, { kind: 'login' }> | undefined {
    return this.serverEvents.find(event => event.kind === 'login');
  }

  get established(): Extract<CompactClientEvent, { kind: 'established' }> | undefined {
    return this.clientEvents.find(event => event.kind === 'established');
  }

  #fromClient(events: readonly CompactClientEvent[]): void {
    this.clientEvents.push(...events);
    for (const event of events) if (event.kind === 'send') this.#move('client', event.bytes);
  }

  #fromServer(events: readonly CompactServerEvent[]): void {
    this.serverEvents.push(...events);
    for (const event of events) if (event.kind === 'send') this.#move('server', event.bytes);
    const login = events.find(event => event.kind === 'login');
    if (login !== undefined && this.#options.waits !== true) this.decide(login.proof, login.stanzas);
  }

  /** One thing after the other: what an end sends while it receives travels when it is done. */
  #move(from: 'client' | 'server', bytes: Uint8Array | undefined): void {
    if (bytes === undefined) return;
    this.sent.push({ from, bytes });
    for (const piece of this.#alter(bytes, from)) this.#travelling.push({ from, piece });
    if (this.#isMoving) return;
    this.#isMoving = true;
    for (let next = this.#travelling.shift(); next !== undefined; next = this.#travelling.shift()) {
      if (next.from === 'client') this.#fromServer(this.server.receive(next.piece));
      else this.#fromClient(this.client.receive(next.piece));
    }
    this.#isMoving = false;
  }
}
