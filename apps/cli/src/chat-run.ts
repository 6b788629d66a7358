// A person at a terminal: what they type becomes calls of the SDK, what happens becomes lines.
// Everything that others wrote is shown as text alone: control characters never reach the terminal.
import { createInterface, type Interface } from 'node:readline';
import { type Client, type Message, openClient } from '@drawbridge/client/client';
import { ClientError } from '@drawbridge/client/errors';
import type { ClientEvent } from '@drawbridge/client/events';
import type { ChatPerson } from './chat.ts';
import { CommandError } from './command-error.ts';

type Peer = { readonly provider: string; readonly identifier: string };

export type ChatOptions = ChatPerson & {
  readonly password: string;
  readonly passphrase: string;
  readonly replace: boolean;
};

/** How long `/quit` waits for what is still in the outbox. */
const flushMs = 3_000;

/** What others wrote, as one harmless line: no control, bidirectional-control or line-separating characters. */
export function harmless(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Bidi_Control}\u2028\u2029]/gu, ' ');
}

export async function runChat(options: ChatOptions): Promise<void> {
  const { identifier, gatekeeper, provider, folder, ca, password, passphrase } = options;
  let client: Client;
  try {
    client = await openClient({
      folder,
      passphrase,
      gatekeeper,
      provider: { url: provider, identifier, password, signUp: true },
      ...(ca === undefined ? {} : { ca }),
    });
  } catch (error) {
    throw inWords(error);
  }
  const terminal = createInterface({
    input: process.stdin,
    output: process.stdout,
    prompt: '> ',
    terminal: process.stdin.isTTY,
  });
  const chat = new Chat(client, terminal);
  try {
    chat.say(`keys and history: ${folder}`);
    const me = await client.enlist({ replace: options.replace });
    chat.say(`you are ${identifier}, known to the gatekeeper as ${me.interopId}, device ${me.deviceId}`);
    await client.connect();
    chat.say('connected. /help says what you can type.');
    await chat.run();
  } catch (error) {
    throw inWords(error);
  } finally {
    terminal.close();
    await client.close();
  }
}

/** SDK errors say what to do; here they end the command with those words. */
function inWords(error: unknown): unknown {
  return error instanceof ClientError ? new CommandError(error.message, '') : error;
}

const help = `  /to PROVIDER NAME     write to somebody: /to citadel.example bob
  TEXT                  send it to whom you write to
  /history [N]          the last messages with them
  /react EMOJI          react to their last message; /edit TEXT and /delete change your own last one
  /consent, /optin PROVIDER, /optout PROVIDER    which providers' people may reach you
  /safety               the safety number to compare; /verify after you have; /accept a changed one
  /devices              your devices; /link CODE lets another one in
  /quit                 goodbye`;

class Chat {
  readonly #client: Client;
  readonly #terminal: Interface;
  /** Lines typed and not yet obeyed; readline forgets those that nobody waits for. */
  readonly #typed: string[] = [];
  #wake = (): void => {};
  #ended = false;
  #peer: Peer | undefined;
  #lastOwn: string | undefined;
  #lastTheirs: Message | undefined;

  constructor(client: Client, terminal: Interface) {
    this.#client = client;
    this.#terminal = terminal;
    terminal.on('line', line => {
      this.#typed.push(line.trim());
      this.#wake();
    });
    terminal.on('close', () => {
      this.#ended = true;
      this.#wake();
    });
    terminal.on('SIGINT', () => terminal.close());
  }

  /** Prints above the line that is being typed. */
  say(line: string): void {
    if (process.stdout.isTTY) process.stdout.write('\r\u001b[K');
    process.stdout.write(`${line}\n`);
    this.#prompt();
  }

  #prompt(): void {
    if (process.stdin.isTTY && !this.#ended) this.#terminal.prompt(true);
  }

  async run(): Promise<void> {
    void this.#showMessages().catch(() => {});
    void this.#showEvents().catch(() => {});
    for (;;) {
      const line = this.#typed.shift();
      if (line === '/quit') break;
      if (line !== undefined) {
        if (line !== '') await this.#obey(line).catch((error: unknown) => this.#explain(error));
        continue;
      }
      if (this.#ended) break;
      this.#prompt();
      await new Promise<void>(resolve => {
        this.#wake = resolve;
      });
    }
    this.#ended = true;
    await this.#flushed();
  }

  async #obey(line: string): Promise<void> {
    if (!line.startsWith('/')) {
      if (this.#peer === undefined) this.say('to whom? for example: /to citadel.example bob');
      else this.#lastOwn = (await this.#client.send(this.#peer, { text: line })).id;
      return;
    }
    const [command = '', ...words] = line.split(/\s+/);
    const rest = line.slice(command.length).trim();
    switch (command) {
      case '/help':
        this.say(help);
        return;
      case '/to': {
        const [provider, ...name] = words;
        if (provider === undefined || name.length === 0)
          this.say('/to PROVIDER NAME, for example: /to citadel.example bob');
        else {
          const found = await this.#client.find(provider, name.join(' '));
          this.#peer = { provider, identifier: name.join(' ') };
          this.say(`writing to ${harmless(found.identifier ?? '')} of ${harmless(provider)}: ${disclosure(provider)}`);
        }
        return;
      }
      case '/history':
        await this.#history(Number(words[0] ?? 20));
        return;
      case '/react':
        if (this.#lastTheirs === undefined) this.say('nothing to react to yet');
        else await this.#client.react(this.#lastTheirs, rest);
        return;
      case '/edit':
        if (this.#lastOwn === undefined) this.say('nothing of yours to edit yet');
        else await this.#client.edit(this.#lastOwn, { text: rest });
        return;
      case '/delete':
        if (this.#lastOwn === undefined) this.say('nothing of yours to delete yet');
        else await this.#client.delete(this.#lastOwn);
        return;
      case '/consent':
        for (const { name, number, optedIn } of await this.#client.consent()) {
          this.say(`  ${harmless(name)} (${number}): ${optedIn ? 'its people may reach you' : 'off'}`);
        }
        return;
      case '/optin':
        await this.#client.optIn(rest);
        this.say(
          `people of ${harmless(rest)} can reach you now, and you them. Their service has its own rules for their copies.`,
        );
        return;
      case '/optout':
        await this.#client.optOut(rest);
        this.say(`people of ${harmless(rest)} can't reach you any more`);
        return;
      case '/safety': {
        const peer = this.#needPeer();
        if (peer !== undefined) this.say((await this.#client.safetyNumber(peer)).formatted);
        return;
      }
      case '/verify': {
        const peer = this.#needPeer();
        if (peer === undefined) return;
        await this.#client.setVerified(peer, (await this.#client.identity(peer)).identityKey);
        this.say('verified: if their key changes, nothing is sent before you accept it');
        return;
      }
      case '/accept': {
        const peer = this.#needPeer();
        if (peer === undefined) return;
        const { pending } = await this.#client.identity(peer);
        if (pending === undefined) this.say('there is no changed key to accept');
        else await this.#client.acceptIdentity(peer, pending.identityKey);
        return;
      }
      case '/devices':
        for (const { deviceId } of (await this.#client.enlistmentStatus()).devices) {
          this.say(`  device ${deviceId}${deviceId === this.#client.me?.deviceId ? ' (this one)' : ''}`);
        }
        return;
      case '/link':
        if (rest === '') this.say('/link CODE: the code that the new device shows');
        else this.say(`type this on the new device: ${await this.#client.authoriseLink(rest)}`);
        return;
      default:
        this.say(`there is no ${harmless(command)}; /help says what there is`);
    }
  }

  #needPeer(): Peer | undefined {
    if (this.#peer === undefined) this.say('with whom? for example: /to citadel.example bob');
    return this.#peer;
  }

  async #history(count: number): Promise<void> {
    const limit = Number.isInteger(count) && count > 0 && count <= 500 ? count : 20;
    const rows = await this.#client.history({ limit, ...(this.#peer === undefined ? {} : { chat: this.#peer }) });
    for (const { message } of rows.toReversed()) {
      const own = message.author === this.#client.me?.interopId;
      const name = own ? 'you' : (message.from.identifier ?? 'somebody');
      this.say(
        `  ${new Date(message.sentAtMs).toLocaleTimeString()} ${harmless(name)}: ${shown(message)}${own ? ` (${message.state ?? ''})` : ''}`,
      );
    }
  }

  async #showMessages(): Promise<void> {
    for await (const message of this.#client.messages()) {
      this.#lastTheirs = message;
      const { identifier, provider } = message.from;
      this.say(`${harmless(identifier ?? 'somebody')} (${harmless(provider ?? 'unknown')}): ${shown(message)}`);
      if (process.stdin.isTTY) await message.markRead();
    }
  }

  async #showEvents(): Promise<void> {
    for await (const event of this.#client.events()) {
      const line = eventLine(event, this.#client.me?.interopId);
      if (line !== undefined) this.say(line);
    }
  }

  #explain(error: unknown): void {
    if (!(error instanceof ClientError)) throw error;
    this.say(`not done: ${error.message}`);
  }

  /** Gives what was typed last a moment to leave. What does not is sent at the next start. */
  async #flushed(): Promise<void> {
    const giveUpAtMs = performance.now() + flushMs;
    while (performance.now() < giveUpAtMs) {
      const rows = await this.#client.history({ limit: 20 });
      if (!rows.some(({ message }) => message.state === 'queued')) return;
      await new Promise(resolve => setTimeout(resolve, 50));
    }
  }
}

/** Honest words about who takes part, for whoever is written to. */
function disclosure(provider: string): string {
  return `end-to-end encrypted; the gatekeeper sees that you write, not what; ${harmless(provider)} has its own rules for what its app keeps`;
}

function shown(message: Message): string {
  switch (message.kind) {
    case 'text':
      return `${harmless(message.text)}${message.edited === true ? ' (edited)' : ''}`;
    case 'unsupported':
      return '[something that this version can’t show yet]';
    case 'lost':
      return '[a message that could not be read, and could not be had again]';
    case 'deleted':
      return '[deleted]';
  }
}

function eventLine(event: ClientEvent, me: string | undefined): string | undefined {
  switch (event.kind) {
    case 'status':
      return event.status.kind === 'online' ? undefined : `(${event.status.kind})`;
    case 'message': {
      const { message, change } = event;
      if (message.author === me && change === 'state') {
        if (message.state === 'delivered' || message.state === 'read')
          return `  (${message.state}: ${harmless(message.text).slice(0, 40)})`;
        if (message.state === 'failed')
          return `  (not sent, ${message.failure?.code ?? 'unknown'}: ${harmless(message.text).slice(0, 40)})`;
        if (message.state === 'held') return '  (held: their key has changed. Compare /safety, then /accept)';
      }
      if (message.author !== me && change === 'content') return `  (changed) ${harmless(message.text)}`;
      return undefined;
    }
    case 'typing':
      return event.state === 'started' ? '  (is writing …)' : undefined;
    case 'identity':
      return `  (${event.identity.kind})`;
    case 'problem':
      return `  (${event.error.message})`;
    default:
      return undefined;
  }
}
