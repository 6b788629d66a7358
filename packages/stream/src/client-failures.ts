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
  | 'temporary-auth-failure'
  | 'login-refused'
  | 'bind-refused'
  | 'management-refused'
  | 'replaced'
  | 'stream-error'
  | 'handled-count-ahead'
  | 'not-acknowledged'
  | 'not-kept'
  | 'protocol-error';

/** `condition` is the peer's own word where it gave one (an RFC 6120 condition name), for logs and people. */
export type ClientStreamFailure = { readonly code: ClientStreamFailureCode; readonly condition?: string };

type ClientStreamFailureData = {
  /** Whether the session may be taken up by the next stream. */
  readonly resumable: boolean;
  /** What happened and what to do. */
  readonly text: string;
};

export const clientStreamFailures: Record<ClientStreamFailureCode, ClientStreamFailureData> = {
  disconnected: { resumable: true, text: 'The connection was lost.' },
  'ended-by-peer': { resumable: true, text: 'The gatekeeper closed the stream.' },
  'login-timeout': { resumable: true, text: 'The gatekeeper did not finish the login in time.' },
  'peer-silent': { resumable: true, text: 'The gatekeeper no longer answers.' },
  'tls-not-offered': {
    resumable: true,
    text: 'The peer offers no TLS. Either it is not the gatekeeper or somebody on the path removed the offer.',
  },
  'tls-refused': { resumable: true, text: 'The peer refused to start TLS.' },
  'mechanism-not-offered': { resumable: true, text: 'The peer does not offer OAUTHBEARER.' },
  'proof-unusable': {
    resumable: true,
    text: 'The proof source gave something that is not an ownership proof.',
  },
  'not-authorized': {
    resumable: true,
    text: 'The ownership proof was refused. Check that this device is enlisted and that its clock is right.',
  },
  'temporary-auth-failure': {
    resumable: true,
    text: 'The gatekeeper cannot judge the ownership proof now. It is asked again later.',
  },
  'login-refused': { resumable: true, text: 'The gatekeeper refused the login.' },
  'bind-refused': { resumable: true, text: 'The gatekeeper refused to bind the device.' },
  'management-refused': {
    resumable: true,
    text: 'The gatekeeper offers no stream management, which this client needs.',
  },
  replaced: {
    resumable: false,
    text: 'Another stream of this device took over. Run one client per folder.',
  },
  'stream-error': { resumable: true, text: 'The gatekeeper ended the stream with an error.' },
  'handled-count-ahead': {
    resumable: false,
    text: 'The gatekeeper acknowledged what was never sent.',
  },
  'not-acknowledged': {
    resumable: false,
    text: 'The gatekeeper acknowledged nothing for too long. A new session is begun.',
  },
  'not-kept': {
    resumable: false,
    text: 'This client kept nothing of what came for too long. It comes again in a new session.',
  },
  'protocol-error': { resumable: true, text: 'The peer does not keep to the protocol.' },
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

/** Reads a SASL `<failure/>`: a refused proof, one that can't be judged now (RFC 6120 section 6.5.11), or anything else. */
export function readSaslFailure(el: Element): ClientStreamFailure {
  const condition = conditionName(el, NS_SASL);
  if (condition === 'not-authorized' || condition === 'temporary-auth-failure') return { code: condition, condition };
  return condition === undefined ? { code: 'login-refused' } : { code: 'login-refused', condition };
}

/** The condition is the first child of the namespace that is not `text`. */
function conditionName(el: Element, ns: string): string | undefined {
  return childElements(el)
    .find(child => child.ns === ns && child.name !== 'text')
    ?.name.slice(0, 64);
}
