// The elements of a message as it is written: envelope, ciphertexts, commitment, hints. Knows nothing of how they are read.
// Source: docs/protocol/06-stanzas.md section 6.1.

import { type Child, type Element, element } from '../element.ts';
import { formatJid } from '../jid.ts';
import { NS_CLIENT, NS_DELIVERY, NS_E2EE, NS_HINTS } from '../namespaces.ts';
import type { Ciphertext, Digest, EnvelopeMessage, Stamp } from './messages.ts';

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

export function messageChildren(
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

export function frankElements(commitment: Digest | undefined, stamp: Stamp | undefined): Element[] {
  if (commitment === undefined) return [];
  const first = element('commitment', NS_E2EE, undefined, [commitment]);
  if (stamp === undefined) return [first];
  return [first, element('stamp', NS_E2EE, { at: String(stamp.atMs) }, [stamp.mac])];
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
