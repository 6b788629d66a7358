// What can go wrong for a user of the SDK: one error class, a closed list of codes, and for each what to do.
// Knows nothing of where an error came from.

export type ClientErrorCode =
  | 'invalid-argument'
  | 'closed'
  | 'not-enlisted'
  | 'enlisted-elsewhere'
  | 'issuer-differs'
  | 'provider-differs'
  | 'not-connected'
  | 'replaced'
  | 'unreachable'
  | 'relay-refused'
  | 'certificate-refused'
  | 'gatekeeper-not-certified'
  | 'timed-out'
  | 'protocol-error'
  | 'sign-in-refused'
  | 'identifier-taken'
  | 'proof-refused'
  | 'not-judged'
  | 'proof-source-failed'
  | 'device-authorisation-required'
  | 'identity-key-in-use'
  | 'identity-key-differs'
  | 'device-limit-reached'
  | 'gatekeeper-refused'
  | 'provider-refused'
  | 'not-found'
  | 'not-reachable'
  | 'not-delivered'
  | 'first-contact'
  | 'opted-out'
  | 'not-accepted'
  | 'rate-limited'
  | 'request-refused'
  | 'too-many-requests'
  | 'outbox-full'
  | 'content-refused'
  | 'unknown-message'
  | 'not-kept'
  | 'not-applicable'
  | 'not-reportable'
  | 'untrusted-identity'
  | 'identity-unknown'
  | 'people-missing'
  | 'wrong-passphrase'
  | 'store-locked'
  | 'store-failed'
  | 'link-failed'
  | 'no-media-origin'
  | 'quota-used-up'
  | 'file-too-large'
  | 'file-unreadable'
  | 'file-changed'
  | 'file-unavailable'
  | 'file-altered'
  | 'file-not-written'
  | 'media-unreadable'
  | 'media-too-large'
  | 'cancelled';

/** For each code: whether the same call may succeed later, and the sentence for a person. */
export const clientErrors: Readonly<Record<ClientErrorCode, { readonly retry: boolean; readonly text: string }>> = {
  'invalid-argument': { retry: false, text: 'An argument is not of the shape that this call takes.' },
  closed: { retry: false, text: 'The client is closed. Open it again.' },
  'not-enlisted': { retry: false, text: 'This device is not enlisted. Call enlist() first.' },
  'enlisted-elsewhere': {
    retry: false,
    text: 'This folder belongs to another gatekeeper or person. Use a folder for each.',
  },
  'issuer-differs': {
    retry: false,
    text: "The gatekeeper gives itself out for another one. Check its address; it must be the gatekeeper's issuer URL.",
  },
  'provider-differs': {
    retry: false,
    text: 'The gatekeeper names somebody of another provider than was meant, or calls a provider otherwise than before. Nothing is sent to them; tell its operator.',
  },
  'not-connected': { retry: true, text: 'There is no live stream. Call connect(), or wait until it is up again.' },
  replaced: { retry: false, text: 'Another stream of this device took over. Run one client per folder.' },
  unreachable: { retry: true, text: 'The server cannot be reached. Check the address and the network.' },
  'relay-refused': { retry: true, text: 'The relay does not pass on to this gatekeeper. Use one that does, or none.' },
  'certificate-refused': {
    retry: false,
    text: "The server's certificate is not valid for its name. In development, name the authority with `ca`.",
  },
  'gatekeeper-not-certified': {
    retry: true,
    text: "The gatekeeper's key for the compact transport is not the pinned one. TLS is used; ask the operator.",
  },
  'timed-out': { retry: true, text: 'The answer did not come in time.' },
  'protocol-error': { retry: false, text: 'The server answered something that the protocol does not know.' },
  'sign-in-refused': { retry: false, text: 'The provider does not accept this identifier and password.' },
  'identifier-taken': { retry: false, text: 'The provider has this identifier already.' },
  'proof-refused': {
    retry: false,
    text: "The gatekeeper refused the ownership proof. If this device was removed, link it again, in a new folder; else check the provider's registration and this machine's clock.",
  },
  'not-judged': {
    retry: true,
    text: "The gatekeeper can't judge the ownership proof now. It is asked again by itself.",
  },
  'proof-source-failed': { retry: true, text: 'The proof source gave no ownership proof.' },
  'device-authorisation-required': {
    retry: false,
    text: 'This person has other devices. Link this one from there, or enlist with `replace` and lose the others.',
  },
  'identity-key-in-use': { retry: false, text: 'The identity key belongs to another enlistment. Use a new folder.' },
  'identity-key-differs': { retry: false, text: "The device's identity key is not the one of the person's others." },
  'device-limit-reached': { retry: false, text: 'This person has as many devices as are allowed. Remove one.' },
  'gatekeeper-refused': { retry: false, text: 'The gatekeeper refused the request.' },
  'provider-refused': { retry: false, text: 'The provider refused the request.' },
  'not-found': { retry: false, text: 'Nobody by that name can be reached.' },
  'not-reachable': { retry: false, text: 'This person cannot be reached (any more).' },
  'not-delivered': {
    retry: true,
    text: 'The message was not delivered: it waited too long (`expired`), the recipient is not there any more (`gone`), or a device of theirs could not read it and it is not kept here to be repeated (`unreadable`). Send it again.',
  },
  'first-contact': {
    retry: true,
    text: 'This person has not accepted your request yet. Until then a few short messages reach them.',
  },
  'opted-out': {
    retry: true,
    text: "You have not opted in to this person's provider: the chat can be read, and nothing can be sent. Opt in to go on.",
  },
  'not-accepted': {
    retry: true,
    text: 'This person waits for your decision, or you refused them. Accept them first.',
  },
  'rate-limited': { retry: true, text: 'Too many requests. Wait for `retryAfterSeconds` and try again.' },
  'request-refused': { retry: false, text: 'The gatekeeper refused the request; `detail` has its condition.' },
  'too-many-requests': { retry: true, text: 'Too many requests are under way in this client.' },
  'outbox-full': { retry: true, text: 'Too many messages wait to be sent.' },
  'content-refused': { retry: false, text: 'The content breaks a limit; `detail` names the field.' },
  'unknown-message': { retry: false, text: 'There is no such message here.' },
  'not-kept': {
    retry: false,
    text: 'Nothing of this message is kept here that could be sent again. Write it again.',
  },
  'not-applicable': { retry: false, text: 'This can’t be done with this message.' },
  'not-reportable': {
    retry: false,
    text: 'Nothing here proves this message (any more): it is too old or gone, came with the history, or its sender commits to nothing.',
  },
  'untrusted-identity': {
    retry: false,
    text: "This person's identity key has changed after it was verified. Compare safety numbers and accept it, or don't.",
  },
  'identity-unknown': { retry: false, text: 'Nothing is known yet of this identity key. Exchange a message first.' },
  'people-missing': {
    retry: true,
    text: 'This device was linked and does not know everybody whom you know yet. Connect the device that let it in, and try again.',
  },
  'wrong-passphrase': { retry: false, text: 'The passphrase does not open this folder.' },
  'store-locked': { retry: true, text: 'Another process has this folder open.' },
  'store-failed': { retry: true, text: 'The store could not be read or written. Nothing was changed.' },
  'link-failed': { retry: false, text: 'The devices could not be linked. Begin again with a new code.' },
  'no-media-origin': { retry: false, text: "This person's provider has no place for files, or none is named." },
  'quota-used-up': { retry: true, text: 'There is no room left for files at the provider. Remove some, or wait.' },
  'file-too-large': { retry: false, text: 'The file is larger than allowed.' },
  'file-unreadable': {
    retry: true,
    text: 'The file is not there, or could not be read to its end. Look at its path and who may read it.',
  },
  'file-changed': { retry: true, text: 'The file was changed while it was sent. Send it again.' },
  'file-unavailable': { retry: false, text: 'The file is not there any more, or its service cannot be reached.' },
  'file-altered': { retry: false, text: 'What came is not what the sender described. Nothing was written.' },
  'file-not-written': { retry: true, text: 'The file could not be written. Nothing was left behind.' },
  'media-unreadable': {
    retry: false,
    text: 'This can’t be freed of what it says of its maker, place and time. Send it with kind `file` to send it as it is, with all that.',
  },
  'media-too-large': {
    retry: false,
    text: 'This is too large to be prepared. Make it smaller, or send it with kind `file`: as it is, with what it says of its maker, place and time.',
  },
  cancelled: { retry: true, text: 'The transfer was cancelled. Sending the same file again goes on with it.' },
};

export function isErrorCode(word: string): word is ClientErrorCode {
  return Object.hasOwn(clientErrors, word);
}

/** The one error of the SDK. `detail` is for people and logs and never holds content, keys, tokens or passwords. */
export class ClientError extends Error {
  override readonly name = 'ClientError';
  readonly code: ClientErrorCode;
  readonly detail: string | undefined;
  readonly retryAfterSeconds: number | undefined;

  constructor(
    code: ClientErrorCode,
    options: { readonly detail?: string; readonly retryAfterSeconds?: number; readonly cause?: unknown } = {},
  ) {
    const { detail } = options;
    super(clientErrors[code].text + (detail === undefined ? '' : ` (${detail})`), { cause: options.cause });
    this.code = code;
    this.detail = detail;
    this.retryAfterSeconds = options.retryAfterSeconds;
  }

  /** Whether the same call may succeed later. */
  get retry(): boolean {
    return clientErrors[this.code].retry;
  }
}
