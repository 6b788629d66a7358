// What one device receives of a message, written in both encodings without a tree; its stamp. Knows nothing of mailboxes.
// Source: docs/protocol/06-stanzas.md section 6.1, section 10.4.

import { commitmentOpening, messageTokens as tokens, stampOpening } from '../compact-dictionary.ts';
import { shape, textShape } from '../compact-encoder.ts';
import type { CompactContext } from '../compact-value.ts';
import {
  type Child,
  type CompactStrokes,
  type Element,
  SelfWritten,
  attribute,
  childElement,
  isElement,
  ownText,
} from '../element.ts';
import { type InteropId, type StanzaId, isInteropId, isStanzaId, parseJid } from '../jid.ts';
import { NS_CLIENT, NS_DELIVERY, NS_E2EE, NS_HINTS } from '../namespaces.ts';
import { escapeValue } from '../xml-encoder.ts';
import { frankElements, messageChildren } from './elements.ts';
import type { Ciphertext, CiphertextKind, Digest, EnvelopeMessage, Stamp } from './messages.ts';
import { base64, ciphertextBytes, readDigest, textOfDigest } from './payload.ts';

/** Whose message it is: the sending device is the one that the envelope names. */
export type Sender = {
  readonly interopId: InteropId;
  readonly domain: string;
  /** `<interopId>@<domain>/<device>`. */
  readonly fullJid: string;
};

/** The element that one device receives (section 6.1), children in the order `envelope`, `no-store`, `silent`. */
export function deviceMessage(message: EnvelopeMessage, ciphertext: Ciphertext, sender: Sender): Element {
  return new DeviceMessageElement(message, ciphertext, sender);
}

/**
 * For whoever keeps a `deviceMessage` longer than a moment: a payload is a view of all that came in one frame, texts may
 * be parts of all that came in one read, and the message has the payloads of other devices too. Copies what is this
 * device's, and lets go of the rest. Repeats do nothing.
 */
export function detachMessage(el: Element): void {
  if (el instanceof DeviceMessageElement) el.detach();
}

/** What a stamp is about: who wrote to whom under which stanza id, and what the sender committed to. */
export type Stampable = {
  readonly from: InteropId;
  readonly to: InteropId;
  readonly id: StanzaId;
  /** 32 bytes. */
  readonly commitment: Uint8Array;
};

/** Undefined for whatever holds no commitment. `el` is what `deviceMessage` made, or the same read from storage. */
export function stampableOf(el: Element): Stampable | undefined {
  if (el instanceof DeviceMessageElement) return el.stampable;
  const digest = commitmentIn(childElement(el, 'envelope', NS_E2EE));
  if (digest === undefined) return undefined;
  const from = parseJid(attribute(el, 'from') ?? '')?.local;
  const to = parseJid(attribute(el, 'to') ?? '')?.local;
  const id = attribute(el, 'id');
  if (id === undefined || !isStanzaId(id)) return undefined;
  if (from === undefined || to === undefined || !isInteropId(from) || !isInteropId(to)) return undefined;
  return { from, to, id, commitment: ciphertextBytes(digest) };
}

function commitmentIn(envelope: Element | undefined): Digest | undefined {
  const commitment = envelope === undefined ? undefined : childElement(envelope, 'commitment', NS_E2EE);
  return commitment === undefined ? undefined : readDigest(commitment);
}

/** A message that holds a commitment, with a stamp behind it; without one (undefined), the commitment goes too. */
export function stamped(el: Element, stamp: Stamp | undefined): Element {
  if (el instanceof DeviceMessageElement) return el.stamped(stamp);
  const children = el.children.map(child => {
    if (!isElement(child) || child.name !== 'envelope' || child.ns !== NS_E2EE) return child;
    const digest = commitmentIn(child);
    const rest = child.children.filter(each => !isElement(each) || each.name !== 'commitment');
    const marks = digest === undefined || stamp === undefined ? [] : frankElements(digest, stamp);
    return { ...child, children: [...marks, ...rest] };
  });
  return { ...el, children };
}

/** Whether a device that is away is woken for it: an envelope without the word that nobody is to be woken. */
export function isLoud(el: Element): boolean {
  if (el instanceof DeviceMessageElement) return !el.isSilent;
  return childElement(el, 'envelope', NS_E2EE) !== undefined && childElement(el, 'silent', NS_DELIVERY) === undefined;
}

/** Holds the parsed message and writes it in one go; the tree is made only for those who want one. */
class DeviceMessageElement extends SelfWritten {
  readonly name = 'message';
  readonly ns: string = NS_CLIENT;
  private message: EnvelopeMessage;
  private ciphertext: Ciphertext;
  private readonly sender: Sender;
  private readonly stamp: Stamp | undefined;
  private isDetached = false;

  constructor(message: EnvelopeMessage, ciphertext: Ciphertext, sender: Sender, stamp?: Stamp) {
    super();
    this.message = message;
    this.ciphertext = ciphertext;
    this.sender = sender;
    this.stamp = stamp;
  }

  get stampable(): Stampable | undefined {
    const { commitment, to, id } = this.message;
    if (commitment === undefined) return undefined;
    return { from: this.sender.interopId, to: to.local, id, commitment: ciphertextBytes(commitment) };
  }

  stamped(stamp: Stamp | undefined): DeviceMessageElement {
    const message = stamp === undefined ? { ...this.message, commitment: undefined } : this.message;
    return new DeviceMessageElement(message, this.ciphertext, this.sender, stamp);
  }

  detach(): void {
    if (this.isDetached) return;
    this.isDetached = true;
    const { payload } = this.ciphertext;
    const isView = typeof payload === 'string' || payload.buffer.byteLength > payload.length;
    if (isView) this.ciphertext = { ...this.ciphertext, payload: Uint8Array.from(ciphertextBytes(payload)) };
    const { to, id, commitment } = this.message;
    this.message = {
      ...this.message,
      commitment: commitment === undefined ? undefined : Uint8Array.from(ciphertextBytes(commitment)),
      to: { local: ownText(to.local), domain: ownText(to.domain), resource: to.resource },
      id: ownText(id),
      ciphertexts: [this.ciphertext],
    };
  }

  get isSilent(): boolean {
    return this.message.silent;
  }

  private get to(): string {
    const { local, domain } = this.message.to;
    return `${local}@${domain}/${this.ciphertext.deviceId}`;
  }

  get attrs(): readonly string[] {
    const { id, type } = this.message;
    const attrs = ['to', this.to, 'from', this.sender.fullJid, 'id', id];
    if (type !== undefined) attrs.push('type', type);
    return attrs;
  }

  get children(): readonly Child[] {
    return messageChildren(this.message, [this.ciphertext], this.stamp);
  }

  toXml(): string {
    // Ids, suites, kinds and payloads passed the gate's alphabets, which hold nothing to escape; addresses may.
    const { id, type, suite, fromDevice, commitment, noStore, silent } = this.message;
    const { deviceId, registrationId, kind, payload } = this.ciphertext;
    let xml = `<message to='${escapeValue(this.to)}' from='${escapeValue(this.sender.fullJid)}' id='${id}'`;
    if (type !== undefined) xml += ` type='${type}'`;
    xml += `><envelope xmlns='${NS_E2EE}' suite='${suite}' from-device='${fromDevice}'>`;
    if (commitment !== undefined) xml += `<commitment>${textOfDigest(commitment)}</commitment>`;
    if (this.stamp !== undefined) xml += `<stamp at='${this.stamp.atMs}'>${textOfDigest(this.stamp.mac)}</stamp>`;
    xml += `<ciphertext device='${deviceId}'`;
    if (registrationId !== undefined) xml += ` registration='${registrationId}'`;
    xml += ` kind='${kind}'>`;
    xml += typeof payload === 'string' ? payload : base64(payload);
    xml += '</ciphertext></envelope>';
    if (noStore) xml += noStoreXml;
    if (silent) xml += silentXml;
    return `${xml}</message>`;
  }

  writeCompact(writer: CompactStrokes, context: CompactContext): void {
    const { to, id, type, suite, fromDevice, commitment, noStore, silent } = this.message;
    const { deviceId, registrationId, kind, payload } = this.ciphertext;
    const { interopId, domain } = this.sender;
    const { stamp } = this;
    writer.byte(tokens.message);
    writer.byte(shape(type === undefined ? 3 : 4, 1 + (noStore ? 1 : 0) + (silent ? 1 : 0)));
    writer.byte(tokens.to);
    writer.interopAddress(to.local, to.domain, deviceId, context);
    writer.byte(tokens.from);
    writer.interopAddress(interopId, domain, fromDevice, context);
    writer.attribute('id', id, context);
    if (type !== undefined) writer.byte(type === 'chat' ? tokens.typeChat : tokens.typeNormal);
    writer.byte(tokens.envelope);
    writer.byte(shape(2, 1 + (commitment === undefined ? 0 : 1) + (stamp === undefined ? 0 : 1)));
    if (suite === 'signal-1') writer.byte(tokens.suiteSignal1);
    else writer.attribute('suite', suite, context);
    writer.byte(tokens.fromDevice);
    writer.byte(fromDevice);
    if (commitment !== undefined) {
      for (const byte of commitmentOpening) writer.byte(byte);
      writer.byte(textShape(0));
      writer.textChild(commitment, true, context);
    }
    if (stamp !== undefined) {
      for (const byte of stampOpening) writer.byte(byte);
      writer.byte(textShape(1));
      writer.attribute('at', String(stamp.atMs), context);
      writer.textChild(stamp.mac, true, context);
    }
    writer.byte(tokens.ciphertext);
    writer.byte(textShape(registrationId === undefined ? 2 : 3));
    writer.byte(tokens.device);
    writer.byte(deviceId);
    if (registrationId !== undefined) writer.attribute('registration', String(registrationId), context);
    writer.byte(kindTokens[kind]);
    if (typeof payload === 'string') writer.base64Text(payload, context);
    else writer.textChild(payload, true, context);
    if (noStore) writer.emptyElement(tokens.noStore);
    if (silent) writer.emptyElement(tokens.silent);
  }
}

const kindTokens: Readonly<Record<CiphertextKind, number>> = {
  prekey: tokens.kindPrekey,
  session: tokens.kindSession,
  'plaintext-retry': tokens.kindPlaintextRetry,
};
const noStoreXml = `<no-store xmlns='${NS_HINTS}'/>`;
const silentXml = `<silent xmlns='${NS_DELIVERY}'/>`;
