// The changes that nobody may miss, the chat that each concerns, and each in words.
// Knows nothing of how they are kept or came about.
import type { IdentityEvent } from '@drawbridge/e2ee/suite';
import { type InteropId, isEverybody, providerNumberOf } from '@drawbridge/wire/jid';
import type { DecisionState } from '../directory/contact-decisions.ts';
import { type Act, actWords } from '../history/acts.ts';
import type { ManifestWarning } from '../directory/manifest-judgement.ts';

/** What became known of somebody's devices, or, with `isOwn`, of one's own. */
export type DevicesChange = { readonly interopId: InteropId; readonly isOwn: boolean } & (
  | /** By their own word. */ {
      readonly kind: 'devices-changed';
      readonly added: readonly number[];
      readonly removed: readonly number[];
    }
  /** The gatekeeper names a device that the person does not name: nothing is encrypted to it, nothing of it is read. */
  | { readonly kind: 'unlisted-device'; readonly deviceId: number }
  /** They name a device that the gatekeeper does not: what is sent does not reach it. */
  | { readonly kind: 'left-out-device'; readonly deviceId: number }
  /** Their manifest is old, is not theirs, or is gone. */
  | { readonly kind: 'manifest-warning'; readonly warning: ManifestWarning }
  /** Of one's own: contacts see another key, and these devices have to be linked again. */
  | { readonly kind: 'identity-renewed'; readonly linkAgain: readonly number[] }
  /** Of one's own: the gatekeeper has another identity key for this person than this folder, which is a copy from before. */
  | { readonly kind: 'earlier-identity' }
);

export type DevicesEvent = { readonly kind: 'devices'; readonly change: DevicesChange };

export type NoticeChange =
  | DevicesChange
  /** Somebody's identity key is another one. With `needsAcceptance`, nothing is sent or read until `identities.accept`. */
  | Extract<IdentityEvent, { readonly kind: 'identity-changed' }>
  /** The gatekeeper lists devices of somebody that have different identity keys. Nothing was sent to them. */
  | { readonly kind: 'two-identities'; readonly interopId: InteropId }
  /** Somebody asks, from a device or under a key that was not written to, for what was sent before: `client.resends`. */
  | { readonly kind: 'asked-again'; readonly interopId: InteropId }
  /** What this person changed did not reach a device of theirs, or could not be read there: it may look otherwise to them. */
  | ({ readonly kind: 'not-applied'; readonly interopId: InteropId } & Act)
  /** Time ran out for messages of this person, here or on another device of theirs, before they were sent to that person. */
  | { readonly kind: 'never-sent'; readonly interopId: InteropId }
  /**
   * The gatekeeper says that somebody who was refused, or whose request waits, was let in, and no device of this person has said
   * so. What they see of this person stays as it was, until it is decided here (`contacts`) or another device says so.
   */
  | {
      readonly kind: 'contact-unconfirmed';
      readonly interopId: InteropId;
      readonly holds: DecisionState | 'none';
      readonly claimed: DecisionState | 'none';
    }
  /** This folder is older than what the gatekeeper has of it: it was restored from a backup, or another copy is at work. */
  | { readonly kind: 'store-restored' }
  /**
   * Whoever answers for the gatekeeper on the compact transport is not certified by the pinned key, or the offer withholds
   * that transport: TLS is used instead, and is worth what the certificate authorities are worth.
   */
  | { readonly kind: 'gatekeeper-not-certified'; readonly reason: 'other-key' | 'withheld' }
  /** What was to be sent could not be read from the disk any more, and is not sent: messages say so where they stand. */
  | { readonly kind: 'unsent-damaged' }
  /** Messages came that could not be read, and more of them than lines say so in chats, or from nobody who is known. */
  | { readonly kind: 'unreadable' }
  /**
   * The device that let this one in knows more people than its ticket held. Until it has named them nothing goes to people
   * whom this one does not know, and nothing of them is read; or its person goes on without (`people-forgone`).
   */
  | { readonly kind: 'people-missing' | 'people-forgone'; readonly deviceId: number; readonly count: number }
  /** A device of this person that was never heard of here has spoken. */
  | { readonly kind: 'own-device-appeared'; readonly deviceId: number }
  /**
   * A name that was known leads to somebody else now. With `needsAcceptance` one of them was verified, or had the name
   * before: nothing is sent to either until `contacts.acceptMove` or `rejectMove`.
   */
  | {
      readonly kind: 'contact-moved';
      readonly needsAcceptance: boolean;
      readonly provider: string;
      readonly identifier: string;
      readonly before: string;
      readonly interopId: InteropId;
    }
  /** The gatekeeper gives somebody a name of another provider than the one that their InteropId is of. They are shown without. */
  | {
      readonly kind: 'provider-differs';
      readonly interopId: InteropId;
      readonly provider: string;
      readonly identifier: string;
    }
  /**
   * Somebody who is known is called otherwise now. With `needsAcceptance` they were verified, and are not shown, written to
   * or found under the name until `contacts.acceptMove`; under the one they have, all goes on.
   */
  | {
      readonly kind: 'contact-renamed';
      readonly needsAcceptance: boolean;
      readonly provider: string;
      readonly identifier: string;
      /** Absent: no name was known. */
      readonly before?: { readonly provider: string; readonly identifier: string };
      readonly interopId: InteropId;
    };

/** The person in the chat with whom it is a line; undefined for what concerns this person or device alone. */
export function chatOf(change: NoticeChange): InteropId | undefined {
  switch (change.kind) {
    case 'identity-changed':
    case 'two-identities':
    case 'asked-again':
    case 'not-applied':
    case 'never-sent':
    case 'contact-renamed':
    case 'provider-differs':
      return change.interopId;
    case 'contact-unconfirmed':
      return isEverybody(change.interopId) ? undefined : change.interopId;
    case 'devices-changed':
    case 'unlisted-device':
    case 'left-out-device':
    case 'manifest-warning':
    case 'identity-renewed':
    case 'earlier-identity':
      return change.isOwn ? undefined : change.interopId;
    case 'contact-moved':
      return change.before;
    case 'own-device-appeared':
    case 'people-missing':
    case 'people-forgone':
    case 'store-restored':
    case 'gatekeeper-not-certified':
    case 'unreadable':
    case 'unsent-damaged':
      return undefined;
  }
}

/** For lists, exports, and applications that have no words of their own. */
export function noticeWords(change: NoticeChange): string {
  switch (change.kind) {
    case 'identity-changed':
      return change.needsAcceptance
        ? 'The verified identity key changed. Compare safety numbers before you accept the new one.'
        : 'The identity key changed.';
    case 'two-identities':
      return 'Devices of this person have different identity keys. Nothing was sent to them.';
    case 'asked-again':
      return 'They ask for earlier messages, from a device or under a key that those were not sent to. Nothing is sent again before you say so.';
    case 'not-applied':
      return `${actWords(change)} did not reach a device of theirs, or could not be read there. They may not see it. Do it again.`;
    case 'never-sent':
      return 'Time ran out for something that you wrote before it could be sent. As far as is known here, nobody has it: write it again if it still matters.';
    case 'devices-changed': {
      const part = (ids: readonly number[], word: string): string[] =>
        ids.length === 0 ? [] : [`${word} ${ids.join(', ')}`];
      return `Devices changed: ${[...part(change.added, 'new:'), ...part(change.removed, 'gone:')].join('; ')}.`;
    }
    case 'unlisted-device':
      return `The gatekeeper names a device ${change.deviceId} that nobody signed for. Nothing is sent to it or read from it.`;
    case 'left-out-device':
      return `The gatekeeper leaves out the device ${change.deviceId}: what is sent does not reach it.`;
    case 'manifest-warning':
      return `The list of devices is ${manifestWords[change.warning]}.`;
    case 'identity-renewed':
      return `Your identity key is a fresh one. ${linkAgainWords(change.linkAgain)}`;
    case 'earlier-identity':
      return 'This folder has an identity key from before you renewed it: contacts are asked about what it says. Stop here, and go on in the folder that renewed it; if that is lost, enlist again in a new folder (--replace). If you did not renew it, somebody else did, or the gatekeeper lies: tell your contacts by another way.';
    case 'contact-moved':
      return `${change.identifier} at ${change.provider} leads to somebody else now.`;
    case 'contact-renamed':
      return change.needsAcceptance
        ? `The gatekeeper says that this person is ${change.identifier} at ${change.provider}. Ask them by another way before you accept it.`
        : `This person is ${change.identifier} at ${change.provider} now${change.before === undefined ? '' : `, and was ${change.before.identifier} at ${change.before.provider}`}.`;
    case 'provider-differs':
      return `The gatekeeper says that this person is ${change.identifier} at ${change.provider}, but their address is another provider’s. They are shown without a name.`;
    case 'contact-unconfirmed':
      if (isEverybody(change.interopId)) {
        return `The gatekeeper says that the people of provider ${providerNumberOf(change.interopId)} are not blocked any more. None of your devices has said so: here they stay blocked, and learn nothing of you. Decide it here if you did.`;
      }
      return `The gatekeeper says that this person is ${standingWords[change.claimed]}. None of your devices has said so: here they stay ${standingWords[change.holds]}, and learn nothing of you. Decide it here if you did.`;
    case 'store-restored':
      return 'This folder is older than it was: it was restored from a backup, or another copy of it is at work. What was said there since is missing here. Sessions and keys are renewed. Use one copy only; for a second place, link a device.';
    case 'gatekeeper-not-certified':
      return change.reason === 'withheld'
        ? 'The gatekeeper withholds the transport whose key was pinned. TLS is used instead.'
        : 'The gatekeeper’s key is not the one that was pinned. TLS is used instead.';
    case 'unsent-damaged':
      return 'Messages or files that waited to be sent are damaged on the disk, and are not sent.';
    case 'unreadable':
      return 'Messages came that could not be read.';
    case 'people-forgone':
      return `This device went on without ${change.count} people whom your device ${change.deviceId} knows. Compare safety numbers again with those whom you had verified there.`;
    case 'people-missing':
      return `This device does not know everybody whom you know: your device ${change.deviceId} is still to tell of ${change.count} people. Until then nothing goes to, or is read of, anybody whom it does not know. Keep that device connected.`;
    case 'own-device-appeared':
      return `Device ${change.deviceId} of your own has appeared.`;
  }
}

function linkAgainWords(devices: readonly number[]): string {
  if (devices.length === 0) return 'Contacts see that it changed.';
  return `Contacts see that it changed. Link again, in new folders: devices ${devices.join(', ')}.`;
}

const standingWords: Readonly<Record<DecisionState | 'none', string>> = {
  none: 'not refused any more',
  request: 'somebody who waits for your decision',
  accepted: 'accepted',
  denied: 'denied',
  blocked: 'blocked',
};

const manifestWords: Readonly<Record<ManifestWarning, string>> = {
  malformed: 'unreadable',
  'wrong-person': 'that of somebody else',
  'wrong-signer': 'not signed by them',
  'not-yet': 'from the future',
  expired: 'out of date',
  'older-epoch': 'an old one that somebody repeats',
  'two-of-one-epoch': 'one of two different ones of the same number',
  missing: 'kept back',
};
