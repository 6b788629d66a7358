// Why a client's stream ended, and what to do then: the closed list of codes with its table.
// Knows nothing of streams' states or of how a retry is timed.
// Source: RFC 6120 sections 4.9 and 6.5, RFC 7628 section 3.2, docs/protocol/04-streams.md.
import { childElements, type Element } from '@drawbridge/wire/element';
import { NS_SASL, NS_STREAMS } from '@drawbridge/wire/namespaces';

export type ClientStreamFailureCode =
  | 'disconnected'
  | 'ended-by-peer'
  | 'login-timeout'
  | 'peer-silent'
  | 'tls-not-offered'
  | 'tls-refused'
  | 'mechanism-not-offered'
  | 'proof-unusable'
  | 'not-authorized'
  | 'login-refused'
  | 'bind-refused'
  | 'management-refused'
  | 'replaced'
  | 'stream-error'
  | 'handled-count-ahead'
  | 'protocol-error';

/** `condition` is the peer's own word where it gave one (an RFC 6120 condition name), for logs and people. */
export type ClientStreamFailure = { readonly code: ClientStreamFailureCode; readonly condition?: string };

/**
 * What helps: `back-off` try again with growing pauses; `never` do not try by itself, a person must act.
 * `text` says what happened and what to do.
 */
export const clientStreamFailures: Record<
  ClientStreamFailureCode,
  { readonly retry: 'back-off' | 'never'; readonly text: string }
> = {
  disconnected: { retry: 'back-off', text: 'The connection was lost.' },
  'ended-by-peer': { retry: 'back-off', text: 'The gatekeeper closed the stream.' },
  'login-timeout': { retry: 'back-off', text: 'The gatekeeper did not finish the login in time.' },
  'peer-silent': { retry: 'back-off', text: 'The gatekeeper no longer answers.' },
  'tls-not-offered': {
    retry: 'back-off',
    text: 'The peer offers no TLS. Either it is not the gatekeeper or somebody on the path removed the offer.',
  },
  'tls-refused': { retry: 'back-off', text: 'The peer refused to start TLS.' },
  'mechanism-not-offered': { retry: 'back-off', text: 'The peer does not offer OAUTHBEARER.' },
  'proof-unusable': { retry: 'back-off', text: 'The proof source gave something that is not an ownership proof.' },
  'not-authorized': {
    retry: 'back-off',
    text: 'The ownership proof was refused. Check that this device is enlisted and that its clock is right.',
  },
  'login-refused': { retry: 'back-off', text: 'The gatekeeper refused the login.' },
  'bind-refused': { retry: 'back-off', text: 'The gatekeeper refused to bind the device.' },
  'management-refused': {
    retry: 'back-off',
    text: 'The gatekeeper offers no stream management, which this client needs.',
  },
  replaced: { retry: 'never', text: 'Another stream of this device took over. Run one client per folder.' },
  'stream-error': { retry: 'back-off', text: 'The gatekeeper ended the stream with an error.' },
  'handled-count-ahead': { retry: 'back-off', text: 'The gatekeeper acknowledged what was never sent.' },
  'protocol-error': { retry: 'back-off', text: 'The peer does not keep to the protocol.' },
};

/**
 * Reads `<stream:error/>`. `conflict` means that a newer stream of this device exists; `see-other-host` is not followed
 * (an address that a peer names is not one that a person chose), it is an error like the others.
 */
export function readStreamError(el: Element): ClientStreamFailure {
  const condition = conditionName(el, NS_STREAMS);
  if (condition === 'conflict') return { code: 'replaced', condition };
  return condition === undefined ? { code: 'stream-error' } : { code: 'stream-error', condition };
}

/** Reads a SASL `<failure/>`: a refused proof, or anything else (`temporary-auth-failure`, …). */
export function readSaslFailure(el: Element): ClientStreamFailure {
  const condition = conditionName(el, NS_SASL);
  if (condition === 'not-authorized') return { code: 'not-authorized', condition };
  return condition === undefined ? { code: 'login-refused' } : { code: 'login-refused', condition };
}

/** The condition is the first child of the namespace that is not `text`. */
function conditionName(el: Element, ns: string): string | undefined {
  return childElements(el)
    .find(child => child.ns === ns && child.name !== 'text')
    ?.name.slice(0, 64);
}
