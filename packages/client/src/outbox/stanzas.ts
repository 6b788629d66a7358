// The stanzas that a row leaves as: one with a copy for each device, or one for each device where that would be too large.
// Knows nothing of rows' states, streams or encryption.
// Source: docs/protocol/06-stanzas.md section 6.1.
import { commitmentOf } from '@drawbridge/e2ee/commitment';
import { decodeContent } from '@drawbridge/e2ee/content';
import type { DeviceAddress } from '@drawbridge/e2ee/suite';
import type { Element } from '@drawbridge/wire/element';
import { encodeEnvelopeMessage } from '@drawbridge/wire/envelope';
import type { StanzaId } from '@drawbridge/wire/jid';
import { NS_CLIENT } from '@drawbridge/wire/namespaces';
import { encodeElement } from '@drawbridge/wire/xml-encoder';
import type { OutboxCiphertext, OutboxRecord } from '../store/outbox-records.ts';
import { outboxLimits } from './limits.ts';
import { contentBytes, stanzaIdOf } from './rows.ts';

/** Whose stanzas: the device, its suite and its gatekeeper. */
export type Sender = {
  readonly suite: { readonly name: string; readonly local: DeviceAddress };
  readonly domain: string;
  /** Whether the session in force takes commitments (chapter 10.4). */
  readonly isStamped: () => boolean;
};

/** One with a copy for each device, or, where that is too large for a stanza, one for each of them. */
export function stanzasOf(sender: Sender, id: string, record: OutboxRecord): Element[] {
  const { toDevice, ciphertexts, payload } = record;
  const content = payload.kind === 'content' ? contentBytes(payload) : undefined;
  const commitment = content === undefined ? undefined : commitmentFor(sender, record.to, content);
  const whole = stanza(sender, id, record, ciphertexts!, { device: toDevice, commitment });
  // The compact form is smaller and counts less (section 7.8).
  const isWhole = Buffer.byteLength(encodeElement(whole, NS_CLIENT)) <= outboxLimits.maxStanzaBytes;
  return isWhole
    ? [whole]
    : ciphertexts!.map(each => stanza(sender, id, record, [each], { device: each.deviceId, commitment }));
}

/** What this device commits to towards others; nobody reports what they said themselves. */
export function commitmentFor(sender: Sender, to: string, content: Uint8Array): Uint8Array | undefined {
  if (!sender.isStamped() || to === sender.suite.local.interopId) return undefined;
  const decoded = decodeContent(content);
  const binding = decoded.ok ? decoded.value.binding : undefined;
  return binding === undefined ? undefined : commitmentOf(binding, content);
}

/** What is worth nothing later: it is neither kept by the gatekeeper nor announced. */
export function transientStanza(
  sender: Sender,
  id: StanzaId,
  to: string,
  content: Uint8Array,
  ciphertexts: readonly (Omit<OutboxCiphertext, 'bytes'> & { readonly bytes: Uint8Array })[],
): Element {
  const { suite, domain } = sender;
  return encodeEnvelopeMessage({
    to: `${to}@${domain}`,
    id,
    type: 'chat',
    suite: suite.name,
    fromDevice: suite.local.deviceId,
    commitment: commitmentFor(sender, to, content),
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
  { device, commitment }: { readonly device: number | undefined; readonly commitment: Uint8Array | undefined },
): Element {
  const bare = `${record.to}@${domain}`;
  return encodeEnvelopeMessage({
    to: device === undefined ? bare : `${bare}/${device}`,
    id: stanzaIdOf(id),
    type: 'chat',
    suite: suite.name,
    fromDevice: suite.local.deviceId,
    commitment,
    ciphertexts: ciphertexts.map(({ bytes, ...rest }) => ({
      ...rest,
      payload: Buffer.from(bytes, 'base64'),
    })),
    noStore: false,
    silent: record.silent,
  });
}
