// The closed list of events that servers tell each other: whom each is about, and what it says.
// Knows nothing of tokens, signatures or HTTP.
// Source: docs/protocol/10 section 10.5; OpenID RISC Profile 1.0 section 2; RFC 9493 (subject identifiers).
import { isUserIdentifier } from './ownership-proof.ts';
import { hasExactMembers, isJsonObject, type JsonObject } from './strict-json.ts';

const risc = 'https://schemas.openid.net/secevent/risc/event-type';

/** What a provider tells a gatekeeper. */
export const providerEvents = [
  `${risc}/account-disabled`,
  `${risc}/account-enabled`,
  `${risc}/account-purged`,
  `${risc}/identifier-changed`,
  `${risc}/credential-compromise`,
  'urn:drawbridge:event:keys-rotated',
  'urn:drawbridge:event:keys-compromised',
] as const;

/** What a gatekeeper tells a provider. */
export const gatekeeperEvents = [
  'urn:drawbridge:event:wake-up',
  'urn:drawbridge:event:provider-step',
  'urn:drawbridge:event:enlistment-suspended',
  'urn:drawbridge:event:enlistment-resumed',
  'urn:drawbridge:event:enlistment-ended',
  'urn:drawbridge:event:report-upheld',
] as const;

export type ProviderEvent = (typeof providerEvents)[number];
export type GatekeeperEvent = (typeof gatekeeperEvents)[number];
export type SecurityEventKind = ProviderEvent | GatekeeperEvent;

type Shape = {
  /** A person of the provider (`opaque`), or the provider itself, by its issuer URL (`uri`). */
  readonly about: 'person' | 'provider';
  readonly isPayload: (payload: JsonObject) => boolean;
};

const isEmpty = (payload: JsonObject): boolean => hasExactMembers(payload, []);

/** What a person reads: a line of 1 to 500 characters (code points, as schemas count them) without control characters. */
function isText(value: unknown): boolean {
  return typeof value === 'string' && /^\P{Cc}{1,500}$/u.test(value);
}

function isReason(payload: JsonObject): boolean {
  return hasExactMembers(payload, [], ['reason']) && (payload['reason'] === undefined || isText(payload['reason']));
}

const riscReasons: readonly unknown[] = [undefined, 'hijacking', 'bulk-account'];

function isCompromise(payload: JsonObject): boolean {
  const { credential_type: type, event_timestamp: at, ...reasons } = payload;
  return (
    hasExactMembers(payload, ['credential_type'], ['event_timestamp', 'reason_admin', 'reason_user']) &&
    isText(type) &&
    (at === undefined || (typeof at === 'number' && at >= 0)) &&
    Object.values(reasons).every(isText)
  );
}

const person = (isPayload: Shape['isPayload']): Shape => ({ about: 'person', isPayload });
const provider = (isPayload: Shape['isPayload']): Shape => ({ about: 'provider', isPayload });

const shapes: Readonly<Record<SecurityEventKind, Shape>> = {
  [`${risc}/account-disabled`]: person(
    payload => hasExactMembers(payload, [], ['reason']) && riscReasons.includes(payload['reason']),
  ),
  [`${risc}/account-enabled`]: person(isEmpty),
  [`${risc}/account-purged`]: person(isEmpty),
  [`${risc}/identifier-changed`]: person(
    payload => hasExactMembers(payload, ['new-value']) && isUserIdentifier(payload['new-value']),
  ),
  [`${risc}/credential-compromise`]: person(isCompromise),
  'urn:drawbridge:event:keys-rotated': provider(isEmpty),
  'urn:drawbridge:event:keys-compromised': provider(isReason),
  'urn:drawbridge:event:wake-up': person(isEmpty),
  'urn:drawbridge:event:provider-step': provider(({ step, ...rest }) => isText(step) && isReason(rest)),
  'urn:drawbridge:event:enlistment-suspended': person(isReason),
  'urn:drawbridge:event:enlistment-resumed': person(isReason),
  'urn:drawbridge:event:enlistment-ended': person(
    ({ by, ...rest }) => (by === 'person' || by === 'operator') && isReason(rest),
  ),
  'urn:drawbridge:event:report-upheld': person(
    ({ report, category, ...rest }) => isText(report) && isText(category) && isReason(rest),
  ),
};

export function isAboutProvider(kind: SecurityEventKind): boolean {
  return shapes[kind].about === 'provider';
}

/** Whether an event of this kind may say this. */
export function isEventPayload(kind: SecurityEventKind, payload: unknown): payload is JsonObject {
  return isJsonObject(payload) && shapes[kind].isPayload(payload);
}

/** Exactly one event of these kinds, with what it says. */
export function readSingleEvent(
  events: unknown,
  accepts: readonly SecurityEventKind[],
): { readonly kind: SecurityEventKind; readonly payload: JsonObject } | undefined {
  if (!isJsonObject(events)) return undefined;
  const [name, ...more] = Object.keys(events);
  const kind = accepts.find(each => each === name);
  if (name === undefined || kind === undefined || more.length > 0) return undefined;
  const payload = events[name];
  return isEventPayload(kind, payload) ? { kind, payload } : undefined;
}
