// What an application imports: `import { openClient } from '@drawbridge/client'`. Each name here is a promise; everything
// else in this package may change. Knows nothing: it only names.
export { openClient } from './client.ts';
export type { Client } from './client.ts';
export { openAccounts } from './accounts/accounts.ts';
export type {
  AccountEvent,
  AccountMessage,
  AccountNotice,
  Accounts,
  AccountsOptions,
  MergedContact,
} from './accounts/accounts.ts';
export type { ClientOptions } from './options.ts';
export type { Account } from './account/account.ts';
export type { DeviceRecord, Enlistment, EnlistmentStatus, ReferenceOffer } from './account/enlist.ts';
export type { MediaSession, MediaSessionSource } from './account/media-session.ts';
export type { ProofRequest, ProofSource, ProviderAccount } from './account/provider-session.ts';
export type { Chat, Chats, ShownMessage } from './chats/chats.ts';
export type { Message } from './chats/presenting.ts';
export type { Outgoing } from './chats/writing.ts';
export type { Clock, Random } from './clock.ts';
export type { ConnectSocket, Place } from './connection/connect-socket.ts';
export type { ConnectionStatus } from './connection/connection.ts';
export { defaultTransports } from './connection/transports.ts';
export type { TransportName } from './connection/transports.ts';
export type { Contacts } from './contacts/contacts.ts';
export type { Links } from './contacts/links.ts';
export type { ContactLink } from './directory/contact-links.ts';
export type { Devices } from './devices/devices.ts';
export type { Decision, DecisionState } from './directory/contact-decisions.ts';
export type { ProviderConsent } from './directory/directory.ts';
export type { Contact, Recipient } from './directory/people.ts';
export { safeFileName } from './display/file-name.ts';
export { looksLike, nameWarnings } from './display/name-warnings.ts';
export type { NameWarning } from './display/name-warnings.ts';
export { shownLine, shownName, shownText } from './display/shown-text.ts';
export { ClientError, clientErrors } from './errors.ts';
export type { ClientErrorCode } from './errors.ts';
export type { ClientEvent, MessageChange } from './events.ts';
export type { ClientFiles } from './files/client-files.ts';
export type { UnsentFile } from './files/unsent-file.ts';
export { fileKinds } from './files/file-to-send.ts';
export type { SentFile } from './files/client-files.ts';
export type { FileSource } from './files/file-source.ts';
export type { FileProgress, SendFileOptions, TransferOptions } from './files/file-to-send.ts';
export type { OpenedFile, ReadOptions } from './files/opened-file.ts';
export { parseMessageId, parsePerson } from './history/message-names.ts';
export type { KnownPerson, ShownMessageId, ShownMessageName } from './history/message-names.ts';
export type { Capability } from './history/capabilities.ts';
export type { ChatSettings } from './history/chat-state.ts';
export type {
  MessageKind,
  MessageRecord,
  MessageState,
  ReceiptKind,
  ShownQuote,
} from './history/message-log.ts';
export type { PollResult } from './history/acts.ts';
export type { Identities, Identity, SafetyNumberView } from './identities/identities.ts';
export { type DevicesChange, type NoticeChange, noticeWords } from './notices/notice-change.ts';
export type { Notice } from './notices/notice-records.ts';
export type { Notices } from './notices/notices.ts';
export type { ResendRequest, Resends } from './outbox/resends.ts';
export type { ReportRequest, Reports, ReportSent } from './reports/reports.ts';
export { reportCategories } from './directory/report-request.ts';
export type { ReportCategory } from './directory/report-request.ts';
export { memoryStorage } from './storage/memory-storage.ts';
export { storageLimits } from './storage/row-storage.ts';
export type { RowChange, RowStorage, SealedRow } from './storage/row-storage.ts';
export type { AccountRecord } from './store/account-records.ts';
