// Whether a message was said as a report claims: the content is what its sender committed to, and this gatekeeper stamped that
// commitment on its way from the one who is reported to the one who reports.
// Knows nothing of what contents say. Source: docs/protocol/10-consent-and-reports.md section 10.4.
import { createHmac, timingSafeEqual } from 'node:crypto';
import { isStanzaId, type InteropId } from '@drawbridge/wire/jid';
import type { ReportedMessage } from './report-store.ts';
import type { StampFault, Stamps } from './stamps.ts';

export const saltBytes = 16;

/** `other-content`: not what was committed to. `not-stamped`: not by this gatekeeper, or for another pair, id or time. */
export type ReportFault = StampFault | 'other-content';

/** Undefined: it was said. */
export function faultOf(
  message: ReportedMessage,
  way: { readonly from: InteropId; readonly to: InteropId },
  stamps: Pick<Stamps, 'fault'>,
  nowMs: number,
): ReportFault | undefined {
  const { stanzaId, acceptedAtMs, content, salt, commitment, stamp } = message;
  if (salt.length !== saltBytes) return 'other-content';
  const committed = createHmac('sha256', salt).update(content).digest();
  if (committed.length !== commitment.length || !timingSafeEqual(committed, commitment)) return 'other-content';
  if (!isStanzaId(stanzaId)) return 'not-stamped';
  return stamps.fault({ ...way, id: stanzaId, commitment }, acceptedAtMs, stamp, nowMs);
}
