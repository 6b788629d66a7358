// What a person has decided about others, as their devices tell one another: the part of `device_sync` that holds it.
// Knows nothing of which decision holds.
// Source: docs/protocol/10-consent-and-reports.md section 10.1, schema/content.proto.
import type { MessageInitShape } from '@bufbuild/protobuf';
import { isInteropId, type InteropId } from '@drawbridge/wire/jid';
import { type DeviceSync_DecisionSchema, DeviceSync_Decision_State } from '../gen/content_pb.ts';
import { identifier, need, time } from './checks.ts';
import type { BodyValue } from './kind.ts';
import { contentKindLimits as limits } from './limits.ts';

/** `none`: a block was taken back. */
export type OwnDecisionState = 'none' | 'accepted' | 'denied' | 'blocked';

export type SyncedDecision = {
  readonly chat: InteropId;
  readonly state: OwnDecisionState;
  /** When it was decided, and the id of the content that said so first; absent: by the content that holds it. */
  readonly decided?: { readonly atMs: number; readonly messageId: Uint8Array };
};

const codes: Readonly<Record<OwnDecisionState, DeviceSync_Decision_State>> = {
  none: DeviceSync_Decision_State.NONE,
  accepted: DeviceSync_Decision_State.ACCEPTED,
  denied: DeviceSync_Decision_State.DENIED,
  blocked: DeviceSync_Decision_State.BLOCKED,
};
const names = new Map<number, OwnDecisionState>(
  (Object.keys(codes) as OwnDecisionState[]).map(state => [codes[state], state]),
);

export function checkDecisions(decisions: readonly SyncedDecision[]): void {
  need(decisions.length <= limits.maxSyncEntries, 'deviceSync');
  for (const { chat, state, decided } of decisions) {
    need(isInteropId(chat), 'deviceSync.chat');
    need(Object.hasOwn(codes, state), 'deviceSync.decisions');
    if (decided === undefined) continue;
    time(decided.atMs, 'deviceSync.decisions');
    identifier(decided.messageId, 'deviceSync.decisions');
  }
}

export function writeDecisions(
  decisions: readonly SyncedDecision[],
): MessageInitShape<typeof DeviceSync_DecisionSchema>[] {
  return decisions.map(({ chat, state, decided }) => ({
    chat,
    state: codes[state],
    ...(decided === undefined ? {} : { atMs: BigInt(decided.atMs), messageId: decided.messageId }),
  }));
}

/** A state of a later version says nothing to this one. */
export function readDecisions(decisions: BodyValue<'deviceSync'>['decisions']): SyncedDecision[] {
  return decisions.flatMap(({ chat, state, atMs, messageId }) => {
    const name = names.get(state);
    if (name === undefined) return [];
    if (messageId.length === 0) return [{ chat, state: name }];
    return [{ chat, state: name, decided: { atMs: time(atMs, 'deviceSync.decisions'), messageId } }];
  });
}
