// What an application imports: `import { openClient } from '@drawbridge/client'`. Each name here is a promise; everything
// else in this package may change. Knows nothing: it only names.
export { openClient } from './client.ts';
export type { Chat, Client, ClientOptions, Identity, Message, SafetyNumberView } from './client.ts';
export type { ConnectionStatus } from './connection/connection.ts';
export type { Clock, Random } from './clock.ts';
export type { Capability } from './history/capabilities.ts';
export type { ChatSettings } from './history/chat-state.ts';
export type { ProviderConsent } from './directory/directory.ts';
export type { DeviceRecord, Enlistment, EnlistmentStatus, ReferenceOffer } from './account/enlist.ts';
export { ClientError, clientErrors } from './errors.ts';
export type { ClientErrorCode } from './errors.ts';
export type { ClientEvent, MessageChange } from './events.ts';
export type { UnsentFile } from './files/file-outbox.ts';
export { fileKinds } from './files/files.ts';
export type { FileProgress, OpenedFile, ReadOptions, SendFileOptions, TransferOptions } from './files/files.ts';
export type { MessageKind, MessageRecord, MessageState, PollResult, ReceiptKind } from './history/message-log.ts';
export type { Contact, Outgoing, Recipient } from './messenger.ts';
export type { ProofRequest, ProofSource, ProviderAccount } from './account/provider-session.ts';
export { defaultTransports } from './connection/transports.ts';
export type { TransportName } from './connection/transports.ts';
