// The table of all kinds of content. A new kind is a row in one of the files below; nothing here or in content.ts changes.
// Knows nothing of the fields around a body.
// Source: docs/protocol/09-content.md section 9.3.
import type { Capability } from './capabilities.ts';
import type { MessageRef } from './checks.ts';
import type { BodyInit, BodyMessage, KindRow } from './kind.ts';
import { contentKindLimits } from './limits.ts';
import {
  type ChatSettingsChange,
  type DeviceSync,
  type HistoryItem,
  type OwnDeviceBodies,
  ownDeviceKinds,
  type ProgressState,
  type UnappliedKind,
} from './own-devices.ts';
import type { OwnDecisionState, SyncedDecision } from './own-decisions.ts';
import { type PeopleBodies, peopleKinds, type Profile } from './people.ts';
import { type PostBodies, postKinds } from './posts.ts';
import { type Overruled, type SignalBodies, signalKinds } from './signals.ts';
import { type TextBodies, textKinds } from './text.ts';

export {
  type ChatSettingsChange,
  contentKindLimits,
  type DeviceSync,
  type HistoryItem,
  type MessageRef,
  type Overruled,
  type OwnDecisionState,
  type Profile,
  type ProgressState,
  type SyncedDecision,
  type UnappliedKind,
};

type Bodies = TextBodies & SignalBodies & PeopleBodies & PostBodies & OwnDeviceBodies;

export type ContentKind = keyof Bodies;
/** The body of a kind, or of any. */
export type ContentBody<K extends ContentKind = ContentKind> = { [P in K]: { readonly kind: P } & Bodies[P] }[K];

const kinds: { readonly [K in ContentKind]: KindRow<Bodies[K]> } = {
  ...textKinds,
  ...signalKinds,
  ...peopleKinds,
  ...postKinds,
  ...ownDeviceKinds,
};
const names = Object.keys(kinds) as ContentKind[];
const nameOfCase = new Map(names.map(name => [kinds[name].case, name]));

export function checkBody<K extends ContentKind>(body: ContentBody<K>): void {
  kinds[body.kind].check(body);
}

export function writeBody<K extends ContentKind>(body: ContentBody<K>): BodyInit {
  return kinds[body.kind].write(body);
}

function readAs<K extends ContentKind>(kind: K, message: BodyMessage): ContentBody<K> | undefined {
  const body = kinds[kind].read(message);
  return body === undefined ? undefined : { kind, ...body };
}

/** Undefined: of no kind that is known here, or a value of a later version. The limits are not checked yet. */
export function readBody(message: BodyMessage): ContentBody | undefined {
  const kind = message.case === undefined ? undefined : nameOfCase.get(message.case);
  return kind === undefined ? undefined : readAs(kind, message);
}

/** Not a message: nothing is lost for a reader who sees nothing of it. */
export function isQuietKind(kind: ContentKind): boolean {
  return kinds[kind].isQuiet === true;
}

/** Whether a body that can't be read, `name` being its name in the schema, was never meant to be shown. */
export function isQuietCase(name: string): boolean {
  return names.some(kind => kinds[kind].case === name && isQuietKind(kind));
}

/** Taken from one's own InteropId alone, and sent without a transcript. */
export function isOwnOnly(kind: ContentKind): boolean {
  return kinds[kind].isOwnOnly === true;
}

/** What a device must be able to show for this kind; undefined: every device can. */
export function capabilityFor(kind: ContentKind): Capability | undefined {
  return kinds[kind].capability;
}
