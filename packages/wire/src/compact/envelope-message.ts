// The message that clients send most, read from the compact form straight into its parsed form. Everything else, wrong or
// right, is left to elements.ts: this file knows nothing of other stanzas, and refuses nothing.
// Source: docs/protocol/07-compact-codec.md, docs/protocol/06-stanzas.md section 6.1.

import { commitmentOpening, messageTokens as tokens } from '../compact-dictionary.ts';
import { content, maxShortCount, shape, textShape } from '../compact-encoder.ts';
import { form, minRawBytes } from '../compact-value.ts';
import type { Element } from '../element.ts';
import { type Ciphertext, type CiphertextKind, EnvelopeElement, type EnvelopeMessage } from '../envelope.ts';
import { knownInteropId, randomBytesOfId, rememberInteropId } from '../interop-id-table.ts';
import { isStanzaId, parseRegistrationId } from '../jid.ts';
import { digestBytes, maxCiphertextBytes, maxCiphertexts, maxEnvelopeBytes } from '../limits.ts';
import type { CompactReader } from './reader.ts';
import { numbers, readValue } from './values.ts';

/** `counted` in place of a number of children. */
const manyCiphertexts = content.counted - content.firstCount + 1;
const kinds = new Map<number, CiphertextKind>([
  [tokens.kindPrekey, 'prekey'],
  [tokens.kindSession, 'session'],
  [tokens.kindPlaintextRetry, 'plaintext-retry'],
]);
/** More than a message's XML takes around its ciphertexts, and a ciphertext's around its payload. */
const maxMessageFrameBytes = 1_024;
const maxCiphertextFrameBytes = 160;
const hintNoStore = 1;
const hintSilent = 2;

/**
 * Reads a message in the one spelling that clients give it (section 6.1), straight into its parsed form. Gives
 * undefined, with nothing read, for everything else, wrong or right: `readElement` reads and judges that.
 *
 * What it takes, `readElement` and `parseEnvelopeMessage` take too, with the same outcome.
 */
export function readEnvelope(reader: CompactReader): Element | undefined {
  const start = reader.offset;
  const message = reader.context.isAddress ? readMessage(reader) : undefined;
  if (message !== undefined) return new EnvelopeElement(message);
  reader.offset = start;
  reader.size = 0;
  return undefined;
}

function readMessage(reader: CompactReader): EnvelopeMessage | undefined {
  const { bytes, context } = reader;
  if (bytes[reader.offset] !== tokens.message) return undefined;
  const outer = bytes[reader.offset + 1]!;
  const attributes = outer >>> 3;
  const children = outer - shape(attributes, 1) + 1;
  if ((attributes !== 2 && attributes !== 3) || children < 1 || children > 3) return undefined;
  if (bytes[reader.offset + 2] !== tokens.to) return undefined;
  const toForm = bytes[reader.offset + 3];
  if (toForm !== form.bareJid && toForm !== form.fullJid) return undefined;
  reader.offset += 4;
  const local = readInteropId(reader);
  if (local === undefined) return undefined;
  let toDevice: number | undefined;
  if (toForm === form.fullJid) {
    toDevice = readDeviceId(reader);
    if (toDevice === undefined) return undefined;
  }
  if (bytes[reader.offset++] !== tokens.id) return undefined;
  const id = readValue(reader, false);
  if (typeof id !== 'string' || !isStanzaId(id)) return undefined;
  let type: 'chat' | 'normal' | undefined;
  if (attributes === 3) {
    const token = bytes[reader.offset++];
    if (token !== tokens.typeChat && token !== tokens.typeNormal) return undefined;
    type = token === tokens.typeChat ? 'chat' : 'normal';
  }

  if (bytes[reader.offset] !== tokens.envelope) return undefined;
  const inner = bytes[reader.offset + 1]!;
  if (inner >>> 3 !== 2) return undefined;
  reader.offset += 2;
  let count = inner - shape(2, 1) + 1;
  if (count === manyCiphertexts) {
    count = reader.varint();
    if (count <= maxShortCount) return undefined;
  }
  if (count < 1 || count > maxCiphertexts + 1) return undefined;
  if (bytes[reader.offset] !== tokens.suiteSignal1 || bytes[reader.offset + 1] !== tokens.fromDevice) return undefined;
  reader.offset += 2;
  const fromDevice = readDeviceId(reader);
  if (fromDevice === undefined) return undefined;
  const commitment = readCommitment(reader);
  if (commitment !== undefined) count--;
  if (count < 1 || count > maxCiphertexts) return undefined;
  const ciphertexts: Ciphertext[] = [];
  let payloadBytes = 0;
  for (let i = 0; i < count; i++) {
    const ciphertext = readCiphertext(reader);
    if (ciphertext === undefined) return undefined;
    for (let j = 0; j < i; j++) if (ciphertexts[j]!.deviceId === ciphertext.deviceId) return undefined;
    payloadBytes += ciphertext.payload.length;
    ciphertexts.push(ciphertext);
  }
  if (payloadBytes > maxEnvelopeBytes) return undefined;
  // Never more than this in XML: whoever comes near the limit is counted to the byte.
  const mostBytes = maxMessageFrameBytes + count * maxCiphertextFrameBytes + Math.ceil((payloadBytes * 4) / 3);
  if (mostBytes > reader.limits.elementBytes) return undefined;

  const hints = readHints(reader, children - 1);
  if (hints < 0) return undefined;
  return {
    kind: 'envelope-message',
    to: { local, domain: context.defaultDomain!, resource: toDevice === undefined ? '' : numbers[toDevice]! },
    toDevice,
    id,
    type,
    suite: 'signal-1',
    fromDevice,
    commitment,
    ciphertexts,
    payloadBytes,
    noStore: (hints & hintNoStore) !== 0,
    silent: (hints & hintSilent) !== 0,
  };
}

/** What stands behind the envelope, as bits; -1 when that is anything else. */
function readHints(reader: CompactReader, count: number): number {
  const { bytes } = reader;
  let hints = 0;
  for (let i = 0; i < count; i++) {
    const token = bytes[reader.offset];
    if (bytes[reader.offset + 1] !== shape(0, 0)) return -1;
    if (token === tokens.noStore && i === 0) hints |= hintNoStore;
    else if (token === tokens.silent && (hints & hintSilent) === 0) hints |= hintSilent;
    else return -1;
    reader.offset += 2;
  }
  return hints;
}

/** Undefined, with nothing read, when there is none here in the one spelling that it has. */
function readCommitment(reader: CompactReader): Uint8Array | undefined {
  const { bytes, offset } = reader;
  const { length } = commitmentOpening;
  for (let i = 0; i < length; i++) if (bytes[offset + i] !== commitmentOpening[i]) return undefined;
  const start = offset + length + 3;
  const isDigest = bytes[start - 2] === form.base64 && bytes[start - 1] === digestBytes;
  if (bytes[start - 3] !== textShape(0) || !isDigest || start + digestBytes > bytes.length) return undefined;
  reader.offset = start + digestBytes;
  return new Uint8Array(bytes.buffer, bytes.byteOffset + start, digestBytes);
}

function readCiphertext(reader: CompactReader): (Ciphertext & { readonly payload: Uint8Array }) | undefined {
  const { bytes } = reader;
  if (bytes[reader.offset] !== tokens.ciphertext) return undefined;
  const attributes = bytes[reader.offset + 1]! >>> 3;
  if (bytes[reader.offset + 1] !== textShape(attributes) || bytes[reader.offset + 2] !== tokens.device)
    return undefined;
  reader.offset += 3;
  const deviceId = readDeviceId(reader);
  if (deviceId === undefined) return undefined;
  let registrationId: number | undefined;
  if (attributes === 3) {
    if (bytes[reader.offset++] !== tokens.registration) return undefined;
    const text = readValue(reader, false);
    registrationId = typeof text === 'string' ? parseRegistrationId(text) : undefined;
    if (registrationId === undefined) return undefined;
  } else if (attributes !== 2) return undefined;
  const kind = kinds.get(bytes[reader.offset]!);
  if (kind === undefined || bytes[reader.offset + 1] !== form.base64) return undefined;
  reader.offset += 2;
  const length = reader.varint();
  const start = reader.offset;
  if (length < minRawBytes || length > maxCiphertextBytes || start + length > bytes.length) return undefined;
  reader.offset = start + length;
  const payload = new Uint8Array(bytes.buffer, bytes.byteOffset + start, length);
  return { deviceId, registrationId, kind, payload };
}

function readDeviceId(reader: CompactReader): number | undefined {
  const id = reader.bytes[reader.offset++]!;
  return id >= 1 && id <= 127 ? id : undefined;
}

/** A packed InteropId. */
function readInteropId(reader: CompactReader): string | undefined {
  const start = reader.offset;
  const number = reader.varint();
  if (number < 0 || number > 0xffff || reader.offset + randomBytesOfId > reader.bytes.length) return undefined;
  reader.offset += randomBytesOfId;
  const known = knownInteropId(reader.bytes, start, reader.offset - start);
  if (known !== undefined) return known;
  return rememberInteropId(number, reader.bytes.subarray(reader.offset - randomBytesOfId, reader.offset)).text;
}
