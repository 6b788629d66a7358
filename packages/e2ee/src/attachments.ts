// Attachments, a table of contents: what a file's sender and its receiver need.
// The rooms are in attachments/; each says what it does not know.
export { discard, type OpenSource } from './attachments/bytes.ts';
export {
  type AttachmentErrorCode,
  attachmentErrors,
  AttachmentFailure,
  attachmentLimits,
  type AttachmentSecrets,
  encryptedSizeBytes,
  paddedSizeBytes,
  type Refused,
  type SealedAttachment,
} from './attachments/format.ts';
export { openAttachment } from './attachments/open.ts';
export { type AttachmentReader, createAttachmentReader, type ReadEncrypted } from './attachments/reader.ts';
export { isTemporaryPath, saveAttachment, temporaryPath } from './attachments/save.ts';
export { readSealed, sealAttachment } from './attachments/seal.ts';
export { encodeSealed, parseSealed } from './attachments/sealed-text.ts';
