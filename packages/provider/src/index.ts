// What a provider's service imports: `import { createProvider } from '@drawbridge/provider'`. Each name here is a promise;
// everything else in this package may change. Knows nothing: it only names.
export { createProvider } from './provider.ts';
export type { ListenOptions, ProofIssue, Provider, ProviderLogEntry, ProviderOptions } from './provider.ts';
export type { Authentication, Registration, UserDirectory } from './directory/user-directory.ts';
export type { MediaLimits, MediaOptions, MediaOrigin } from './media-origin/media-origin.ts';
export { openMediaStorage, parseMediaStorage } from './media-origin/media-storage.ts';
export type { MediaStorage, OpenMediaStorage } from './media-origin/media-storage.ts';
export { backupProvider, BackupError } from './storage/backup.ts';
export type { ProviderBackup } from './storage/backup.ts';
export { FolderInUseError } from './storage/folder-lock.ts';
export { DatabaseVersionError } from './storage/database-file.ts';
export { MediaStoreError } from './media-origin/media-store.ts';
export type { MediaStore, MediaStoreErrorCode, MediaWriter } from './media-origin/media-store.ts';
export { createWakeUpReceiver } from './wake-ups/receiver.ts';
export type { KnownGatekeeper, WakeUpReceipt, WakeUpReceiverOptions } from './wake-ups/receiver.ts';
