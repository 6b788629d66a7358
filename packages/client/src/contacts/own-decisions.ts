// A person decides about somebody on this device: the gatekeeper is told, then their own other devices, end to end.
// Knows nothing of what holds by the words of others.
// Source: docs/protocol/10-consent-and-reports.md section 10.1.
import type { OwnDecisionState } from '@drawbridge/e2ee/content-kinds';
import { everybodyOf, type InteropId } from '@drawbridge/wire/jid';
import { lastKnownAs } from '../directory/contact-records.ts';
import { sendDecision } from '../directory/contact-decisions.ts';
import type { Request } from '../directory/directory.ts';
import type { People, Recipient } from '../directory/people.ts';
import { needUserName } from '../directory/user-name.ts';
import type { Authoring } from '../history/authoring.ts';
import { chatWith } from '../history/message-names.ts';
import { ClientError } from '../errors.ts';
import type { Outbox } from '../outbox/outbox.ts';
import { readChat } from '../store/message-records.ts';
import type { Transaction } from '../store/store.ts';

export type OwnDecisionsContext = {
  readonly authoring: Authoring;
  readonly outbox: Pick<Outbox, 'hasRoom'>;
  readonly people: People;
  readonly request: Request;
  readonly domain: string;
};

type Verb = Parameters<typeof sendDecision>[1];
const states: Readonly<Record<Verb, OwnDecisionState>> = {
  accept: 'accepted',
  deny: 'denied',
  block: 'blocked',
  unblock: 'none',
};

export class OwnDecisions {
  readonly #context: OwnDecisionsContext;

  constructor(context: OwnDecisionsContext) {
    this.#context = context;
  }

  /** Rejects, and nothing is decided, when the gatekeeper does not take it. By name nobody is looked up. */
  async decide(verb: Verb, person: Recipient): Promise<void> {
    const { request, people, domain, authoring, outbox } = this.#context;
    // What the gatekeeper takes must reach the other devices.
    if (!authoring.transaction(tx => outbox.hasRoom(tx))) throw new ClientError('outbox-full');
    if (typeof person === 'object' && person !== null && 'provider' in person) {
      const name = needUserName(person.provider, person.identifier);
      await sendDecision(request, verb, { provider: name.provider, identifier: name.identifier });
      this.#note(verb, tx => lastKnownAs(tx, name));
      return;
    }
    const interopId = await people.other(person);
    await sendDecision(request, verb, { jid: `${interopId}@${domain}` });
    this.#note(verb, () => interopId);
  }

  /** About all people of a provider. Rejects with `not-found` for one's own, and one that is not there. */
  async decideProvider(verb: 'block' | 'unblock', number: number): Promise<void> {
    const { request, domain, authoring, outbox } = this.#context;
    if (!authoring.transaction(tx => outbox.hasRoom(tx))) throw new ClientError('outbox-full');
    const interopId = everybodyOf(number);
    await sendDecision(request, verb, { jid: `${interopId}@${domain}` });
    this.#note(verb, () => interopId);
  }

  #note(verb: Verb, who: (tx: Transaction) => InteropId | undefined): void {
    const { authoring } = this.#context;
    const events = authoring.transaction(tx => {
      const interopId = who(tx);
      if (interopId === undefined || interopId === authoring.own) return [];
      const { contact, decided } = readChat(tx, chatWith(interopId));
      // There is no block to take back.
      if (verb === 'unblock' && contact !== 'blocked' && decided?.state !== 'blocked') return [];
      return authoring.sync(tx, { decisions: [{ chat: interopId, state: states[verb] }] });
    });
    authoring.announce(events);
  }
}
