// The person whose chats the page shows: signs them in, keeps their client connected, and tells what happens to it.
// Knows nothing of tabs and commands.
import {
  type Client,
  ClientError,
  type ClientEvent,
  type ConnectionStatus,
  openClient,
  shownName,
} from '@drawbridge/client';
import { explained, pageError } from './page-error.ts';
import { qrPicture } from '../qr-code.ts';
import type {
  CommandArguments,
  LinkAnswer,
  LinkState,
  PageError,
  PageEvent,
  Prefill,
  SessionState,
} from './protocol.ts';
import { messageView, personView, unsentView } from './views.ts';

export type SessionSettings = {
  readonly prefill: Prefill;
  readonly ca: string | undefined;
  readonly relay: string | undefined;
  /** Where keys and history of a person at a gatekeeper lie. */
  readonly folderOf: (identifier: string, gatekeeper: string) => string;
  readonly emit: (event: PageEvent) => void;
  /** What nobody expected: for whoever runs this process. */
  readonly onDefect: (error: unknown) => void;
};

/** How long to wait before the next attempt where the SDK does not try by itself (it has never been connected). */
const retryMs = 5_000;

type Account = CommandArguments<'session.beginLink'>;

/** A device that is to be linked: its client, and what its ticket says once it has come. */
type Linking = {
  readonly client: Client;
  readonly account: Account;
  accepted: Awaited<ReturnType<Client['devices']['openLink']>> | undefined;
};

export class Session {
  readonly #settings: SessionSettings;
  #state: SessionState;
  #link: LinkState = { kind: 'connecting' };
  #client: Client | undefined;
  #linking: Linking | undefined;
  #closed = false;
  #retry: NodeJS.Timeout | undefined;

  constructor(settings: SessionSettings) {
    this.#settings = settings;
    this.#state = { kind: 'signed-out', prefill: settings.prefill };
  }

  get state(): SessionState {
    return this.#state;
  }

  get link(): LinkState {
    return this.#link;
  }

  /** Undefined while nobody is signed in. */
  get client(): Client | undefined {
    return this.#state.kind === 'open' ? this.#client : undefined;
  }

  /** Rejects with `ClientError`; then nobody is signed in, and the page is told why. */
  async signIn({ replace, ...account }: CommandArguments<'session.signIn'>): Promise<void> {
    await this.#opening(account, async client => {
      await client.account.enlist({ replace });
      this.#admit(client, account);
    });
  }

  /** First step of linking: shows a code for the device that its person has. Rejects as `signIn` does. */
  async beginLink(account: Account): Promise<void> {
    await this.#opening(account, async client => {
      const { code, requestCode } = await client.devices.beginLink();
      const qr = qrPicture(code);
      this.#linking = { client, account, accepted: undefined };
      this.#become({ kind: 'linking', code, requestCode, ...(qr === undefined ? {} : { qr }) });
    });
  }

  /** Second: reads what that device gave. Nothing of it is in force before `confirmLink`. */
  async openLink(ticket: string): Promise<LinkAnswer> {
    const linking = this.#needLinking();
    linking.accepted = await linking.client.devices.openLink(ticket);
    const { identifier, provider, answerCode } = linking.accepted;
    return { identifier: shownName(identifier), provider: shownName(provider), answerCode };
  }

  /** Last: this device is one of theirs, and asks for the history. Rejects with `ClientError`; what a retry helps stays. */
  async confirmLink(): Promise<void> {
    const { client, account, accepted } = this.#needLinking();
    if (accepted === undefined) throw new ClientError('link-failed');
    try {
      await accepted.confirm();
    } catch (error) {
      if (!(error instanceof ClientError && error.retry)) await this.#giveUp(client, account, error);
      throw error;
    }
    this.#linking = undefined;
    this.#admit(client, account, true);
  }

  async endLink(): Promise<void> {
    const { client, account, accepted } = this.#needLinking();
    accepted?.refuse();
    await this.#giveUp(client, account);
  }

  #needLinking(): Linking {
    if (this.#linking === undefined) throw new ClientError('link-failed');
    return this.#linking;
  }

  async #opening(account: Account, work: (client: Client) => Promise<void>): Promise<void> {
    const { ca, relay, folderOf } = this.#settings;
    this.#become({ kind: 'opening' });
    const { gatekeeper, provider, identifier, password, passphrase } = account;
    let client: Client | undefined;
    try {
      client = await openClient({
        folder: folderOf(identifier, gatekeeper),
        passphrase,
        gatekeeper,
        provider: { url: provider, identifier, password, signUp: true },
        ...(ca === undefined ? {} : { ca }),
        ...(relay === undefined ? {} : { relay }),
      });
      await work(client);
    } catch (error) {
      await this.#giveUp(client, account, error);
      throw error;
    }
  }

  async #giveUp(client: Client | undefined, account: Account, error?: unknown): Promise<void> {
    const { gatekeeper, provider, identifier } = account;
    this.#linking = undefined;
    await client?.close();
    const fault = error === undefined ? {} : { fault: explained(error) ?? pageError('internal') };
    const prefill = { ...this.#settings.prefill, gatekeeper, provider, identifier };
    this.#become({ kind: 'signed-out', prefill, ...fault });
  }

  #admit(client: Client, { provider, identifier }: Account, isNew = false): void {
    const me = client.me!;
    this.#client = client;
    void this.#follow(client, me.interopId);
    const person = personView({ interopId: me.interopId, provider: new URL(provider).host, identifier });
    this.#become({ kind: 'open', me: { ...person, gatekeeper: me.domain, deviceId: me.deviceId } });
    this.#settings.emit({ kind: 'chats' });
    void this.#connect(client, isNew);
  }

  /** Ends the stream in order; what waits stays in the outbox. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#retry);
    await this.#linking?.client.close();
    await this.#client?.close();
  }

  #become(state: SessionState): void {
    this.#state = state;
    this.#settings.emit({ kind: 'session', session: state });
  }

  #linkIs(link: LinkState): void {
    this.#link = link;
    this.#settings.emit({ kind: 'link', link });
  }

  /** The SDK stays connected by itself once it was; before that, somebody has to ask again. */
  async #connect(client: Client, isNew = false): Promise<void> {
    try {
      await client.connect();
      if (isNew) await client.devices.requestHistory();
    } catch (error) {
      if (this.#closed) return;
      const told = explained(error);
      if (told === undefined) return this.#settings.onDefect(error);
      if (client.status.kind === 'online') return;
      if (!told.retry) return this.#linkIs({ kind: 'stopped', error: told });
      this.#linkIs({ kind: 'waiting', error: told });
      this.#retry = setTimeout(() => void this.#connect(client, isNew), retryMs);
    }
  }

  async #follow(client: Client, me: string): Promise<void> {
    try {
      for await (const event of client.events()) {
        for (const told of this.#told(event, me)) this.#settings.emit(told);
      }
    } catch (error) {
      if (!this.#closed) this.#settings.onDefect(error);
    }
  }

  #told(event: ClientEvent, me: string): PageEvent[] {
    switch (event.kind) {
      case 'status':
        this.#link = linkOf(event.status);
        return [
          { kind: 'link', link: this.#link },
          ...(event.status.kind === 'online' ? [{ kind: 'people' as const }] : []),
        ];
      case 'message': {
        const message = messageView(event.message, me);
        const told: PageEvent[] = [
          { kind: 'message', change: event.change, message },
          { kind: 'chats', chat: message.chat },
        ];
        // A first message may be a request, an answer of one's own accepts it.
        if (event.change === 'new') told.push({ kind: 'people' });
        return told;
      }
      case 'chat':
        return [{ kind: 'chats', ...(event.chat === undefined ? {} : { chat: event.chat }) }];
      // Chats of a provider close and open with it.
      case 'consent':
      case 'provider-block':
        return [{ kind: 'people' }, { kind: 'chats' }];
      case 'contact':
        return [{ kind: 'people' }, { kind: 'chats', chat: event.interopId }];
      case 'typing':
        return [{ kind: 'typing', chat: event.from, state: event.state }];
      case 'expiry-timer':
      case 'missing':
        return [{ kind: 'chats', chat: event.chat }];
      case 'profile':
        return [{ kind: 'chats', chat: event.interopId }];
      case 'identity':
        return [{ kind: 'notices' }, { kind: 'chats', chat: event.identity.interopId }];
      case 'devices':
        return [{ kind: 'notices' }];
      // Too much at once: everything is asked for again.
      case 'missed':
        return [{ kind: 'chats' }, { kind: 'people' }, { kind: 'notices' }];
      case 'history':
        return event.finished ? [{ kind: 'chats' }] : [];
      case 'file':
        return [{ kind: 'file', file: unsentView(event.file), gone: event.file.state === 'sent' }];
      case 'history-asked':
      case 'problem':
        return [];
    }
  }
}

function linkOf(status: ConnectionStatus): LinkState {
  switch (status.kind) {
    case 'online':
      return { kind: 'online' };
    case 'waiting':
      return { kind: 'waiting', ...errorOf(status.error) };
    case 'stopped':
      return { kind: 'stopped', ...errorOf(status.error) };
    case 'idle':
    case 'connecting':
      return { kind: 'connecting' };
  }
}

function errorOf(error: ClientError | undefined): { readonly error?: PageError } {
  const told = explained(error);
  return told === undefined ? {} : { error: told };
}
