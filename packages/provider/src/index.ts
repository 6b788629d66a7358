// What a provider's service imports: `import { createProvider } from '@drawbridge/provider'`. Each name here is a promise;
// everything else in this package may change. Knows nothing: it only names.
export { createProvider } from './provider.ts';
export type { ListenOptions, ProofIssue, Provider, ProviderLogEntry, ProviderOptions } from './provider.ts';
export type { Authentication, Registration, UserDirectory } from './user-directory.ts';
export type { MediaLimits, MediaOptions, MediaOrigin } from './media-origin.ts';
export { openMediaStorage, parseMediaStorage } from './media-storage.ts';
export type { MediaStorage, OpenMediaStorage } from './media-storage.ts';
export { MediaStoreError } from './media-origin-store.ts';
export type { MediaStore, MediaStoreErrorCode, MediaWriter } from './media-origin-store.ts';
export { createWakeUpReceiver } from './wake-up-receiver.ts';
export type { KnownGatekeeper, WakeUpReceipt, WakeUpReceiverOptions } from './wake-up-receiver.ts';
