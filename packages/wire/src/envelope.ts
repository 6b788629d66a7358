// The gate of end-to-end encryption: the closed schema of a message, what each device receives, and the device-list
// error. Knows nothing of accounts, of admitted suites or of what a ciphertext holds.
//
// This file is the gate: what is read of a message, and refused. What is written, and its types, are in `envelope/`.
// Source: docs/protocol/06-stanzas.md section 6.1; RFC 4648 section 4; XEP-0334; XEP-0203.

import { isCanonicalBase64, maxCiphertextTextLength } from './canonical-base64.ts';
import { parseDateTime } from './date-time.ts';
import { type Element, attribute, isElement } from './element.ts';
import { isInteropId, isStanzaId, parseDeviceId, parseJid, parseRegistrationId } from './jid.ts';
import { maxCiphertextBytes, maxCiphertexts, maxEnvelopeBytes, maxSuiteLength } from './limits.ts';
import { NS_CLIENT, NS_DELAY, NS_DELIVERY, NS_E2EE, NS_HINTS } from './namespaces.ts';
import { EnvelopeElement } from './envelope/elements.ts';
import type { Ciphertext, CiphertextKind, DeviceMessage, Digest, EnvelopeMessage, Stamp } from './envelope/messages.ts';
import { payloadSize, readDigest } from './envelope/payload.ts';
import { type EnvelopeRefusal, type EnvelopeRefusalCode, refused } from './envelope/refusals.ts';

export {
  type UndeliveredCause,
  parsePlaced,
  parseUndelivered,
  placedNotice,
  undeliveredNotice,
} from './envelope/delivery-notices.ts';
export { type DeviceList, deviceListError, parseDeviceList } from './envelope/device-list.ts';
export {
  type Sender,
  type Stampable,
  detachMessage,
  deviceMessage,
  isLoud,
  stampableOf,
  stamped,
} from './envelope/device-message.ts';
export { EnvelopeElement, encodeEnvelopeMessage } from './envelope/elements.ts';
export type {
  Ciphertext,
  CiphertextKind,
  DeviceMessage,
  Digest,
  EnvelopeMessage,
  SessionKind,
  Stamp,
} from './envelope/messages.ts';
export { isCanonicalBase64 } from './canonical-base64.ts';
export { ciphertextBytes } from './envelope/payload.ts';
export {
  type EnvelopeRefusal,
  type EnvelopeRefusalCode,
  envelopeRefusalElement,
  envelopeRefusals,
} from './envelope/refusals.ts';

/**
 * Reads a message as a client sends it and lets nothing through but the closed schema.
 *
 * `from` may be present with any value (the gatekeeper replaces it), `xml:lang` too (it is dropped), and the `<delay/>` of a
 * client that sends again after a resumption (XEP-0198 section 5); none of them is in the result. One pass over the tree;
 * payloads are checked, not converted.
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

/** The children of a message, in any order; `<stamp/>` only where the gatekeeper is the sender. A client's `<delay/>` says nothing. */
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
    } else if (child.name === 'delay' && child.ns === NS_DELAY) {
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

function isSuiteName(text: string): boolean {
  if (text.length === 0 || text.length > maxSuiteLength) return false;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (!((c >= 0x61 && c <= 0x7a) || (c >= 0x30 && c <= 0x39) || c === 0x2d)) return false;
  }
  return true;
}

/** The stamp of `<delay from=address stamp=UTC/>` (XEP-0203, XEP-0082), or undefined. */
function readDelay(el: Element): string | undefined {
  if (el.children.length > 0 || el.attrs.length !== 4) return undefined;
  const from = attribute(el, 'from');
  const stamp = attribute(el, 'stamp');
  if (from === undefined || stamp === undefined || parseJid(from) === undefined) return undefined;
  return parseDateTime(stamp) === undefined ? undefined : stamp;
}
