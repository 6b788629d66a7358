// What a provider tells gatekeepers, as values, and its form in security event tokens.
// Knows nothing of signatures, queues or HTTP. Source: docs/protocol/10 section 10.5.
import type { ProviderEvent } from '@drawbridge/identity/security-event-kinds';

/** What happened to one of the provider's people, or to its keys. */
export type ProviderNotice =
  | { readonly kind: 'account-disabled'; readonly identifier: string; readonly reason?: 'hijacking' | 'bulk-account' }
  | { readonly kind: 'account-enabled' | 'account-purged'; readonly identifier: string }
  | { readonly kind: 'identifier-changed'; readonly identifier: string; readonly newIdentifier: string }
  /** `credential`: what was compromised, such as `password`. */
  | { readonly kind: 'credential-compromise'; readonly identifier: string; readonly credential: string }
  | { readonly kind: 'keys-rotated' }
  | { readonly kind: 'keys-compromised'; readonly reason?: string };

const risc = 'https://schemas.openid.net/secevent/risc/event-type';

export type Told = {
  readonly event: ProviderEvent;
  /** Undefined: the provider itself. */
  readonly identifier: string | undefined;
  readonly payload: Readonly<Record<string, string>>;
};

export function toldOf(notice: ProviderNotice): Told {
  const identifier = 'identifier' in notice ? notice.identifier : undefined;
  const event: ProviderEvent =
    identifier === undefined
      ? (`urn:drawbridge:event:${notice.kind}` as ProviderEvent)
      : (`${risc}/${notice.kind}` as ProviderEvent);
  return { event, identifier, payload: payloadOf(notice) };
}

function payloadOf(notice: ProviderNotice): Readonly<Record<string, string>> {
  switch (notice.kind) {
    case 'identifier-changed':
      return { 'new-value': notice.newIdentifier };
    case 'credential-compromise':
      return { credential_type: notice.credential };
    case 'account-disabled':
    case 'keys-compromised':
      return notice.reason === undefined ? {} : { reason: notice.reason };
    default:
      return {};
  }
}
