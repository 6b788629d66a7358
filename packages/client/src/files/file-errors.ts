// What can end the sending or fetching of a file, as errors of the SDK.
// Knows nothing of how files travel.
import { type AttachmentErrorCode, attachmentErrors } from '@drawbridge/e2ee/attachments';
import { RequestRefused } from '../connection/requests.ts';
import { ClientError, type ClientErrorCode } from '../errors.ts';
import { MediaCopyFailure } from './media-copies.ts';
import { type MediaTransferErrorCode, mediaTransferErrors, MediaTransferFailure } from './media-transfer.ts';

const transferCodes: Readonly<Record<MediaTransferErrorCode, ClientErrorCode>> = {
  'invalid-argument': 'invalid-argument',
  'not-authorised': 'sign-in-refused',
  'quota-used-up': 'quota-used-up',
  'too-large': 'file-too-large',
  'not-found': 'file-unavailable',
  'not-allowed': 'file-unavailable',
  refused: 'gatekeeper-refused',
  unreachable: 'unreachable',
  'source-changed': 'file-changed',
  'source-failed': 'file-unreadable',
  aborted: 'cancelled',
};

export function transferError(code: MediaTransferErrorCode, way: 'up' | 'down'): ClientError {
  // An upload is begun again when it is gone: what isn't found is the place to begin one.
  if (way === 'up' && code === 'not-found') return new ClientError('no-media-origin');
  if (way === 'up' && code === 'refused') return new ClientError('provider-refused', { detail: 'upload' });
  return new ClientError(transferCodes[code], { detail: mediaTransferErrors[code].text });
}

/** What can end a transfer from below, as an error of the SDK. */
export function transferFailure(error: unknown): unknown {
  if (error instanceof MediaTransferFailure) return transferError(error.code, 'down');
  if (error instanceof MediaCopyFailure) return new ClientError('file-not-written', { cause: error });
  return error;
}

const attachmentCodes: Readonly<Record<AttachmentErrorCode, ClientErrorCode>> = {
  'pointer-refused': 'file-altered',
  'too-large': 'file-too-large',
  'source-failed': 'file-unreadable',
  'source-changed': 'file-changed',
  truncated: 'file-altered',
  'too-long': 'file-altered',
  altered: 'file-altered',
  'digest-mismatch': 'file-altered',
  'padding-refused': 'file-altered',
  'write-failed': 'file-not-written',
};

export function attachmentError(code: AttachmentErrorCode): ClientError {
  return new ClientError(attachmentCodes[code], { detail: attachmentErrors[code].text });
}

/** The gatekeeper's words for a grant that it doesn't give mean something else than for people. */
export function grantError(error: unknown): never {
  if (!(error instanceof ClientError)) throw error;
  if (error.code === 'not-found') throw new ClientError('file-unavailable', { cause: error });
  const isTooLarge = error instanceof RequestRefused && error.stanzaError.condition === 'not-acceptable';
  if (isTooLarge && error.code === 'request-refused') {
    throw new ClientError('file-too-large', { cause: error });
  }
  throw error;
}
