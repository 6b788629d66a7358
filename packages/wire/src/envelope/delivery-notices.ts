// What the gatekeeper tells a sender's devices of a message that it has taken: where it was placed, that it was not
// delivered. Knows nothing of mailboxes.
// Source: docs/protocol/06-stanzas.md section 6.1.

import { type Element, attribute, childElement, element } from '../element.ts';
import { type StanzaId, isStanzaId } from '../jid.ts';
import { NS_CLIENT, NS_DELIVERY, NS_ERRORS } from '../namespaces.ts';
import { stanzaErrorElement } from '../stanza-error.ts';

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
 * id, from the device that it did not reach. Somebody who has gone is spoken of like everybody who can't be reached.
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
