// This person's name and picture: told to their own devices at once, and to everybody else with the next message.
// Knows nothing of what others say of themselves.
// Source: docs/protocol/09-content.md section 9.9.
import type { Profile } from '@drawbridge/e2ee/content-kinds';
import type { ClientEvent } from '../events.ts';
import { type Authoring, bytesOf, encoded } from '../history/authoring.ts';
import type { Outbox } from '../outbox/outbox.ts';
import { contentPayload } from '../outbox/rows.ts';
import type { Transaction } from '../store/store.ts';
import { readChat, writeChat } from '../store/message-records.ts';
import { readProfile } from '../store/person-records.ts';
import type { ChatId } from '../history/message-names.ts';

export class OwnProfile {
  readonly #authoring: Authoring;
  readonly #outbox: Outbox;

  constructor(authoring: Authoring, outbox: Outbox) {
    this.#authoring = authoring;
    this.#outbox = outbox;
  }

  /** The name and picture that go with the next message to each person. */
  set(profile: Profile): void {
    this.#authoring.announce(this.#authoring.transaction(tx => this.say(tx, profile)));
  }

  /** The same, in the caller's transaction. */
  say(tx: Transaction, profile: Profile): ClientEvent[] {
    return this.#authoring.sayToOwn(tx, this.#authoring.content({ ...profile, kind: 'profile' }));
  }

  /** Queues the profile for somebody who does not have it in its present form. */
  introduce(tx: Transaction, chat: ChatId): void {
    const known = readProfile(tx, this.#authoring.own);
    const before = readChat(tx, chat);
    if (known === undefined || before.profileSent?.id === known.id) return;
    const { atMs, id, profile } = known;
    const content = encoded({ messageId: bytesOf(id), sentAtMs: atMs, body: { ...profile, kind: 'profile' } });
    this.#outbox.add(tx, { to: chat, payload: contentPayload(content), silent: true, act: { what: 'profile' } });
    writeChat(tx, { ...before, profileSent: { atMs, id } });
  }
}
