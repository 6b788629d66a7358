// What a client tells its application while it runs, and how any number of listeners read it at their own pace.
// Knows nothing of how an event came about.
import type { Profile } from '@drawbridge/e2ee/content-kinds';
import type { IdentityEvent } from '@drawbridge/e2ee/suite';
import type { InteropId } from '@drawbridge/wire/jid';
import type { ConnectionStatus } from './connection/connection.ts';
import type { DecisionState } from './directory/contact-decisions.ts';
import type { ProviderConsent } from './directory/directory.ts';
import type { ClientError } from './errors.ts';
import type { UnsentFile } from './files/unsent-file.ts';
import type { MessageRecord } from './history/message-log.ts';
import type { DevicesEvent } from './notices/notice-change.ts';
import type { ChatId } from './history/message-names.ts';

export type ClientEvent =
  | { readonly kind: 'status'; readonly status: ConnectionStatus }
  /** A message is new, or something about it is: its state, an edit, a reaction, a deletion; or it left the history. */
  | { readonly kind: 'message'; readonly change: MessageChange; readonly message: MessageRecord }
  /** Settings, timer or draft of a chat; without a chat: what holds for all. */
  | { readonly kind: 'chat'; readonly chat: ChatId | undefined }
  /**
   * What holds about somebody; `request`: a first contact waits for a decision. `claimed`: the gatekeeper says this in its place,
   * and no device of this person has said so, so that it does not hold.
   */
  | {
      readonly kind: 'contact';
      readonly interopId: InteropId;
      readonly state: DecisionState | 'none';
      readonly claimed?: DecisionState | 'none';
    }
  /**
   * All people of a provider are blocked, or are not any more. `isDoubted`: the gatekeeper says that they are not, and no device
   * of this person has said so, so that they stay blocked.
   */
  | {
      readonly kind: 'provider-block';
      readonly provider: number;
      readonly isBlocked: boolean;
      readonly isDoubted?: boolean;
    }
  /** Which providers this person has opted in to, chosen on whichever device. */
  | { readonly kind: 'consent'; readonly consents: readonly ProviderConsent[] }
  | { readonly kind: 'profile'; readonly interopId: InteropId; readonly profile: Profile }
  /** A new device of this person asks for the history: `client.devices.sendHistory` gives it. */
  | { readonly kind: 'history-asked'; readonly deviceId: number }
  /** History goes to, or comes from, another device of this person. */
  | {
      readonly kind: 'history';
      readonly direction: 'sending' | 'receiving';
      readonly deviceId: number;
      readonly done: number;
      readonly total: number;
      readonly finished: boolean;
    }
  /** A file that was to be sent when this device stopped goes on by itself: how far it is, and what becomes of it. */
  | { readonly kind: 'file'; readonly file: UnsentFile }
  | { readonly kind: 'typing'; readonly from: string; readonly state: 'started' | 'stopped' }
  /**
   * The timer for disappearing messages is another now. `lost`: this person had set this number of seconds at the same time, and
   * the other's setting holds.
   */
  | {
      readonly kind: 'expiry-timer';
      readonly from: string;
      readonly chat: ChatId;
      readonly seconds: number;
      readonly lost?: number;
    }
  /**
   * So many contents of a chat have not come although later ones of the same device have: they were withheld, or are under
   * way; 0: all came.
   */
  | { readonly kind: 'missing'; readonly chat: ChatId; readonly count: number }
  | { readonly kind: 'identity'; readonly identity: IdentityEvent }
  /** What became known of a person's devices: a notice says the same until it is acknowledged. */
  | DevicesEvent
  /** Something went wrong in the background and is tried again, or needs a person. */
  | { readonly kind: 'problem'; readonly error: ClientError }
  /** This listener was too slow, and this number of events was left out. What they said is in the store. */
  | { readonly kind: 'missed'; readonly count: number };

export type MessageChange = 'new' | 'state' | 'content' | 'removed';

export const maxWaitingEvents = 1_000;

type Listener = { queue: ClientEvent[]; missed: number; wake: (() => void) | undefined };

/** Hands every event to every listener. A slow listener loses its oldest events and is told; it never slows the client. */
export class EventHub {
  readonly #listeners = new Set<Listener>();
  #closed = false;

  emit(event: ClientEvent): void {
    for (const listener of this.#listeners) {
      listener.queue.push(event);
      if (listener.queue.length > maxWaitingEvents) {
        listener.queue.shift();
        listener.missed++;
      }
      listener.wake?.();
    }
  }

  /** Events from now on, until the iterator is left or the client closes. */
  listen(): AsyncIterableIterator<ClientEvent> {
    const listener: Listener = { queue: [], missed: 0, wake: undefined };
    if (!this.#closed) this.#listeners.add(listener);
    const next = async (): Promise<IteratorResult<ClientEvent, undefined>> => {
      for (;;) {
        if (listener.missed > 0) {
          const count = listener.missed;
          listener.missed = 0;
          return { done: false, value: { kind: 'missed', count } };
        }
        const event = listener.queue.shift();
        if (event !== undefined) return { done: false, value: event };
        if (!this.#listeners.has(listener)) return { done: true, value: undefined };
        await new Promise<void>(resolve => {
          listener.wake = resolve;
        });
        listener.wake = undefined;
      }
    };
    const end = (): Promise<IteratorResult<ClientEvent, undefined>> => {
      this.#listeners.delete(listener);
      listener.queue = [];
      listener.wake?.();
      return Promise.resolve({ done: true, value: undefined });
    };
    const iterator: AsyncIterableIterator<ClientEvent> = {
      next,
      return: end,
      [Symbol.asyncIterator]: () => iterator,
    };
    return iterator;
  }

  /** Ends all listeners once they have read what waits. */
  close(): void {
    this.#closed = true;
    const listeners = [...this.#listeners];
    this.#listeners.clear();
    for (const listener of listeners) listener.wake?.();
  }
}
