// What a load generator is told about a server, and the messages it sends there. Knows nothing of connections.
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { element, type Element } from '@drawbridge/wire/element';
import { NS_CLIENT } from '@drawbridge/wire/namespaces';

export const domain = 'localhost';
export const password = 'correct-horse-battery';

export type Carrier = 'xml' | 'compact';

export type Target = {
  readonly name: string;
  /** The process whose CPU time and memory count. */
  readonly pid: number;
  readonly port: number;
  readonly carrier: Carrier;
  /** Direct TLS (XEP-0368); the compact carrier has its own encryption. */
  readonly tls: boolean;
  /** PEM of the authority to trust. */
  readonly caFile: string | undefined;
  /** The server has been started with profile-hook.ts. */
  readonly profiled?: boolean;
  /** The server has been started with collect-hook.ts, and says here that it has collected. */
  readonly collectFolder?: string;
  readonly accounts:
    | {
        readonly kind: 'sandbox';
        readonly file: string;
        readonly proofsPort: number;
        readonly httpPort: number;
      }
    /** u0, u1, … with one password. */
    | { readonly kind: 'named'; readonly sasl: 'plain' | 'scram' };
};

export type Person = {
  readonly index: number;
  readonly bareJid: string;
  readonly device: number;
  /** X25519 private key, 32 bytes; of sandbox accounts only. */
  readonly devicePrivateKey: Uint8Array | undefined;
};

export function readPeople(target: Target, count: number): Person[] {
  const { accounts } = target;
  if (accounts.kind === 'named') {
    return Array.from({ length: count }, (_, index) => ({
      index,
      bareJid: `u${index}@${domain}`,
      device: 1,
      devicePrivateKey: undefined,
    }));
  }
  const lines = readFileSync(accounts.file, 'utf8').trimEnd().split('\n');
  if (lines.length < count) throw new Error(`the sandbox has ${lines.length} accounts, ${count} are needed`);
  return lines.slice(0, count).map((line, index) => {
    const { jid, device, deviceKey } = JSON.parse(line) as { jid: string; device: number; deviceKey: { d: string } };
    return {
      index,
      bareJid: jid.slice(0, jid.indexOf('/')),
      device,
      devicePrivateKey: Buffer.from(deviceKey.d, 'base64url'),
    };
  });
}

/** Fresh ownership proofs of accounts `from` … `from + count - 1`, in order; undefined for servers with passwords. */
export async function fetchProofs(target: Target, from: number, count: number): Promise<string[] | undefined> {
  const { accounts, carrier } = target;
  if (accounts.kind !== 'sandbox') return undefined;
  const proofs: string[] = [];
  const transport = carrier === 'xml' ? 'xmpp' : 'compact';
  for (let at = from; at < from + count; at += 1_000) {
    const part = Math.min(1_000, from + count - at);
    const url = `http://127.0.0.1:${accounts.proofsPort}/sandbox/proofs?from=${at}&count=${part}&transport=${transport}`;
    const response = await fetch(url);
    const text = await response.text();
    if (!response.ok) throw new Error(`no proofs: ${response.status} ${text.slice(0, 200)}`);
    for (const line of text.trimEnd().split('\n')) proofs.push((JSON.parse(line) as { proof: string }).proof);
  }
  return proofs;
}

/**
 * How large messages are. `equal-bytes`: a ciphertext that makes our stanza as long as the peers' with its body of 400
 * bytes. `equal-content`: what a text of 400 bytes really becomes (padded to 480 bytes, libsignal adds 106).
 */
export type Payload = 'equal-bytes' | 'equal-content';
export type MessageKind = 'text' | 'receipt';

export const bodyBytes = 400;
export const ciphertextBytes: Readonly<Record<Payload, Readonly<Record<MessageKind, number>>>> = {
  'equal-bytes': { text: 183, receipt: 183 },
  // A receipt is content like any other: padded to 160 bytes, and libsignal's 106.
  'equal-content': { text: 586, receipt: 266 },
};

/** Ids are a letter for the kind and a number. */
const idLetter = { text: 'm', receipt: 'r' } as const;
export const receiptLetter = 0x72;

export function messageId(kind: MessageKind, id: number): string {
  return idLetter[kind] + String(id);
}

/** What stands before and after the id in a message from one person to another: computed once for each pair. */
export type MessageText = { readonly before: string; readonly after: string };

export function messageText(
  target: Target,
  from: Person,
  to: Person,
  kind: MessageKind,
  payload: Payload,
): MessageText {
  const before = `<message to='${to.bareJid}' id='${idLetter[kind]}`;
  if (target.accounts.kind === 'sandbox') {
    const ciphertext = randomBytes(ciphertextBytes[payload][kind]).toString('base64');
    return {
      before,
      after:
        `' type='chat'><envelope xmlns='urn:drawbridge:e2ee:1' suite='signal-1' from-device='${from.device}'>` +
        `<ciphertext device='${to.device}' kind='session'>${ciphertext}</ciphertext></envelope></message>`,
    };
  }
  return {
    before,
    after:
      kind === 'text'
        ? `' type='chat'><body>${'x'.repeat(bodyBytes)}</body></message>`
        : `'><received xmlns='urn:xmpp:receipts' id='m00000000'/></message>`,
  };
}

/** The same message as a tree, for the compact carrier. */
export function messageElement(from: Person, to: Person, id: string, ciphertext: Uint8Array): Element {
  return element('message', NS_CLIENT, { to: to.bareJid, id, type: 'chat' }, [
    element('envelope', 'urn:drawbridge:e2ee:1', { suite: 'signal-1', 'from-device': String(from.device) }, [
      element('ciphertext', 'urn:drawbridge:e2ee:1', { device: String(to.device), kind: 'session' }, [ciphertext]),
    ]),
  ]);
}
