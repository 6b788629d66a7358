// `client.contacts`: the people that this person writes with. Finds them by name and says what is known of them.
// Knows nothing of their keys (`client.identities`) or of chats.
import type { Profile } from '@drawbridge/e2ee/content-kinds';
import { type InteropId, isEverybody } from '@drawbridge/wire/jid';
import type { LocalDevice } from '../account/local-device.ts';
import type { Lifecycle } from '../connection/lifecycle.ts';
import { listWaiting, type Move } from '../directory/moved-names.ts';
import type { Contact, Recipient } from '../directory/people.ts';
import {
  type Decision,
  type DecisionState,
  fetchDecisions,
  type sendDecision,
} from '../directory/contact-decisions.ts';
import { shownProfile } from '../display/shown-profile.ts';
import { listContacts } from '../directory/contact-records.ts';
import { ProviderNumbers } from '../directory/provider-numbers.ts';
import { readProviderName } from '../directory/user-name.ts';
import { ClientError } from '../errors.ts';
import { allChats } from '../history/history.ts';
import { chatWith, personOf } from '../history/message-names.ts';
import { blockedProviders, chatInForce, isProviderBlocked } from '../history/provider-block.ts';
import { standingOf } from '../history/standing.ts';
import { readChat } from '../store/message-records.ts';
import { readProfile } from '../store/person-records.ts';

export class Contacts {
  readonly #device: LocalDevice;
  readonly #lifecycle: Lifecycle;

  constructor(device: LocalDevice, lifecycle: Lifecycle) {
    this.#device = device;
    this.#lifecycle = lifecycle;
  }

  /**
   * Looks a name up in the directory. Rejects with `invalid-argument` for what no provider can call anybody, `not-found`,
   * the same for unknown and unreachable, and `untrusted-identity` when a verified contact would lose or get the name.
   */
  async find(provider: string, identifier: string): Promise<Contact> {
    return this.#lifecycle.live().people.find(provider, identifier);
  }

  /**
   * What the gatekeeper keeps of this person's decisions about others, of whichever device; the latest last. Blocks of providers
   * are in `blockedProviders`.
   */
  async decisions(): Promise<Decision[]> {
    const decisions = await fetchDecisions(this.#lifecycle.live().request);
    return decisions.filter(({ interopId }) => !isEverybody(interopId));
  }

  /** People whose first messages wait for a decision, also without a stream. To answer is to accept. */
  async requests(): Promise<Contact[]> {
    const waiting = this.#device.transaction(tx =>
      allChats(tx).filter(({ chat, contact }) => contact === 'request' && !isProviderBlocked(tx, personOf(chat))),
    );
    return Promise.all(waiting.map(({ chat }) => this.get(personOf(chat))));
  }

  /**
   * What holds about somebody on this device; changes are events of kind `contact`. The gatekeeper's word makes it stricter; only
   * this person, here or on another device, makes it laxer.
   */
  decision(interopId: InteropId): DecisionState | 'none' {
    return standingOf(this.#device.transaction(tx => chatInForce(tx, chatWith(interopId))));
  }

  /** What the gatekeeper says in place of it, laxer, while no device of this person has said so. To decide here ends it. */
  unconfirmed(interopId: InteropId): DecisionState | 'none' | undefined {
    return this.#device.transaction(tx => readChat(tx, chatWith(interopId))).claim?.state;
  }

  async accept(person: Recipient): Promise<void> {
    await this.#decide('accept', person);
  }

  /** Nothing of theirs comes any more. They are not told, and see somebody who is away. */
  async deny(person: Recipient): Promise<void> {
    await this.#decide('deny', person);
  }

  /** As `deny`, and nothing is sent to them. By name also somebody who is not enlisted. */
  async block(person: Recipient): Promise<void> {
    await this.#decide('block', person);
  }

  /** As it was before the block. */
  async unblock(person: Recipient): Promise<void> {
    await this.#decide('unblock', person);
  }

  /**
   * Blocks all people of a provider, on all devices: as `block` does one. What was decided about single people stays beneath it,
   * and holds again after `unblockProvider`. By number, or by a name that was heard here; rejects with `not-found` otherwise.
   */
  async blockProvider(provider: number | string): Promise<void> {
    await this.#decideProvider('block', provider);
  }

  async unblockProvider(provider: number | string): Promise<void> {
    await this.#decideProvider('unblock', provider);
  }

  /** Providers whose people are all blocked; `name` as far as it is known. */
  blockedProviders(): { readonly number: number; readonly name: string | undefined }[] {
    const numbers = new ProviderNumbers(this.#device.enlisted().account.domain);
    return this.#device.transaction(tx =>
      blockedProviders(tx).map(number => ({ number, name: numbers.nameOf(tx, number) })),
    );
  }

  async #decideProvider(verb: 'block' | 'unblock', provider: number | string): Promise<void> {
    const number = typeof provider === 'number' ? provider : this.#numberOf(provider);
    if (number === undefined) throw new ClientError('not-found', { detail: 'provider' });
    const isNumber = Number.isInteger(number) && number >= 0 && number <= 65_535;
    if (!isNumber) throw new ClientError('invalid-argument', { detail: 'provider' });
    await this.#lifecycle.live().decisions.decideProvider(verb, number);
  }

  #numberOf(provider: string): number | undefined {
    const numbers = new ProviderNumbers(this.#device.enlisted().account.domain);
    const name = readProviderName(provider);
    return name === undefined ? undefined : this.#device.transaction(tx => numbers.numberOf(tx, name));
  }

  async #decide(decision: Parameters<typeof sendDecision>[1], person: Recipient): Promise<void> {
    await this.#lifecycle.live().decisions.decide(decision, person);
  }

  /** Names that are said to lead to somebody, and wait for a decision: a verified contact would lose or get them. */
  moves(): Move[] {
    return this.#device
      .transaction(listWaiting)
      .map(({ name: { provider, identifier }, interopId }) => ({ provider, identifier, interopId }));
  }

  /** As the notices `contact-moved` and `contact-renamed` tell: the name is theirs from now on. */
  acceptMove(move: Move): void {
    this.#lifecycle.worker().people.acceptMove(move);
  }

  /** It stays with the contact who had it, or nobody's. What is sent to them goes on; this answer is not asked about again. */
  rejectMove(move: Move): void {
    this.#lifecycle.worker().people.rejectMove(move);
  }

  /** The name of an InteropId, as far as it is known or can be asked for now. */
  async get(interopId: InteropId): Promise<Contact> {
    return this.#lifecycle.worker().people.contact(interopId);
  }

  /** Everybody whose name is known here, also those who were only looked up; not oneself. */
  list(): { readonly provider: string; readonly identifier: string; readonly interopId: InteropId }[] {
    const own = this.#device.account?.interopId;
    return this.#device
      .transaction(listContacts)
      .filter(({ interopId }) => interopId !== own)
      .map(({ interopId, name: { provider, identifier } }) => ({ provider, identifier, interopId }));
  }

  /** What somebody said of themselves; of oneself without an argument. Never proof of who they are. */
  async profile(person?: Recipient): Promise<Profile | undefined> {
    const own = this.#device.own();
    const interopId = person === undefined ? own : await this.#lifecycle.worker().people.resolve(person);
    const known = this.#device.transaction(tx => readProfile(tx, interopId));
    return known === undefined ? undefined : shownProfile(known.profile);
  }
}
