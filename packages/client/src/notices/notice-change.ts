// The changes that nobody may miss, the chat that each concerns, and each in words.
// Knows nothing of how they are kept or came about.
import type { IdentityEvent } from '@drawbridge/e2ee/suite';

export type NoticeChange =
  /** Somebody's identity key is another one. With `needsAcceptance`, nothing is sent or read until `identities.accept`. */
  | Extract<IdentityEvent, { readonly kind: 'identity-changed' }>
  /** The gatekeeper lists devices of somebody that have different identity keys. Nothing was sent to them. */
  | { readonly kind: 'two-identities'; readonly interopId: string }
  /** This folder is older than what the gatekeeper has of it: it was restored from a backup, or another copy is at work. */
  | { readonly kind: 'store-restored' }
  /** A device of this person that was never heard of here has spoken. */
  | { readonly kind: 'own-device-appeared'; readonly deviceId: number }
  /**
   * A name that was known leads to somebody else now. With `needsAcceptance` the old one was verified: nothing is sent to
   * either until `contacts.acceptMove` or `rejectMove`.
   */
  | {
      readonly kind: 'contact-moved';
      readonly needsAcceptance: boolean;
      readonly provider: string;
      readonly identifier: string;
      readonly before: string;
      readonly interopId: string;
    };

/** The chat in whose history it is a line; none for what concerns no chat. */
export function chatOf(change: NoticeChange): string | undefined {
  switch (change.kind) {
    case 'identity-changed':
    case 'two-identities':
      return change.interopId;
    case 'contact-moved':
      return change.before;
    case 'own-device-appeared':
    case 'store-restored':
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
    case 'contact-moved':
      return `${change.identifier} at ${change.provider} leads to somebody else now.`;
    case 'store-restored':
      return 'This folder was restored from a backup, or another copy of it is at work.';
    case 'own-device-appeared':
      return `Device ${change.deviceId} of your own has appeared.`;
  }
}
