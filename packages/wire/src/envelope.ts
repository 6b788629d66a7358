// The gate of end-to-end encryption: the closed schema of a message, what each device receives, and the device-list
// error. Knows nothing of accounts, of admitted suites or of what a ciphertext holds.
// Source: docs/protocol/06-stanzas.md section 6.1; RFC 4648 section 4; XEP-0334; XEP-0203.

import { commitmentOpening, messageTokens as tokens, stampOpening } from './compact-dictionary.ts';
import { shape, textShape } from './compact-encoder.ts';
import type { CompactContext } from './compact-value.ts';
import {
  type Child,
  type CompactStrokes,
  type Element,
  SelfWritten,
  attribute,
  childElement,
  element,
  isElement,
  ownText,
} from './element.ts';
import { parseDateTime } from './date-time.ts';
import {
  type Jid,
  formatJid,
  isInteropId,
  isStanzaId,
  parseDeviceId,
  parseJid,
  parseRegistrationId,
  type InteropId,
  type StanzaId,
} from './jid.ts';
import { digestBytes, maxCiphertextBytes, maxCiphertexts, maxEnvelopeBytes, maxSuiteLength } from './limits.ts';
import { NS_CLIENT, NS_DELAY, NS_DELIVERY, NS_E2EE, NS_ERRORS, NS_HINTS } from './namespaces.ts';
import { type StanzaErrorCondition, stanzaErrorElement } from './stanza-error.ts';
import { escapeValue } from './xml-encoder.ts';

/** Inside a session: what is end-to-end encrypted. */
export type SessionKind = 'prekey' | 'session';
export type CiphertextKind = SessionKind | 'plaintext-retry';

/** One device's ciphertext: bytes, or the canonical base64 of them, whichever arrived. */
export type Ciphertext = {
  readonly deviceId: number;
  /** The registration id the sender expects of the device; undefined when it named none. */
  readonly registrationId: number | undefined;
  readonly kind: CiphertextKind;
  readonly payload: string | Uint8Array;
};

/** A commitment or a stamp: 32 bytes, or the canonical base64 of them, whichever arrived. */
export type Digest = string | Uint8Array;

/** The gatekeeper's word that it took a message with this commitment over at this time (section 10.4). */
export type Stamp = { readonly atMs: number; readonly mac: Digest };

/** A message that passed the gate. */
export type EnvelopeMessage = {
  readonly kind: 'envelope-message';
  /** `InteropId@domain` (all devices), or with a device id as resource (that device alone). */
  readonly to: Jid;
  /** The device that `to` names, or undefined when all are meant. */
  readonly toDevice: number | undefined;
  readonly id: StanzaId;
  readonly type: 'chat' | 'normal' | undefined;
  readonly suite: string;
  readonly fromDevice: number;
  /** What its sender commits to (section 10.4); undefined when it commits to nothing. */
  readonly commitment: Digest | undefined;
  /** 1..127 of them, each device once. */
  readonly ciphertexts: readonly Ciphertext[];
  /** All payloads together, as bytes. */
  readonly payloadBytes: number;
  readonly noStore: boolean;
  readonly silent: boolean;
};

/** What one device receives. */
export type DeviceMessage = {
  readonly kind: 'device-message';
  readonly from: Jid;
  readonly to: Jid;
  readonly id: StanzaId;
  readonly type: 'chat' | 'normal' | undefined;
  readonly suite: string;
  /** The sending device; always the resource of `from`. */
  readonly fromDevice: number;
  readonly commitment: Digest | undefined;
  /** Only beside a commitment. */
  readonly stamp: Stamp | undefined;
  readonly ciphertext: Ciphertext;
  readonly noStore: boolean;
  readonly silent: boolean;
  /** When the message was accepted, if it waited in the mailbox. */
  readonly delayedSince: string | undefined;
};

export type EnvelopeRefusalCode =
  | 'not-a-message'
  | 'error-message'
  | 'type-refused'
  | 'attribute-refused'
  | 'id-refused'
  | 'to-malformed'
  | 'to-nobody'
  | 'from-malformed'
  | 'text-refused'
  | 'child-refused'
  | 'child-repeated'
  | 'envelope-missing'
  | 'suite-malformed'
  | 'device-malformed'
  | 'device-repeated'
  | 'registration-malformed'
  | 'kind-refused'
  | 'ciphertext-count'
  | 'ciphertext-malformed'
  | 'ciphertext-too-large'
  | 'envelope-too-large'
  | 'commitment-malformed'
  | 'delay-malformed';

/** Why a message is not carried. `code` is for logs and counters; the sender learns what `envelopeRefusalElement` says. */
export type EnvelopeRefusal = { readonly kind: 'refused'; readonly code: EnvelopeRefusalCode };

const gateAnswer: StanzaErrorCondition = 'policy-violation';

/** For each refusal the stanza condition its sender gets; undefined: nothing answers it. */
export const envelopeRefusals: Readonly<Record<EnvelopeRefusalCode, StanzaErrorCondition | undefined>> = {
  'not-a-message': gateAnswer,
  'error-message': undefined,
  'type-refused': gateAnswer,
  'attribute-refused': gateAnswer,
  'id-refused': gateAnswer,
  'to-malformed': 'jid-malformed',
  // As for everybody who can't be reached.
  'to-nobody': 'service-unavailable',
  'from-malformed': gateAnswer,
  'text-refused': gateAnswer,
  'child-refused': gateAnswer,
  'child-repeated': gateAnswer,
  'envelope-missing': gateAnswer,
  'suite-malformed': gateAnswer,
  'device-malformed': gateAnswer,
  'device-repeated': gateAnswer,
  'registration-malformed': gateAnswer,
  'kind-refused': gateAnswer,
  'ciphertext-count': gateAnswer,
  'ciphertext-malformed': gateAnswer,
  'ciphertext-too-large': gateAnswer,
  'envelope-too-large': gateAnswer,
  'commitment-malformed': gateAnswer,
  'delay-malformed': gateAnswer,
};

/** The `<error/>` for a refusal, or undefined when nothing may answer it. */
export function envelopeRefusalElement(code: EnvelopeRefusalCode): Element | undefined {
  const condition = envelopeRefusals[code];
  if (condition === undefined) return undefined;
  if (condition !== gateAnswer) return stanzaErrorElement(condition);
  return stanzaErrorElement(condition, { type: 'modify', application: element('envelope-required', NS_ERRORS) });
}

function refused(code: EnvelopeRefusalCode): EnvelopeRefusal {
  return { kind: 'refused', code };
}

/**
 * Reads a message as a client sends it and lets nothing through but the closed schema.
 *
 * `from` may be present with any value (the gatekeeper replaces it), `xml:lang` too (it is dropped); neither is in the
 * result. One pass over the tree; payloads are checked, not converted.
 */
export function parseEnvelopeMessage(el: Element): EnvelopeMessage | EnvelopeRefusal {
  if (el instanceof EnvelopeElement) return el.message;
  if (el.name !== 'message' || el.ns !== NS_CLIENT) return refused('not-a-message');
  let toText: string | undefined;
  let id: string | undefined;
  let type: string | undefined;
  const attrs = el.attrs;
  for (let i = 0; i < attrs.length; i += 2) {
    const value = attrs[i + 1]!;
    switch (attrs[i]) {
      case 'to':
        toText = value;
        break;
      case 'id':
        id = value;
        break;
      case 'type':
        type = value;
        break;
      case 'from':
      case 'xml:lang':
        break;
      default:
        // An error stays an error whatever else it holds: nothing ever answers one.
        return refused(attribute(el, 'type') === 'error' ? 'error-message' : 'attribute-refused');
    }
  }
  if (type !== undefined && type !== 'chat' && type !== 'normal') {
    return refused(type === 'error' ? 'error-message' : 'type-refused');
  }
  if (id === undefined || !isStanzaId(id)) return refused('id-refused');
  const to = toText === undefined ? undefined : parseJid(toText);
  if (to === undefined) return refused('to-malformed');
  if (!isInteropId(to.local)) return refused('to-nobody');
  let toDevice: number | undefined;
  if (to.resource !== '') {
    toDevice = parseDeviceId(to.resource);
    if (toDevice === undefined) return refused('to-nobody');
  }

  const body = readBody(el, false);
  if (body.kind === 'refused') return body;
  return {
    kind: 'envelope-message',
    to,
    toDevice,
    id,
    type,
    suite: body.suite,
    fromDevice: body.fromDevice,
    commitment: body.commitment,
    ciphertexts: body.ciphertexts,
    payloadBytes: body.payloadBytes,
    noStore: body.noStore,
    silent: body.silent,
  };
}

/**
 * Reads a message as a device receives it: full addresses of both sides, exactly one ciphertext, and it is for the
 * device that `to` names. The gatekeeper is not trusted to keep to the schema.
 */
export function parseDeviceMessage(el: Element): DeviceMessage | EnvelopeRefusal {
  if (el.name !== 'message' || el.ns !== NS_CLIENT) return refused('not-a-message');
  const type = attribute(el, 'type');
  if (type !== undefined && type !== 'chat' && type !== 'normal') {
    return refused(type === 'error' ? 'error-message' : 'type-refused');
  }
  for (let i = 0; i < el.attrs.length; i += 2) {
    const name = el.attrs[i];
    if (name !== 'to' && name !== 'from' && name !== 'id' && name !== 'type') return refused('attribute-refused');
  }
  const id = attribute(el, 'id');
  if (id === undefined || !isStanzaId(id)) return refused('id-refused');
  const to = parseJid(attribute(el, 'to') ?? '');
  const from = parseJid(attribute(el, 'from') ?? '');
  if (to === undefined || !isInteropId(to.local)) return refused('to-malformed');
  if (from === undefined || !isInteropId(from.local)) return refused('from-malformed');

  const body = readBody(el, true);
  if (body.kind === 'refused') return body;
  const ciphertext = body.ciphertexts[0]!;
  if (body.ciphertexts.length !== 1) return refused('ciphertext-count');
  if (parseDeviceId(to.resource) !== ciphertext.deviceId) return refused('to-malformed');
  if (parseDeviceId(from.resource) !== body.fromDevice) return refused('from-malformed');
  return {
    kind: 'device-message',
    from,
    to,
    id,
    type,
    suite: body.suite,
    fromDevice: body.fromDevice,
    commitment: body.commitment,
    stamp: body.stamp,
    ciphertext,
    noStore: body.noStore,
    silent: body.silent,
    delayedSince: body.delayedSince,
  };
}

type Body = {
  readonly kind: 'body';
  readonly suite: string;
  readonly fromDevice: number;
  readonly commitment: Digest | undefined;
  readonly stamp: Stamp | undefined;
  readonly ciphertexts: readonly Ciphertext[];
  readonly payloadBytes: number;
  readonly noStore: boolean;
  readonly silent: boolean;
  readonly delayedSince: string | undefined;
};

/** The children of a message, in any order; `<delay/>` and `<stamp/>` only where the gatekeeper is the sender. */
function readBody(el: Element, fromGatekeeper: boolean): Body | EnvelopeRefusal {
  let envelope: Element | undefined;
  let noStore = false;
  let silent = false;
  let delayedSince: string | undefined;
  for (const child of el.children) {
    if (!isElement(child)) return refused('text-refused');
    if (child.name === 'envelope' && child.ns === NS_E2EE) {
      if (envelope !== undefined) return refused('child-repeated');
      envelope = child;
    } else if (child.name === 'no-store' && child.ns === NS_HINTS) {
      if (noStore) return refused('child-repeated');
      if (child.attrs.length > 0 || child.children.length > 0) return refused('child-refused');
      noStore = true;
    } else if (child.name === 'silent' && child.ns === NS_DELIVERY) {
      if (silent) return refused('child-repeated');
      if (child.attrs.length > 0 || child.children.length > 0) return refused('child-refused');
      silent = true;
    } else if (fromGatekeeper && child.name === 'delay' && child.ns === NS_DELAY) {
      if (delayedSince !== undefined) return refused('child-repeated');
      delayedSince = readDelay(child);
      if (delayedSince === undefined) return refused('delay-malformed');
    } else return refused('child-refused');
  }
  if (envelope === undefined) return refused('envelope-missing');
  const inside = readEnvelope(envelope, fromGatekeeper);
  return inside.kind === 'refused' ? inside : { ...inside, kind: 'body', noStore, silent, delayedSince };
}

type Inside = Omit<Body, 'kind' | 'noStore' | 'silent' | 'delayedSince'> & { readonly kind: 'envelope' };

function readEnvelope(envelope: Element, fromGatekeeper: boolean): Inside | EnvelopeRefusal {
  let suite: string | undefined;
  let fromDevice: number | undefined;
  for (let i = 0; i < envelope.attrs.length; i += 2) {
    const value = envelope.attrs[i + 1]!;
    if (envelope.attrs[i] === 'suite') suite = value;
    else if (envelope.attrs[i] === 'from-device') fromDevice = parseDeviceId(value);
    else return refused('attribute-refused');
  }
  if (suite === undefined || !isSuiteName(suite)) return refused('suite-malformed');
  if (fromDevice === undefined) return refused('device-malformed');

  const children = envelope.children;
  const ciphertexts: Ciphertext[] = [];
  let commitment: Digest | undefined;
  let stamp: Stamp | undefined;
  let payloadBytes = 0;
  for (const child of children) {
    if (!isElement(child)) return refused('text-refused');
    if (child.name === 'commitment' && child.ns === NS_E2EE) {
      if (commitment !== undefined) return refused('child-repeated');
      commitment = child.attrs.length === 0 ? readDigest(child) : undefined;
      if (commitment === undefined) return refused('commitment-malformed');
      continue;
    }
    if (fromGatekeeper && child.name === 'stamp' && child.ns === NS_E2EE) {
      if (stamp !== undefined) return refused('child-repeated');
      stamp = readStamp(child);
      if (stamp === undefined) return refused('commitment-malformed');
      continue;
    }
    if (ciphertexts.length === maxCiphertexts) return refused('ciphertext-count');
    if (child.name !== 'ciphertext' || child.ns !== NS_E2EE) return refused('child-refused');
    const ciphertext = readCiphertext(child);
    if (typeof ciphertext === 'string') return refused(ciphertext);
    // At most 127: looking through the ones before is cheaper than any set.
    for (let i = 0; i < ciphertexts.length; i++) {
      if (ciphertexts[i]!.deviceId === ciphertext.deviceId) return refused('device-repeated');
    }
    payloadBytes += payloadSize(ciphertext.payload);
    ciphertexts.push(ciphertext);
  }
  if (ciphertexts.length === 0) return refused('ciphertext-count');
  if (stamp !== undefined && commitment === undefined) return refused('commitment-malformed');
  if (payloadBytes > maxEnvelopeBytes) return refused('envelope-too-large');
  return { kind: 'envelope', suite, fromDevice, commitment, stamp, ciphertexts, payloadBytes };
}

/** 32 bytes, alone in their element. */
function readDigest(el: Element): Digest | undefined {
  const [digest] = el.children;
  if (digest === undefined || el.children.length !== 1 || isElement(digest)) return undefined;
  if (typeof digest !== 'string') return digest.length === digestBytes ? digest : undefined;
  return digest.length === digestTextLength && isCanonicalBase64(digest) && payloadSize(digest) === digestBytes
    ? digest
    : undefined;
}

function readStamp(el: Element): Stamp | undefined {
  const at = el.attrs.length === 2 ? attribute(el, 'at') : undefined;
  const mac = readDigest(el);
  if (at === undefined || mac === undefined || !/^[1-9][0-9]{0,14}$/.test(at)) return undefined;
  return { atMs: Number(at), mac };
}

function readCiphertext(el: Element): Ciphertext | EnvelopeRefusalCode {
  let deviceId: number | undefined;
  let registrationId: number | undefined;
  let kind: CiphertextKind | undefined;
  for (let i = 0; i < el.attrs.length; i += 2) {
    const value = el.attrs[i + 1]!;
    switch (el.attrs[i]) {
      case 'device':
        deviceId = parseDeviceId(value);
        break;
      case 'registration':
        registrationId = parseRegistrationId(value);
        if (registrationId === undefined) return 'registration-malformed';
        break;
      case 'kind':
        if (value !== 'prekey' && value !== 'session' && value !== 'plaintext-retry') return 'kind-refused';
        kind = value;
        break;
      default:
        return 'attribute-refused';
    }
  }
  if (deviceId === undefined) return 'device-malformed';
  if (kind === undefined) return 'kind-refused';
  const payload = el.children[0];
  if (payload === undefined || el.children.length !== 1) return 'ciphertext-malformed';
  if (isElement(payload)) return 'child-refused';
  if (typeof payload === 'string') {
    if (payload.length > maxCiphertextTextLength) return 'ciphertext-too-large';
    if (!isCanonicalBase64(payload)) return 'ciphertext-malformed';
  }
  const size = payloadSize(payload);
  if (size > maxCiphertextBytes) return 'ciphertext-too-large';
  if (size === 0) return 'ciphertext-malformed';
  return { deviceId, registrationId, kind, payload };
}

const digestTextLength = Math.ceil(digestBytes / 3) * 4;
const maxCiphertextTextLength = Math.ceil(maxCiphertextBytes / 3) * 4;

/** Bytes of a payload; a string is canonical base64 already. */
function payloadSize(payload: string | Uint8Array): number {
  if (typeof payload !== 'string') return payload.length;
  const length = payload.length;
  if (length === 0) return 0;
  const whole = (length / 4) * 3;
  if (payload.charCodeAt(length - 1) !== equals) return whole;
  return payload.charCodeAt(length - 2) === equals ? whole - 2 : whole - 1;
}

function isSuiteName(text: string): boolean {
  if (text.length === 0 || text.length > maxSuiteLength) return false;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (!((c >= 0x61 && c <= 0x7a) || (c >= 0x30 && c <= 0x39) || c === 0x2d)) return false;
  }
  return true;
}

/** The stamp of `<delay from=domain stamp=UTC/>` (XEP-0203, XEP-0082), or undefined. */
function readDelay(el: Element): string | undefined {
  if (el.children.length > 0 || el.attrs.length !== 4) return undefined;
  const from = attribute(el, 'from');
  const stamp = attribute(el, 'stamp');
  if (from === undefined || stamp === undefined || parseJid(from) === undefined) return undefined;
  return parseDateTime(stamp) === undefined ? undefined : stamp;
}

const equals = 0x3d;
/** Where payloads are decoded to be looked at; nothing in it outlives a call. */
const scratch = Buffer.allocUnsafeSlow((maxCiphertextTextLength / 4) * 3);

/**
 * Whether the text is the one base64 form of some bytes (RFC 4648 section 4): whole groups of four, no white space,
 * padding where it belongs and nowhere else, unused bits zero (section 3.5).
 *
 * Decoding and encoding again is the test: only the canonical form comes back as it was. Both run in native code, a
 * fifth of the time of any loop over the characters.
 */
export function isCanonicalBase64(text: string): boolean {
  if (text.length % 4 !== 0) return false;
  const bytes = text.length > maxCiphertextTextLength ? Buffer.alloc((text.length / 4) * 3) : scratch;
  return bytes.toString('base64', 0, bytes.write(text, 0, 'base64')) === text;
}

/** The bytes of a payload; of a string, those it is the base64 of (it must be canonical, as every parsed one is). */
export function ciphertextBytes(payload: string | Uint8Array): Uint8Array {
  return typeof payload === 'string' ? Buffer.from(payload, 'base64') : payload;
}

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

function frankElements(commitment: Digest | undefined, stamp: Stamp | undefined): Element[] {
  if (commitment === undefined) return [];
  const first = element('commitment', NS_E2EE, undefined, [commitment]);
  if (stamp === undefined) return [first];
  return [first, element('stamp', NS_E2EE, { at: String(stamp.atMs) }, [stamp.mac])];
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
    if (type !== undefined) writer.attribute('type', type, context);
    writer.byte(tokens.envelope);
    writer.byte(shape(2, 1 + (commitment === undefined ? 0 : 1) + (stamp === undefined ? 0 : 1)));
    writer.attribute('suite', suite, context);
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
    writer.attribute('kind', kind, context);
    if (typeof payload === 'string') writer.base64Text(payload, context);
    else writer.textChild(payload, true, context);
    if (noStore) writer.emptyElement(tokens.noStore);
    if (silent) writer.emptyElement(tokens.silent);
  }
}

/**
 * A message that a decoder has read straight into its parsed form, having seen that it fits the closed schema: nothing
 * is left for `parseEnvelopeMessage` to do. The tree is made only for those who want one.
 */
export class EnvelopeElement implements Element {
  readonly name = 'message';
  readonly ns: string = NS_CLIENT;
  readonly message: EnvelopeMessage;

  constructor(message: EnvelopeMessage) {
    this.message = message;
  }

  get attrs(): readonly string[] {
    const { to, id, type } = this.message;
    const attrs = ['to', formatJid(to), 'id', id];
    if (type !== undefined) attrs.push('type', type);
    return attrs;
  }

  get children(): readonly Child[] {
    return messageChildren(this.message, this.message.ciphertexts);
  }
}

type Around = Pick<EnvelopeMessage, 'suite' | 'fromDevice' | 'commitment' | 'noStore' | 'silent'>;

function messageChildren(
  { suite, fromDevice, commitment, noStore, silent }: Around,
  ciphertexts: readonly Ciphertext[],
  stamp?: Stamp,
): readonly Child[] {
  const frank = frankElements(commitment, stamp);
  const children: Child[] = [envelopeElement(suite, fromDevice, [...frank, ...ciphertexts.map(ciphertextElement)])];
  if (noStore) children.push(noStoreElement);
  if (silent) children.push(silentElement);
  return children;
}

const noStoreXml = `<no-store xmlns='${NS_HINTS}'/>`;
const silentXml = `<silent xmlns='${NS_DELIVERY}'/>`;

function textOfDigest(digest: Digest): string {
  return typeof digest === 'string' ? digest : base64(digest);
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}

/** The message a client sends: what `parseEnvelopeMessage` reads back. */
export function encodeEnvelopeMessage(
  message: Omit<EnvelopeMessage, 'kind' | 'to' | 'toDevice' | 'payloadBytes' | 'commitment'> & {
    readonly to: string;
    readonly commitment?: Digest | undefined;
  },
): Element {
  const attrs = ['to', message.to, 'id', message.id];
  if (message.type !== undefined) attrs.push('type', message.type);
  return {
    name: 'message',
    ns: NS_CLIENT,
    attrs,
    children: messageChildren({ commitment: undefined, ...message }, message.ciphertexts),
  };
}

const noStoreElement = element('no-store', NS_HINTS);
const silentElement = element('silent', NS_DELIVERY);

function envelopeElement(suite: string, fromDevice: number, children: readonly Element[]): Element {
  return { name: 'envelope', ns: NS_E2EE, attrs: ['suite', suite, 'from-device', String(fromDevice)], children };
}

function ciphertextElement(ciphertext: Ciphertext): Element {
  const attrs = ['device', String(ciphertext.deviceId)];
  if (ciphertext.registrationId !== undefined) attrs.push('registration', String(ciphertext.registrationId));
  attrs.push('kind', ciphertext.kind);
  return { name: 'ciphertext', ns: NS_E2EE, attrs, children: [ciphertext.payload] };
}

/** How an envelope's set of devices differs from the recipient's. */
export type DeviceList = {
  /** Active devices without a ciphertext. */
  readonly missing: readonly number[];
  /** Ciphertexts for devices that are not active. */
  readonly extra: readonly number[];
  /** Devices whose registration id is another one: a device that was made again. */
  readonly stale: readonly number[];
};

/** `<error type='modify'><conflict/><device-list/></error>`. */
export function deviceListError(list: DeviceList): Element {
  const children = [
    ...list.missing.map(id => element('missing', NS_E2EE, { device: String(id) })),
    ...list.extra.map(id => element('extra', NS_E2EE, { device: String(id) })),
    ...list.stale.map(id => element('stale', NS_E2EE, { device: String(id) })),
  ];
  return stanzaErrorElement('conflict', {
    type: 'modify',
    application: element('device-list', NS_E2EE, undefined, children),
  });
}

/** Reads `<device-list/>` (the `application` of a parsed stanza error); undefined when it is none or malformed. */
export function parseDeviceList(el: Element): DeviceList | undefined {
  if (el.name !== 'device-list' || el.ns !== NS_E2EE) return undefined;
  const list = { missing: [] as number[], extra: [] as number[], stale: [] as number[] };
  for (const child of el.children) {
    if (!isElement(child) || child.ns !== NS_E2EE || child.children.length > 0) return undefined;
    if (child.name !== 'missing' && child.name !== 'extra' && child.name !== 'stale') return undefined;
    const deviceId = parseDeviceId(attribute(child, 'device') ?? '');
    if (deviceId === undefined || list[child.name].includes(deviceId)) return undefined;
    list[child.name].push(deviceId);
  }
  return list;
}

/**
 * `<message from='domain' to='full'><placed id='m1'/></message>`: tells a device where among what it receives the gatekeeper
 * placed a message that it sent to its person's other devices (section 6.1).
 */
export function placedNotice(domain: string, to: string, id: StanzaId): Element {
  return element('message', NS_CLIENT, { from: domain, to }, [element('placed', NS_DELIVERY, { id })]);
}

/** The id of the message that was placed; undefined when this says no such thing. Whose word it is, is the caller's to see. */
export function parsePlaced(el: Element): StanzaId | undefined {
  const placed = childElement(el, 'placed', NS_DELIVERY);
  const id = placed === undefined ? undefined : attribute(placed, 'id');
  return id !== undefined && isStanzaId(id) ? id : undefined;
}

/** Why an accepted message will never reach a device: its time is over, or the recipient has gone. */
export type UndeliveredCause = 'expired' | 'gone';

/**
 * Tells a sender's device that a message which was accepted will not be delivered (section 6.1): an error of the message's
 * id, from the device that it did not reach. Who has gone is spoken of as everybody who can't be reached.
 */
export function undeliveredNotice(notice: {
  readonly from: string;
  readonly to: string;
  readonly id: string;
  readonly cause: UndeliveredCause;
}): Element {
  const { from, to, id, cause } = notice;
  const error = stanzaErrorElement(cause === 'expired' ? 'recipient-unavailable' : 'service-unavailable', {
    type: 'cancel',
    application: element('undelivered', NS_ERRORS, { cause }),
  });
  return element('message', NS_CLIENT, { type: 'error', from, to, id }, [error]);
}

/** Reads `<undelivered/>` (the `application` of a parsed stanza error); undefined when it is none or malformed. */
export function parseUndelivered(el: Element): UndeliveredCause | undefined {
  if (el.name !== 'undelivered' || el.ns !== NS_ERRORS) return undefined;
  const cause = attribute(el, 'cause');
  return cause === 'expired' || cause === 'gone' ? cause : undefined;
}
