// Named limits of the kinds of content other than text.
// Values alone.

export const contentKindLimits = {
  maxNameBytes: 256,
  maxAboutBytes: 1_024,
  maxContacts: 20,
  /** Telephone numbers, and addresses, of one contact. */
  maxContactEntries: 20,
  maxContactEntryBytes: 256,
  maxPlaceBytes: 512,
  maxEmojiBytes: 64,
  maxQuestionBytes: 1_024,
  maxOptions: 20,
  maxOptionBytes: 512,
  maxVoteVersion: 1_000_000,
  /** Votes that the end of a poll names: one of each person. */
  maxCountedVotes: 1_024,
  /** Reads, hidden messages, chats and decisions in one sync: each. */
  maxSyncEntries: 200,
  maxReasonBytes: 64,
  maxHistoryItems: 500,
  /** In one page of whom a person knows. */
  maxPeople: 500,
} as const;
