// Messages as the application gets them: with the author's name, and a way to say that they were read.
// Knows nothing of how messages are kept.
import type { Lifecycle } from '../connection/lifecycle.ts';
import type { Contact } from '../directory/people.ts';
import type { MessageRecord } from '../history/message-log.ts';

/** A message as the application gets it. */
export type Message = MessageRecord & {
  readonly from: Contact;
  /** Tells the author that it was read. Repeats do nothing. */
  readonly markRead: () => Promise<void>;
};

export async function presentMessage(lifecycle: Lifecycle, record: MessageRecord): Promise<Message> {
  const from = await lifecycle.worker().people.contact(record.author);
  const markRead = async (): Promise<void> => lifecycle.worker().receipts.markRead([record]);
  return { ...record, from, markRead };
}
