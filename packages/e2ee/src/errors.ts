// What to do about each reason why a ciphertext gave no content. Knows nothing of how it is done.
// Source: docs/protocol/09-content.md section 9.7.
import type { DecryptError } from './suite.ts';

/**
 * - `drop`: acknowledge and forget (a repeat, or something that no honest sender makes).
 * - `retry`: ask the sender to send it again, within the bounds of `retry.ts`.
 * - `lose`: acknowledge, and show that something could not be read; nobody is asked to send it again.
 * - `hold`: keep the ciphertext; a person's acceptance makes it readable.
 */
export type DecryptErrorAction = 'drop' | 'lose' | 'retry' | 'hold';

export const decryptErrorTable: Readonly<
  Record<
    DecryptError['code'],
    { readonly action: DecryptErrorAction; readonly logLevel: 'debug' | 'info' | 'warn'; readonly text: string }
  >
> = {
  'invalid-address': {
    action: 'drop',
    logLevel: 'warn',
    text: 'The sender is not a valid device address, or is this device.',
  },
  'malformed-ciphertext': { action: 'lose', logLevel: 'warn', text: 'The ciphertext is not a message of this suite.' },
  duplicate: { action: 'drop', logLevel: 'debug', text: 'The message was read before.' },
  'replayed-prekey-message': {
    action: 'drop',
    logLevel: 'warn',
    text: 'The first message of a session was played again.',
  },
  'no-session': { action: 'retry', logLevel: 'info', text: 'There is no session with the sending device.' },
  'unknown-prekey': { action: 'retry', logLevel: 'info', text: 'The message was encrypted for a prekey that is gone.' },
  undecryptable: { action: 'retry', logLevel: 'info', text: 'The message can not be decrypted.' },
  'bad-padding': { action: 'lose', logLevel: 'warn', text: 'The decrypted content is not padded as the suite says.' },
  misbound: {
    action: 'lose',
    logLevel: 'warn',
    text: 'The content is bound to another author, device, recipient or gatekeeper.',
  },
  'session-too-large': { action: 'retry', logLevel: 'warn', text: 'The session grew too large and was ended.' },
  'identity-of-another': {
    action: 'lose',
    logLevel: 'warn',
    text: "The sender's identity key belongs to another person.",
  },
  'untrusted-identity': {
    action: 'hold',
    logLevel: 'warn',
    text: "The sender's identity key is not the one that was verified.",
  },
};

/** The action for one refusal: of an untrusted identity that nobody will be asked about, nothing is kept. */
export function decryptErrorAction(error: DecryptError): DecryptErrorAction {
  if (error.code === 'untrusted-identity' && !error.awaitsAcceptance) return 'lose';
  return decryptErrorTable[error.code].action;
}
