// A compact client made for load: the real handshake and frames of `stream`, messages from bytes that are made once.
// Source: docs/protocol/05-compact.md.
import { type KeyObject, randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { importPinnedKey, isStaticKeyCertified } from '@drawbridge/identity/static-key-certificate';
import { platformCrypto } from '@drawbridge/noise/platform-crypto';
import type { PipePattern } from '@drawbridge/noise/pipes';
import { CompactClient, type CompactClientEvent } from '@drawbridge/stream/compact-client';
import type { StaticKeyCertificate } from '@drawbridge/stream/compact-login';
import { attribute, type Element, element } from '@drawbridge/wire/element';
import { NS_BIND, NS_CLIENT, NS_SM } from '@drawbridge/wire/namespaces';
import { type ClientOptions, from, type LoadClient, LoginFailed, type Session, Turn } from './client.ts';
import { CompactMessage } from './compact-message.ts';
import {
  ciphertextBytes,
  domain,
  messageId,
  type MessageKind,
  type Person,
  receiptLetter,
  type Target,
} from './target.ts';

const turn = new Turn();
const suite = platformCrypto.suite('ChaChaPoly', 'SHA256');
const ackRequest = element('r', NS_SM);

/** What clients pin: the gatekeeper's long-term key, from its reference offer. */
export async function fetchPinnedKey(target: Target): Promise<PinnedKey> {
  if (target.accounts.kind !== 'sandbox') throw new Error('only sandboxes speak the compact transport');
  const response = await fetch(`http://127.0.0.1:${target.accounts.httpPort}/.well-known/interop-gatekeeper`);
  const offer = (await response.json()) as { compactKeys: { signingKey: { x: string } } };
  const key = importPinnedKey(offer.compactKeys.signingKey.x);
  if (key === undefined) throw new Error('the reference offer holds no key');
  return new PinnedKey(key);
}

/** Judges certificates by the pinned key; what was verified once is remembered, as a client does between logins. */
export class PinnedKey {
  readonly #key: KeyObject;
  readonly #verified = new Set<string>();

  constructor(key: KeyObject) {
    this.#key = key;
  }

  isCertified(certificate: StaticKeyCertificate): boolean {
    const name = Buffer.from(certificate.signature).toString('base64');
    if (this.#verified.has(name)) return true;
    if (!isStaticKeyCertified(certificate, domain, this.#key, Date.now())) return false;
    this.#verified.add(name);
    return true;
  }
}

export type CompactOptions = ClientOptions & {
  readonly pinned: PinnedKey;
  /** Known from an earlier login: leads to IK. */
  readonly staticKey: Uint8Array | undefined;
};

export class CompactLoadClient implements LoadClient {
  readonly person: Person;
  bytesIn = 0;
  bytesOut = 0;
  sentStanzas = 0;
  pattern: PipePattern | undefined;
  staticKey: Uint8Array | undefined;
  #resumptionId: string | undefined;
  readonly #options: CompactOptions;
  readonly #socket: Socket;
  readonly #client: CompactClient;
  readonly #opened = Promise.withResolvers<this>();
  readonly #ciphertexts: Record<MessageKind, Uint8Array>;
  /** Of each kind, the last recipient's: people write to one other. */
  readonly #messages: Partial<Record<MessageKind, CompactMessage>> = {};
  #state: 'login' | 'open' | 'closed' = 'login';
  #out: Element[] = [];
  #handled: number;
  #owesAnswer = false;
  #asked = false;

  constructor(options: CompactOptions) {
    this.#options = options;
    this.person = options.person;
    this.#handled = options.resume?.handled ?? 0;
    const sizes = ciphertextBytes[options.payload];
    this.#ciphertexts = { text: randomBytes(sizes.text), receipt: randomBytes(sizes.receipt) };
    const deviceKeyPair = platformCrypto.keyPairFromPrivateKey(options.person.devicePrivateKey ?? new Uint8Array(0));
    if (deviceKeyPair === undefined || options.proof === undefined) throw new LoginFailed('no device key or proof');
    this.#client = new CompactClient({
      domain,
      suite,
      deviceKeyPair,
      knownStaticKey: options.staticKey,
      isCertified: certificate => options.pinned.isCertified(certificate),
      proof: options.proof,
      stanzas: this.#firstStanzas(),
    });
    const { target, localAddress } = options;
    this.#socket = connect({ host: '127.0.0.1', port: target.port, noDelay: true, ...from(localAddress) }, () =>
      this.#take(this.#client.start()),
    );
    this.#socket.on('data', (chunk: Buffer) => {
      this.bytesIn += chunk.length;
      this.#take(this.#client.receive(chunk));
      if (this.#owesAnswer) this.#answer();
    });
    this.#socket.on('error', error => this.#lost(error.message));
    this.#socket.on('close', () => this.#lost('connection closed'));
  }

  get opened(): Promise<this> {
    return this.#opened.promise;
  }

  get session(): Session | undefined {
    return this.#resumptionId === undefined ? undefined : { id: this.#resumptionId, handled: this.#handled };
  }

  send(to: Person, kind: MessageKind, id: number): void {
    this.sentStanzas++;
    let message = this.#messages[kind];
    if (message?.recipient !== to) {
      this.#messages[kind] = message = new CompactMessage(this.person, to, this.#ciphertexts[kind]);
    }
    this.#queue(message.withId(messageId(kind, id)));
  }

  flush(): void {
    const out = this.#out;
    if (this.#state !== 'open') return;
    this.#out = [];
    if (this.#options.managed && !this.#asked) {
      this.#asked = true;
      out.push(ackRequest);
    }
    if (out.length === 0) return;
    const bytes = this.#client.send(out);
    if (bytes === undefined) return;
    this.bytesOut += bytes.length;
    this.#socket.write(bytes);
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  close(how: 'in-order' | 'cut'): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.#client.close();
    if (how === 'cut') this.#socket.destroy();
    else {
      this.#socket.end();
      this.#socket.resume();
      setTimeout(() => this.#socket.destroy(), 3_000).unref();
    }
  }

  #firstStanzas(): Element[] {
    const { resume, managed, available } = this.#options;
    if (resume !== undefined) {
      return [element('resume', NS_SM, { previd: resume.id, h: String(resume.handled) })];
    }
    const stanzas = [element('iq', NS_CLIENT, { type: 'set', id: 'b' }, [element('bind', NS_BIND)])];
    if (managed) stanzas.push(element('enable', NS_SM, { resume: 'true' }));
    if (available && !managed) {
      this.sentStanzas++;
      stanzas.push(element('presence', NS_CLIENT));
    }
    return stanzas;
  }

  #queue(el: Element): void {
    if (this.#out.push(el) === 1) turn.mark(this);
  }

  #answer(): void {
    this.#owesAnswer = false;
    this.#queue(element('a', NS_SM, { h: String(this.#handled) }));
  }

  #lost(reason: string): void {
    if (this.#state === 'closed') return;
    const wasOpen = this.#state === 'open';
    this.#state = 'closed';
    this.#socket.destroy();
    if (wasOpen) this.#options.sink.lost(this, reason);
    else this.#opened.reject(new LoginFailed(reason));
  }

  #take(events: readonly CompactClientEvent[]): void {
    for (const event of events) {
      switch (event.kind) {
        case 'send':
          this.bytesOut += event.bytes.length;
          this.#socket.write(event.bytes);
          break;
        case 'established':
          this.pattern = event.pattern;
          this.staticKey = event.staticKey;
          break;
        case 'elements':
          for (const el of event.elements) this.#element(el);
          break;
        case 'failed':
          this.#lost(event.code);
      }
    }
  }

  #element(el: Element): void {
    if (el.ns === NS_SM) this.#managementElement(el);
    else if (el.ns !== NS_CLIENT) this.#lost(`unexpected ${el.name}`);
    else if (el.name === 'message') {
      this.#handled++;
      if (attribute(el, 'type') === 'error') {
        this.#options.sink.refused(this);
        return;
      }
      const id = attribute(el, 'id') ?? '';
      const kind = id.charCodeAt(0) === receiptLetter ? 'receipt' : 'text';
      this.#options.sink.message(this, kind, Number.parseInt(id.slice(1), 10));
    } else if (el.name === 'iq') this.#iq(el);
    else this.#handled++;
  }

  #iq(el: Element): void {
    if (this.#state === 'login') {
      if (attribute(el, 'type') !== 'result') this.#lost('binding refused');
      else if (!this.#options.managed) this.#open();
      return;
    }
    this.#handled++;
    if (attribute(el, 'type') !== 'get') return;
    this.sentStanzas++;
    const to = attribute(el, 'from');
    this.#queue(element('iq', NS_CLIENT, { type: 'result', id: attribute(el, 'id'), to }));
  }

  #managementElement(el: Element): void {
    switch (el.name) {
      case 'r':
        this.#owesAnswer = true;
        return;
      case 'a':
        this.#asked = false;
        this.#options.sink.acknowledged(this, Number(attribute(el, 'h')));
        if (Number(attribute(el, 'h')) < this.sentStanzas && this.#out.length === 0) turn.mark(this);
        return;
      case 'enabled':
        this.#resumptionId = attribute(el, 'id');
        this.#open();
        return;
      case 'resumed':
        this.#resumptionId = attribute(el, 'previd');
        this.#open();
        return;
      default:
        this.#lost(`stream management: ${el.name}`);
    }
  }

  #open(): void {
    this.#state = 'open';
    this.#opened.resolve(this);
  }
}
