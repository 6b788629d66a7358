// Posts one security event token to a provider's endpoint, and says what became of it. Knows no queue.
// Source: docs/protocol/10 section 10.5; RFC 8935 sections 2.1 to 2.4.
import type { EgressFetch } from '@drawbridge/identity/egress';
import type { SigningKey } from '@drawbridge/identity/jwk';
import { issueSecurityEvent, type SecurityEventClaims } from '@drawbridge/identity/security-event';

export type Poster = {
  readonly egressFetch: EgressFetch;
  readonly signingKey: SigningKey;
  /** The gatekeeper's issuer URL. */
  readonly issuer: string;
  /** What providers are told as the time. */
  readonly nowMs: () => number;
};

/** `refused` will be refused again; `failed` may be taken later. */
export type PostOutcome = { readonly kind: 'sent' | 'refused' | 'failed'; readonly code: string };

const maxAnswerBytes = 4_096;

export async function postSecurityEvent(
  { egressFetch, signingKey, issuer, nowMs }: Poster,
  url: string,
  claims: Omit<SecurityEventClaims, 'issuer' | 'issuedAtSeconds'>,
): Promise<PostOutcome> {
  // Of this attempt: a receiver takes only young tokens, and tells a repeated one by its id.
  const issuedAtSeconds = Math.floor(nowMs() / 1000);
  const token = await issueSecurityEvent(signingKey, { ...claims, issuer, issuedAtSeconds });
  const port = new URL(url).port;
  const response = await egressFetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/secevent+jwt', accept: 'application/json' },
    body: token,
    maxBodyBytes: maxAnswerBytes,
    // The port stands in the registered URL.
    ...(port === '' ? {} : { ports: [Number(port)] }),
  });
  if (response.kind === 'failed') return { kind: 'failed', code: response.code };
  const { status } = response;
  const code = `status-${status}`;
  if (status >= 500 || status === 408 || status === 429) return { kind: 'failed', code };
  return { kind: status >= 200 && status < 300 ? 'sent' : 'refused', code };
}
