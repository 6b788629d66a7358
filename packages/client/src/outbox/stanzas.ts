// The stanzas that a row leaves as: one with a copy for each device, or one for each device where that would be too large.
// Knows nothing of rows' states, streams or encryption.
// Source: docs/protocol/06-stanzas.md section 6.1.
import type { DeviceAddress } from '@drawbridge/e2ee/suite';
import type { Element } from '@drawbridge/wire/element';
import { encodeEnvelopeMessage } from '@drawbridge/wire/envelope';
import type { StanzaId } from '@drawbridge/wire/jid';
import { NS_CLIENT } from '@drawbridge/wire/namespaces';
import { encodeElement } from '@drawbridge/wire/xml-encoder';
import type { OutboxCiphertext, OutboxRecord } from '../store/outbox-records.ts';
import { outboxLimits } from './limits.ts';
import { stanzaIdOf } from './rows.ts';

/** Whose stanzas: the device, its suite and its gatekeeper. */
export type Sender = {
  readonly suite: { readonly name: string; readonly local: DeviceAddress };
  readonly domain: string;
};

/** One with a copy for each device, or, where that is too large for a stanza, one for each of them. */
export function stanzasOf(sender: Sender, id: string, record: OutboxRecord): Element[] {
  const { toDevice, ciphertexts } = record;
  const whole = stanza(sender, id, record, ciphertexts!, toDevice);
  // The compact form is smaller and counts less (section 7.8).
  const isWhole = Buffer.byteLength(encodeElement(whole, NS_CLIENT)) <= outboxLimits.maxStanzaBytes;
  return isWhole ? [whole] : ciphertexts!.map(each => stanza(sender, id, record, [each], each.deviceId));
}

/** What is worth nothing later: it is neither kept by the gatekeeper nor announced. */
export function transientStanza(
  { suite, domain }: Sender,
  id: StanzaId,
  to: string,
  ciphertexts: readonly (Omit<OutboxCiphertext, 'bytes'> & { readonly bytes: Uint8Array })[],
): Element {
  return encodeEnvelopeMessage({
    to: `${to}@${domain}`,
    id,
    type: 'chat',
    suite: suite.name,
    fromDevice: suite.local.deviceId,
    ciphertexts: ciphertexts.map(({ deviceId, registrationId, kind, bytes }) => ({
      deviceId,
      registrationId,
      kind,
      payload: bytes,
    })),
    noStore: true,
    silent: true,
  });
}

function stanza(
  { suite, domain }: Sender,
  id: string,
  record: OutboxRecord,
  ciphertexts: readonly OutboxCiphertext[],
  device: number | undefined,
): Element {
  const bare = `${record.to}@${domain}`;
  return encodeEnvelopeMessage({
    to: device === undefined ? bare : `${bare}/${device}`,
    id: stanzaIdOf(id),
    type: 'chat',
    suite: suite.name,
    fromDevice: suite.local.deviceId,
    ciphertexts: ciphertexts.map(({ bytes, ...rest }) => ({
      ...rest,
      payload: Buffer.from(bytes, 'base64'),
    })),
    noStore: false,
    silent: record.silent,
  });
}
