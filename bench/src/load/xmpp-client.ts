// A standard XMPP client made for load: prepared bytes out, tag counting in, no trees. Speaks TCP or direct TLS; SASL
// PLAIN, SCRAM-SHA-1 or OAUTHBEARER; binds; stream management. Answers pings, as every client does.
// Source: RFC 6120, RFC 5802, RFC 7628, XEP-0198, XEP-0199.
import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { connect as connectTcp, type Socket } from 'node:net';
import {
  connect as connectTls,
  type ConnectionOptions as TlsOptions,
  createSecureContext,
  type SecureContext,
} from 'node:tls';
import { type ClientOptions, from, type LoadClient, LoginFailed, type Session, Turn } from './client.ts';
import { StanzaScanner } from './stanza-scanner.ts';
import {
  domain,
  type MessageKind,
  type MessageText,
  messageText,
  password,
  type Person,
  receiptLetter,
} from './target.ts';

const turn = new Turn();
const xmlHeader = `<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='${domain}' version='1.0'>`;

type Step = 'features-1' | 'auth' | 'features-2' | 'resume' | 'bind' | 'enable' | 'open' | 'closed';

export class XmppClient implements LoadClient {
  readonly person: Person;
  bytesIn = 0;
  bytesOut = 0;
  sentStanzas = 0;
  /** What TLS has agreed on. */
  negotiated: string | undefined;
  readonly #options: ClientOptions;
  readonly #socket: Socket;
  readonly #scanner: StanzaScanner;
  readonly #opened = Promise.withResolvers<this>();
  readonly #texts = new Map<number, MessageText>();
  #step: Step = 'features-1';
  #scram: Scram | undefined;
  #out = '';
  #handled = 0;
  #owesAnswer = false;
  #asked = false;
  #resumptionId: string | undefined;

  constructor(options: ClientOptions) {
    this.#options = options;
    this.#handled = options.resume?.handled ?? 0;
    this.person = options.person;
    this.#scanner = new StanzaScanner({
      header: () => {},
      stanza: (bytes, start, tagEnd, end) => this.#stanza(bytes, start, tagEnd, end),
      ended: () => this.#lost('stream ended'),
    });
    const { target } = options;
    const at = { host: '127.0.0.1', port: target.port, noDelay: true, ...from(options.localAddress) };
    this.#socket = target.tls
      ? this.#connectTls({ ...at, servername: domain, ...contextOf(target.caFile, options.tls?.group) })
      : connectTcp(at, () => this.#start());
    this.#socket.on('data', (chunk: Buffer) => {
      this.bytesIn += chunk.length;
      this.#scanner.push(chunk);
      if (this.#owesAnswer) this.#answer();
    });
    this.#socket.on('error', error => this.#lost(error.message));
    this.#socket.on('close', () => this.#lost('connection closed'));
  }

  get session(): Session | undefined {
    return this.#resumptionId === undefined ? undefined : { id: this.#resumptionId, handled: this.#handled };
  }

  #connectTls(at: TlsOptions): Socket {
    const tickets = this.#options.tls?.tickets;
    const { index } = this.person;
    const session = tickets?.get(index);
    const socket = connectTls({ ...at, ...(session === undefined ? {} : { session }) }, () => {
      const exchange = socket.getEphemeralKeyInfo() as { name?: string };
      const kind = socket.isSessionReused() ? 'resumed' : 'full';
      this.negotiated = [socket.getProtocol(), socket.getCipher().name, exchange.name, kind].join(' ');
      this.#start();
    });
    if (tickets !== undefined) socket.on('session', (ticket: Buffer) => tickets.set(index, ticket));
    return socket;
  }

  /** Rejects with a LoginFailed. */
  get opened(): Promise<this> {
    return this.#opened.promise;
  }

  send(to: Person, kind: MessageKind, id: number): void {
    const key = kind === 'text' ? to.index : -1 - to.index;
    let text = this.#texts.get(key);
    if (text === undefined) {
      text = messageText(this.#options.target, this.person, to, kind, this.#options.payload);
      this.#texts.set(key, text);
    }
    this.sentStanzas++;
    this.#queue(`${text.before}${id}${text.after}`);
  }

  flush(): void {
    if (this.#options.managed && !this.#asked && this.#step === 'open') {
      this.#asked = true;
      this.#out += `<r xmlns='urn:xmpp:sm:3'/>`;
    }
    this.#write();
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  close(how: 'in-order' | 'cut'): void {
    if (this.#step === 'closed') return;
    this.#step = 'closed';
    if (how === 'cut') this.#socket.destroy();
    else {
      this.#socket.end('</stream:stream>');
      // What still comes is of no interest, but a socket that is not read never ends.
      this.#socket.resume();
      setTimeout(() => this.#socket.destroy(), 3_000).unref();
    }
  }

  #queue(text: string): void {
    if (this.#out === '') turn.mark(this);
    this.#out += text;
  }

  #write(): void {
    const out = this.#out;
    this.#out = '';
    if (out === '' || this.#step === 'closed') return;
    this.bytesOut += out.length;
    this.#socket.write(out, 'latin1');
  }

  #now(text: string): void {
    this.#out += text;
    this.#write();
  }

  #start(): void {
    this.#now(xmlHeader);
  }

  #lost(reason: string): void {
    if (this.#step === 'closed') return;
    const wasOpen = this.#step === 'open';
    this.#step = 'closed';
    this.#socket.destroy();
    if (wasOpen) this.#options.sink.lost(this, reason);
    else this.#opened.reject(new LoginFailed(reason));
  }

  #answer(): void {
    this.#owesAnswer = false;
    const text = `<a xmlns='urn:xmpp:sm:3' h='${this.#handled}'/>`;
    if (this.#out === '') turn.mark(this);
    this.#out += text;
  }

  #stanza(bytes: Buffer, start: number, tagEnd: number, end: number): void {
    if (this.#step === 'open') this.#openStanza(bytes, start, tagEnd, end);
    else if (this.#step !== 'closed') this.#negotiate(bytes.toString('latin1', start, end));
  }

  #openStanza(bytes: Buffer, start: number, tagEnd: number, end: number): void {
    switch (bytes[start + 1]) {
      case 0x6d: {
        this.#handled++;
        const tag = bytes.toString('latin1', start, tagEnd);
        if (tag.includes(`type='error'`) || tag.includes(`type="error"`)) {
          this.#options.sink.refused(this);
          return;
        }
        const at = tag.indexOf(' id=');
        if (at < 0) return;
        const letter = tag.charCodeAt(at + 5);
        const id = Number.parseInt(tag.slice(at + 6, at + 16), 10);
        this.#options.sink.message(this, letter === receiptLetter ? 'receipt' : 'text', id);
        return;
      }
      case 0x72: // <r/>
        this.#owesAnswer = true;
        return;
      case 0x61: {
        this.#asked = false;
        const h = /h=['"]([0-9]+)/.exec(bytes.toString('latin1', start, tagEnd))?.[1];
        this.#options.sink.acknowledged(this, Number(h ?? 0));
        if (Number(h ?? 0) < this.sentStanzas && this.#out === '') turn.mark(this);
        return;
      }
      case 0x69: {
        this.#handled++;
        const iq = bytes.toString('latin1', start, end);
        const id = /\sid=['"]([^'"]+)/.exec(iq)?.[1] ?? '';
        if (!/\stype=['"]get['"]/.test(iq)) return;
        const from = /\sfrom=['"]([^'"]+)/.exec(iq)?.[1];
        const to = from === undefined ? '' : ` to='${from}'`;
        this.sentStanzas++;
        this.#queue(`<iq type='result' id='${id}'${to}/>`);
        return;
      }
      case 0x70: // <presence/>
        this.#handled++;
        return;
      default:
        this.#lost(bytes.toString('latin1', start, Math.min(end, start + 300)));
    }
  }

  #negotiate(text: string): void {
    if (text.startsWith('<stream:error') || text.startsWith('<failure')) {
      this.#lost(text.slice(0, 300));
      return;
    }
    switch (this.#step) {
      case 'features-1':
        this.#step = 'auth';
        this.#now(this.#firstSasl());
        return;
      case 'auth':
        if (text.startsWith('<challenge')) this.#now(this.#challenged(text));
        else if (text.startsWith('<success')) {
          this.#scanner.restart();
          this.#step = 'features-2';
          this.#now(xmlHeader);
        }
        return;
      case 'features-2': {
        const { resume } = this.#options;
        if (resume === undefined) this.#bind();
        else {
          this.#step = 'resume';
          this.#now(`<resume xmlns='urn:xmpp:sm:3' previd='${resume.id}' h='${resume.handled}'/>`);
        }
        return;
      }
      case 'resume':
        if (text.startsWith('<resumed')) {
          this.#resumptionId = this.#options.resume!.id;
          this.#step = 'open';
          this.#opened.resolve(this);
        } else if (text.startsWith('<failed')) this.#bind();
        return;
      case 'bind':
        if (!text.startsWith('<iq')) return;
        if (!/type=['"]result['"]/.test(text)) this.#lost(text.slice(0, 300));
        else if (this.#options.managed) {
          this.#step = 'enable';
          this.#now(`<enable xmlns='urn:xmpp:sm:3' resume='true'/>`);
        } else this.#open();
        return;
      case 'enable':
        if (text.startsWith('<enabled')) {
          this.#resumptionId = /\sid=['"]([^'"]+)/.exec(text)?.[1];
          this.#handled = 0;
          this.#open();
        } else if (text.startsWith('<failed')) this.#lost('stream management refused');
        return;
    }
  }

  #bind(): void {
    this.#step = 'bind';
    this.#now(`<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>`);
  }

  #open(): void {
    this.#step = 'open';
    if (this.#options.available) {
      this.sentStanzas++;
      this.#now(`<presence/>`);
    }
    this.#opened.resolve(this);
  }

  #firstSasl(): string {
    const { target, proof, person } = this.#options;
    if (target.accounts.kind === 'sandbox') return auth('OAUTHBEARER', `n,,\u0001auth=Bearer ${proof}\u0001\u0001`);
    const name = `u${person.index}`;
    if (target.accounts.sasl === 'plain') return auth('PLAIN', `\0${name}\0${password}`);
    this.#scram = new Scram(name);
    return auth('SCRAM-SHA-1', this.#scram.first);
  }

  #challenged(text: string): string {
    const challenge = Buffer.from(text.slice(text.indexOf('>') + 1, text.lastIndexOf('<')), 'base64').toString(
      'latin1',
    );
    if (this.#scram === undefined) return `<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>AQ==</response>`;
    const answer = Buffer.from(this.#scram.answer(challenge), 'latin1').toString('base64');
    return `<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>${answer}</response>`;
  }
}

function auth(mechanism: string, response: string): string {
  const initial = Buffer.from(response, 'latin1').toString('base64');
  return `<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='${mechanism}'>${initial}</auth>`;
}

const contexts = new Map<string, SecureContext>();

/** One context for all connections that trust and offer the same: to make one costs more than a handshake. */
function contextOf(caFile: string | undefined, group: string | undefined): { secureContext: SecureContext } {
  const name = `${caFile} ${group}`;
  let secureContext = contexts.get(name);
  if (secureContext === undefined) {
    secureContext = createSecureContext({
      ...(caFile === undefined ? {} : { ca: readFileSync(caFile, 'utf8') }),
      ...(group === undefined ? {} : { ecdhCurve: group }),
    });
    contexts.set(name, secureContext);
  }
  return { secureContext };
}

/** Salted passwords by salt and count: a client keeps them (RFC 5802 section 5.1), and the generator must stay cheap. */
const salted = new Map<string, Buffer>();

class Scram {
  readonly first: string;
  readonly #bare: string;

  constructor(name: string) {
    this.#bare = `n=${name},r=${randomBytes(15).toString('base64url')}`;
    this.first = `n,,${this.#bare}`;
  }

  answer(challenge: string): string {
    const field = (name: string): string => new RegExp(`(?:^|,)${name}=([^,]+)`).exec(challenge)?.[1] ?? '';
    const key = `${field('s')} ${field('i')}`;
    let saltedPassword = salted.get(key);
    if (saltedPassword === undefined) {
      saltedPassword = pbkdf2Sync(password, Buffer.from(field('s'), 'base64'), Number(field('i')), 20, 'sha1');
      salted.set(key, saltedPassword);
    }
    const hmac = (by: Buffer, text: string): Buffer => createHmac('sha1', by).update(text).digest();
    const clientKey = hmac(saltedPassword, 'Client Key');
    const storedKey = createHash('sha1').update(clientKey).digest();
    const withoutProof = `c=biws,r=${field('r')}`;
    const signature = hmac(storedKey, `${this.#bare},${challenge},${withoutProof}`);
    const proof = clientKey.map((byte, index) => byte ^ signature[index]!);
    return `${withoutProof},p=${Buffer.from(proof).toString('base64')}`;
  }
}
