// Errors that a sender is told, and how an answer to a stanza is addressed. Knows nothing of when they are due.
// Source: RFC 6120 sections 8.1.2.1 and 8.3; docs/protocol/06-stanzas.md.
import { attribute, type Element, element } from '@drawbridge/wire/element';
import { parseJid } from '@drawbridge/wire/jid';
import { xmlLimitsOfSession } from '@drawbridge/wire/limits';
import { NS_ERRORS } from '@drawbridge/wire/namespaces';
import {
  errorReply,
  type StanzaErrorCondition,
  stanzaErrorElement,
  type StanzaErrorType,
} from '@drawbridge/wire/stanza-error';
import { firstContactLimits } from '../consent/first-contact.ts';
import type { RefusedBecause } from '../mailbox/device-mailbox.ts';
import type { DeviceSession } from './device-session.ts';

export const unavailable = stanzaErrorElement('service-unavailable', { type: 'cancel' });
/** Not now: too many requests, a full mailbox, storage that can't. */
export const busy = stanzaErrorElement('resource-constraint', { type: 'wait' });
/** What a sender is told: `wait`, and whose share is used up when it is not the device's own mailbox that is full. */
export const refusals: Readonly<Record<RefusedBecause, Element>> = {
  full: busy,
  'storage-failed': busy,
  damaged: busy,
  'share-full': detailed('resource-constraint', 'wait', 'sender-share'),
  'person-full': detailed('resource-constraint', 'wait', 'person-share'),
  'provider-full': detailed('resource-constraint', 'wait', 'provider-share'),
};
export const notAdmitted = detailed('policy-violation', 'modify', 'suite-not-admitted');
export const tooLarge = detailed('policy-violation', 'modify', 'too-large', {
  max: String(xmlLimitsOfSession.elementBytes),
});
/** One doesn't write to whom one has blocked. */
export const blockedBySender = detailed('not-acceptable', 'cancel', 'blocked');
/** Not yet: when the recipient has accepted, it goes through. */
export const firstContactFull = detailed('resource-constraint', 'wait', 'first-contact', {
  messages: String(firstContactLimits.messages),
});
export const firstContactLarge = detailed('policy-violation', 'modify', 'first-contact', {
  bytes: String(firstContactLimits.ciphertextBytes),
});
/** A budget is used up. */
export function comeAgain(seconds: number): Element {
  return detailed('resource-constraint', 'wait', 'retry-after', { seconds: String(seconds) });
}
export const wrongFromDevice = stanzaErrorElement('policy-violation', { type: 'modify' });

/** With the condition of ours that says more (docs/protocol/06). */
function detailed(
  condition: StanzaErrorCondition,
  type: StanzaErrorType,
  name: string,
  attributes?: Readonly<Record<string, string>>,
): Element {
  return stanzaErrorElement(condition, { type, application: element(name, NS_ERRORS, attributes) });
}

/** The condition inside an error element; a closed word of ours. */
export function conditionOf(error: Element): string {
  const [first] = error.children;
  return first === undefined || first instanceof Uint8Array || typeof first === 'string' ? 'none' : first.name;
}

/** Answers with an error; never an error for an error. */
export function answerError(session: DeviceSession, el: Element, error: Element, domain: string): void {
  const to = attribute(el, 'to');
  // An address that can't be read is not repeated: the answer comes from the gatekeeper. A stanza without `to` is for
  // the account itself (RFC 6120 section 8.1.2.1), as answers other than errors say too.
  const named = to === undefined || parseJid(to) !== undefined ? to : domain;
  const from = named ?? session.bareJid;
  const reply = errorReply(el, from, error);
  if (reply === undefined) return;
  session.send({ ...reply, attrs: addressed(reply.attrs, from, session.fullJid) });
}

/** The attributes with these addresses in place of any others. */
export function addressed(attrs: readonly string[], from: string, to: string): string[] {
  const result = ['from', from, 'to', to];
  for (let i = 0; i < attrs.length; i += 2) {
    if (attrs[i] !== 'from' && attrs[i] !== 'to') result.push(attrs[i]!, attrs[i + 1]!);
  }
  return result;
}
