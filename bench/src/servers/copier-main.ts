// The copier: about the least that a server in this runtime can do. Lets everybody in, finds the ends of stanzas, looks up
// the recipient, stamps `from`, passes the bytes on. Checks nothing, keeps nothing, acknowledges nothing. The limit to
// compare with, never a server. With `sealed` it opens and seals what the compact transport would, read by read and write by write.
import { readFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { platformCrypto } from '@drawbridge/noise/platform-crypto';
import { StanzaScanner } from '../load/stanza-scanner.ts';

const sessions = new Map<string, Session>();
const dirty: Session[] = [];

const [port, tlsPort, cert = '', key = '', sealed] = process.argv.slice(2);
/** Of the bytes of XML, what the same messages have in the compact form (`chat.json`). */
const compactShare = 0.53;
const noData = new Uint8Array(0);
const aead = platformCrypto.suite('ChaChaPoly', 'SHA256').aead(new Uint8Array(32));
const text = new Uint8Array(1024 * 1024);
const frames = new Map<number, Uint8Array>();

function seal(length: number): Uint8Array {
  const frame = Buffer.allocUnsafe(length + 16);
  aead.seal(0, 0, noData, text.subarray(0, length), frame, 0);
  return frame;
}

/** One of the same size, sealed before. */
function open(length: number): void {
  let frame = frames.get(length);
  if (frame === undefined) frames.set(length, (frame = Uint8Array.from(seal(length))));
  if (aead.open(0, 0, noData, frame) === undefined) throw new Error('not opened');
}

class Session {
  readonly #socket: Socket;
  readonly #scanner: StanzaScanner;
  #name = '';
  #authenticated = false;
  #out = '';

  constructor(socket: Socket) {
    this.#socket = socket;
    this.#scanner = new StanzaScanner({
      header: () => this.#header(),
      stanza: (bytes, start, tagEnd, end) => this.#stanza(bytes, start, tagEnd, end),
      ended: () => socket.end('</stream:stream>'),
    });
    socket.on('data', (chunk: Buffer) => {
      if (sealed !== undefined) open(Math.floor(chunk.length * compactShare));
      this.#scanner.push(chunk);
    });
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      if (sessions.get(this.#name) === this) sessions.delete(this.#name);
    });
  }

  write(text: string): void {
    if (this.#out === '' && dirty.push(this) === 1) setImmediate(flushAll);
    this.#out += text;
  }

  flush(): void {
    const out = this.#out;
    this.#out = '';
    if (sealed !== undefined) seal(Math.floor(out.length * compactShare));
    if (this.#socket.writable) this.#socket.write(out, 'latin1');
  }

  #header(): void {
    const features = this.#authenticated
      ? `<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>`
      : `<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms>`;
    this.write(
      `<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' ` +
        `from='localhost' id='1' version='1.0'><stream:features>${features}</stream:features>`,
    );
  }

  #stanza(bytes: Buffer, start: number, tagEnd: number, end: number): void {
    const tag = bytes.toString('latin1', start, tagEnd);
    if (tag.startsWith('<message')) {
      const at = tag.indexOf(`to='`) + 4;
      const recipient = sessions.get(tag.slice(at, tag.indexOf('@', at)));
      recipient?.write(`<message from='${this.#name}@localhost/1'${bytes.toString('latin1', start + 8, end)}`);
    } else if (tag.startsWith('<auth')) {
      const text = bytes.toString('latin1', tagEnd, bytes.indexOf('<', tagEnd));
      this.#name = Buffer.from(text, 'base64').toString('latin1').split('\0')[1] ?? '';
      this.#authenticated = true;
      this.#scanner.restart();
      this.write(`<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>`);
    } else if (tag.startsWith('<iq')) {
      sessions.set(this.#name, this);
      this.write(`<iq type='result' id='b'/>`);
    }
  }
}

function flushAll(): void {
  for (const session of dirty.splice(0)) session.flush();
}

createServer({ noDelay: true }, socket => new Session(socket)).listen(Number(port), '127.0.0.1');
createTlsServer({ noDelay: true, cert: readFileSync(cert), key: readFileSync(key) }, socket => new Session(socket))
  .on('tlsClientError', (_error, socket) => socket.destroy())
  .listen(Number(tlsPort), '127.0.0.1');
process.on('disconnect', () => process.exit(0));
