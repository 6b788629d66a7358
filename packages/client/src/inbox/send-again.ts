// Another device could not read a stanza of this one and asks for it: it is encrypted again for that device, a person is
// asked, or its author sees that it was not read. A request of this device's own that was not read there is made again, too.
// Knows nothing of how the request came.
// Source: docs/protocol/09-content.md section 9.7.
import { readDecryptionError, stanzaTag } from '@drawbridge/e2ee/retry';
import type { DeviceAddress } from '@drawbridge/e2ee/suite';
import type { InteropId, StanzaId } from '@drawbridge/wire/jid';
import { isHeldBack } from '../history/chat-state.ts';
import { chatWith } from '../history/message-names.ts';
import { chatInForce } from '../history/provider-block.ts';
import { repeatId } from '../outbox/rows.ts';
import { listUnread, type UnreadRecord, writeUnread } from '../store/inbox-records.ts';
import { readSent, writeSent } from '../store/outbox-records.ts';
import { addNotice } from '../notices/notice-records.ts';
import { keepAsked } from '../outbox/asked-again.ts';
import type { Transaction } from '../store/store.ts';
import { retryQuotaLimits, takeRetry } from './retry-quota.ts';
import type { InboxContext } from './inbox-context.ts';
import type { Followup, Incoming } from './incoming.ts';

/** A device could not read a stanza of ours: it is encrypted again for that device, if it was for that person. */
export function sendAgain(
  context: InboxContext,
  tx: Transaction,
  incoming: Incoming,
  request: { readonly stanzaId: StanzaId; readonly decryptionError: Uint8Array; readonly identity: string },
  followup: Followup,
): void {
  const { outbox, clock, suite } = context;
  const { from } = incoming.ciphertext;
  const { interopId, deviceId } = from;
  const { stanzaId } = request;
  const failed = readDecryptionError(request.decryptionError);
  if (!failed.ok || failed.value.deviceId !== suite.local.deviceId || failed.value.tag !== stanzaTag(stanzaId)) return;
  // Whoever is held back learns nothing of who is there.
  if (isHeldBack(chatInForce(tx, chatWith(interopId)))) return;
  const sent = readSent(tx, stanzaId, clock.nowMs());
  if (sent === undefined && askOnceMore(context, tx, from, request, followup)) return;
  if (sent?.addressed === undefined) return cantSayAgain(context, tx, interopId, stanzaId, followup);
  if (sent.to !== interopId || !outbox.hasRoom(tx)) return;
  const { addressed } = sent;
  // A new key or a new device was not addressed: whether it gets what was said before is a person's to say.
  if (addressed.identity !== request.identity || !addressed.devices.includes(deviceId)) {
    const atMs = clock.nowMs();
    const isFirst = keepAsked(tx, { interopId, deviceId, stanzaId, fingerprint: request.identity, atMs });
    const lines = isFirst ? addNotice(tx, { kind: 'asked-again', interopId }, atMs) : [];
    for (const message of lines) followup.events.push({ kind: 'message', change: 'new', message });
    return;
  }
  const asked = (sent.askedBy?.[deviceId] ?? 0) + 1;
  const decision = takeRetry(tx, 'resend', from, asked, clock.nowMs());
  if (decision.hasQuota) writeSent(tx, stanzaId, { ...sent, askedBy: { ...sent.askedBy, [deviceId]: asked } });
  if (!decision.allowed) return cantSayAgain(context, tx, interopId, stanzaId, followup);
  const payload = { kind: 'content', content: sent.content } as const;
  const repeat = { to: interopId, toDevice: deviceId, onlyIdentity: request.identity, payload, silent: false };
  outbox.add(tx, repeat, repeatId(stanzaId, deviceId));
  followup.wake.add(interopId);
}

/**
 * That device could not read what it was asked for, either: both had lost their sessions, or its keys are others by now. It is
 * asked again, in the session in which it says so; otherwise what waits here would wait for ever. False: it was not such a request.
 */
function askOnceMore(
  { outbox, clock }: InboxContext,
  tx: Transaction,
  device: DeviceAddress,
  { stanzaId, identity }: { readonly stanzaId: StanzaId; readonly identity: string },
  followup: Followup,
): boolean {
  const { interopId, deviceId } = device;
  const isMeant = (each: UnreadRecord): boolean =>
    each.request === stanzaId && each.from === `${interopId}/${deviceId}`;
  const unread = listUnread(tx, retryQuotaLimits.unread.perPerson, interopId).find(isMeant);
  if (unread?.requestContent === undefined) return false;
  const repeats = (unread.requestRepeats ?? 0) + 1;
  const decision = takeRetry(tx, 'resend', device, repeats, clock.nowMs());
  if (decision.hasQuota) writeUnread(tx, { ...unread, requestRepeats: repeats });
  if (!decision.allowed || !outbox.hasRoom(tx)) return true;
  const payload = { kind: 'content', content: unread.requestContent } as const;
  const repeat = { to: interopId, toDevice: deviceId, onlyIdentity: identity, payload, silent: true };
  outbox.add(tx, repeat, repeatId(stanzaId, deviceId));
  followup.wake.add(interopId);
  return true;
}

/** Its author sees that it was not read: it does not stand there as sent. */
function cantSayAgain(
  context: InboxContext,
  tx: Transaction,
  person: InteropId,
  stanzaId: StanzaId,
  followup: Followup,
): void {
  followup.events.push(...context.outbox.unreadable(tx, stanzaId, person));
  followup.wake.add(context.suite.local.interopId);
}
