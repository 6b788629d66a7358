// A person at a terminal: what they type becomes calls of the SDK, what happens becomes lines.
// Everything that others wrote is shown as text alone: control characters never reach the terminal.
import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import {
  type Chat,
  type Client,
  ClientError,
  type ClientEvent,
  clientErrors,
  type FileProgress,
  type Message,
  type MessageRecord,
  openClient,
  type Outgoing,
  type Recipient,
} from '@drawbridge/client';
import type { AttachmentPointer } from '@drawbridge/e2ee/content-attachment';
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
const shownResults = 20;
const progressEveryMs = 2_000;
const shownBars = 24;

const fileCommands = { '/file': 'file', '/photo': 'image', '/video': 'video', '/voice': 'voice' } as const;

/** What others wrote, as one harmless line: no control, bidirectional-control or line-separating characters. */
export function harmless(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Bidi_Control}\u2028\u2029]/gu, ' ');
}

/** The path that a line begins with, in double quotes when it holds spaces, and what follows it. */
export function firstPath(line: string): [path: string, rest: string] {
  const match = /^(?:"([^"]+)"|(\S+))\s*(.*)$/.exec(line);
  return [match?.[1] ?? match?.[2] ?? '', match?.[3] ?? ''];
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
  const chat = new Conversation(client, terminal);
  try {
    chat.say(`keys and history: ${folder}`);
    const me = await client.account.enlist({ replace: options.replace });
    chat.say(`you are ${identifier}, known to the gatekeeper as ${me.interopId}, device ${me.deviceId}`);
    await client.connect();
    chat.say('connected. /help says what you can type.');
    for (const { name, state } of client.files.unsent()) {
      if (state !== 'failed') chat.say(`  (goes on sending ${harmless(name)})`);
    }
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
  /history [N]          the last messages with them; /search WORDS looks through all of them
  /chats                whom you talk to; /pin, /mute, /archive switch that for the one you write to
  /reply TEXT           answer their last message; /react EMOJI reacts to it; /open shows one that is to be seen once
  /edit TEXT, /delete   change your own last message; /versions shows what it said before
  /failed               your messages that could not be sent; /resend N sends the Nth again, /drop N lets it go
  /poll Q | A | B …     ask; /vote 1 2 … chooses in the last poll; /close ends your own
  /place LAT LON [NAME] send a place; /once TEXT sends what may be seen once
  /photo PATH [CAPTION] send a picture without what it says of its maker, place and time; /video and /voice likewise
  /file PATH [CAPTION]  send a file byte for byte, with all that it says; /save [N] PATH writes the last that they sent (its Nth) to PATH. "…" holds spaces
  /disappear SECONDS    messages from now on vanish so long after they were read; 0: they stay
  /name NAME            what people see as your name
  /receipts on|off      whether people learn that you have read their messages
  /sync                 on a new device: get the history from your others
  /consent, /optin PROVIDER, /optout PROVIDER    which providers' people may reach you
  /safety               the safety number to compare; /verify after you have; /accept a changed one
  /devices              your devices; /link CODE lets another one in
  /quit                 goodbye`;

class Conversation {
  readonly #client: Client;
  readonly #terminal: Interface;
  /** Lines typed and not yet obeyed; readline forgets those that nobody waits for. */
  readonly #typed: string[] = [];
  #wake = (): void => {};
  #ended = false;
  #peer: Peer | undefined;
  #lastOwn: string | undefined;
  #lastTheirs: Message | undefined;
  #lastPoll: Pick<Message, 'author' | 'id'> | undefined;
  #lastFiles: Message | undefined;

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
      else await this.#send(this.#peer, { text: line });
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
          const found = await this.#client.contacts.find(provider, name.join(' '));
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
        else await this.#client.chats.react(this.#lastTheirs, rest);
        return;
      case '/edit':
        if (this.#lastOwn === undefined) this.say('nothing of yours to edit yet');
        else await this.#client.chats.edit(this.#lastOwn, { text: rest });
        return;
      case '/delete':
        if (this.#lastOwn === undefined) this.say('nothing of yours to delete yet');
        else await this.#client.chats.delete(this.#lastOwn);
        return;
      case '/failed':
        for (const [index, { text, failure }] of (await this.#failed()).entries())
          this.say(`  ${index + 1}  ${harmless(text)} (${failure?.code}: ${harmless(failure?.detail ?? '')})`);
        return;
      case '/resend':
      case '/drop': {
        const message = (await this.#failed())[Number(words[0] ?? 1) - 1];
        if (message === undefined) this.say('there is no such message: /failed lists them');
        else if (command === '/resend') await this.#client.chats.resend(message.id);
        else await this.#client.chats.drop(message.id);
        return;
      }
      case '/reply':
        if (this.#lastTheirs === undefined) this.say('nothing to answer yet');
        else await this.#send(this.#lastTheirs.from, { text: rest, replyTo: this.#lastTheirs });
        return;
      case '/open':
        if (this.#lastTheirs?.kind !== 'view-once') this.say('there is nothing to be seen once');
        else this.say(`  ${shown(await this.#client.chats.openOnce(this.#lastTheirs))}`);
        return;
      case '/versions':
        if (this.#lastOwn === undefined) this.say('nothing of yours yet');
        else {
          const name = { author: this.#client.me?.interopId ?? '', id: this.#lastOwn };
          for (const { text, atMs } of await this.#client.chats.versions(name))
            this.say(`  ${clock(atMs)} ${harmless(text.text)}`);
        }
        return;
      case '/poll': {
        const [question = '', ...options] = rest.split('|').map(part => part.trim());
        const peer = this.#needPeer();
        if (peer !== undefined) await this.#send(peer, { kind: 'poll', question, options });
        return;
      }
      case '/vote':
        if (this.#lastPoll === undefined) this.say('there is no poll yet');
        else
          await this.#client.chats.vote(
            this.#lastPoll,
            words.map(word => Number(word) - 1),
          );
        return;
      case '/close':
        if (this.#lastPoll === undefined) this.say('there is no poll yet');
        else await this.#client.chats.closePoll(this.#lastPoll.id);
        return;
      case '/place': {
        const [latitude, longitude, ...name] = words;
        const peer = this.#needPeer();
        if (peer === undefined) return;
        const named = name.length === 0 ? {} : { name: name.join(' ') };
        await this.#send(peer, {
          kind: 'location',
          latitude: Number(latitude),
          longitude: Number(longitude),
          ...named,
        });
        return;
      }
      case '/once': {
        const peer = this.#needPeer();
        if (peer !== undefined) await this.#send(peer, { text: rest, viewOnce: true });
        return;
      }
      case '/file':
      case '/photo':
      case '/video':
      case '/voice':
        await this.#sendFile(command, rest);
        return;
      case '/save':
        await this.#save(rest);
        return;
      case '/disappear': {
        const peer = this.#needPeer();
        if (peer !== undefined) await this.#client.chats.setTimer(peer, Number(rest));
        return;
      }
      case '/search':
        await this.#search(rest);
        return;
      case '/chats':
        for (const chat of await this.#client.chats.list()) this.say(`  ${chatLine(chat)}`);
        return;
      case '/pin':
      case '/mute':
      case '/archive':
        await this.#switch(command);
        return;
      case '/name':
        await this.#client.account.setProfile({ displayName: rest });
        return;
      case '/receipts':
        await this.#client.chats.setDefaults({ sendRead: rest !== 'off', sendPlayed: rest !== 'off' });
        return;
      case '/sync':
        await this.#client.devices.requestHistory();
        return;
      case '/consent':
        for (const { name, number, optedIn } of await this.#client.account.consent()) {
          this.say(`  ${harmless(name)} (${number}): ${optedIn ? 'its people may reach you' : 'off'}`);
        }
        return;
      case '/optin':
        await this.#client.account.optIn(rest);
        this.say(
          `people of ${harmless(rest)} can reach you now, and you them. Their service has its own rules for their copies.`,
        );
        return;
      case '/optout':
        await this.#client.account.optOut(rest);
        this.say(`people of ${harmless(rest)} can't reach you any more`);
        return;
      case '/safety': {
        const peer = this.#needPeer();
        if (peer !== undefined) this.say((await this.#client.identities.safetyNumber(peer)).formatted);
        return;
      }
      case '/verify': {
        const peer = this.#needPeer();
        if (peer === undefined) return;
        await this.#client.identities.setVerified(peer, (await this.#client.identities.get(peer)).identityKey);
        this.say('verified: if their key changes, nothing is sent before you accept it');
        return;
      }
      case '/accept': {
        const peer = this.#needPeer();
        if (peer === undefined) return;
        const { pending } = await this.#client.identities.get(peer);
        if (pending === undefined) this.say('there is no changed key to accept');
        else await this.#client.identities.accept(peer, pending.identityKey);
        return;
      }
      case '/devices':
        for (const { deviceId } of await this.#client.devices.list()) {
          this.say(`  device ${deviceId}${deviceId === this.#client.me?.deviceId ? ' (this one)' : ''}`);
        }
        return;
      case '/link':
        if (rest === '') this.say('/link CODE: the code that the new device shows');
        else
          this.say(`type this on the new device: ${await this.#client.devices.authoriseLink(rest, { history: true })}`);
        return;
      default:
        this.say(`there is no ${harmless(command)}; /help says what there is`);
    }
  }

  async #send(to: Recipient, outgoing: Outgoing): Promise<void> {
    const message = await this.#client.send(to, outgoing);
    this.#lastOwn = message.id;
    if (message.kind === 'poll') this.#lastPoll = message;
  }

  async #sendFile(command: keyof typeof fileCommands, rest: string): Promise<void> {
    const [path, caption] = firstPath(rest);
    const peer = this.#needPeer();
    if (path === '') this.say(`${command} PATH [CAPTION]`);
    else if (peer !== undefined) {
      const kind = fileCommands[command];
      const message = await this.#client.files.send(peer, {
        path,
        caption,
        kind,
        onProgress: this.#progress('sending'),
      });
      this.#lastOwn = message.id;
      const [sent] = message.body?.kind === 'attachment' ? message.body.attachments : [];
      const unseen =
        kind === 'video' && sent?.thumbnail === undefined ? '; without a preview: there is no ffmpeg here' : '';
      this.say(`  (encrypted and uploaded: ${harmless(basename(path))}${unseen})`);
    }
  }

  async #save(rest: string): Promise<void> {
    const [, number = '1', words = ''] = /^(?:([0-9]{1,3})\s+)?(.*)$/.exec(rest) ?? [];
    const [path, more] = firstPath(words);
    if (path === '' || more !== '') this.say('/save [N] PATH');
    else if (this.#lastFiles === undefined) this.say('there is no file yet');
    // A slip of the hand must not cost a file.
    else if (existsSync(path)) this.say('there is something at that path already: choose another');
    else {
      await this.#client.files.save(this.#lastFiles, Number(number) - 1, path, {
        onProgress: this.#progress('fetching'),
      });
      this.say(`  (saved: ${harmless(path)})`);
    }
  }

  /** Tells now and then of a transfer that takes a while. */
  #progress(doing: string): (progress: FileProgress) => void {
    let toldAtMs = performance.now();
    return ({ bytes, totalBytes }) => {
      if (performance.now() - toldAtMs < progressEveryMs || bytes === totalBytes) return;
      toldAtMs = performance.now();
      this.say(`  (${doing}: ${Math.floor((bytes / totalBytes) * 100)} %)`);
    };
  }

  async #search(words: string): Promise<void> {
    let found = 0;
    for await (const { message } of this.#client.chats.search(words)) {
      this.say(`  ${clock(message.sentAtMs)} ${harmless(message.from.identifier ?? 'somebody')}: ${shown(message)}`);
      if (++found === shownResults) break;
    }
    if (found === 0) this.say('  nothing found');
  }

  /** What is on goes off. */
  async #switch(command: '/pin' | '/mute' | '/archive'): Promise<void> {
    const peer = this.#needPeer();
    if (peer === undefined) return;
    const { interopId } = await this.#client.contacts.find(peer.provider, peer.identifier);
    const listed = [
      ...(await this.#client.chats.list({ limit: 200 })),
      ...(await this.#client.chats.list({ archived: true })),
    ];
    const chat = listed.find(each => each.with.interopId === interopId);
    if (command === '/pin') await this.#client.chats.set(peer, { pinned: chat?.pinned !== true });
    if (command === '/archive') await this.#client.chats.set(peer, { archived: chat?.archived !== true });
    if (command === '/mute') {
      await this.#client.chats.set(peer, { mutedUntilMs: chat?.muted === true ? 0 : Number.MAX_SAFE_INTEGER });
    }
  }

  /** Own messages that could not be sent, newest first. */
  async #failed(): Promise<Message[]> {
    const rows = await this.#client.chats.messages({ limit: 500 });
    return rows.map(({ message }) => message).filter(({ state }) => state === 'failed');
  }

  #needPeer(): Peer | undefined {
    if (this.#peer === undefined) this.say('with whom? for example: /to citadel.example bob');
    return this.#peer;
  }

  async #history(count: number): Promise<void> {
    const limit = Number.isInteger(count) && count > 0 && count <= 500 ? count : 20;
    const rows = await this.#client.chats.messages({
      limit,
      ...(this.#peer === undefined ? {} : { chat: this.#peer }),
    });
    for (const { message } of rows.toReversed()) {
      const own = message.author === this.#client.me?.interopId;
      const name = own ? 'you' : (message.from.identifier ?? 'somebody');
      this.say(
        `  ${clock(message.sentAtMs)} ${harmless(name)}: ${shown(message)}${own ? ` (${message.state ?? ''})` : ''}`,
      );
    }
  }

  async #showMessages(): Promise<void> {
    for await (const message of this.#client.messages()) {
      this.#lastTheirs = message;
      if (message.kind === 'poll') this.#lastPoll = message;
      if (message.kind === 'attachment') this.#lastFiles = message;
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
    const next = error.code === 'media-unreadable' ? ' Here that is /file PATH.' : '';
    this.say(`not done: ${error.message}${next}`);
  }

  /** Gives what was typed last a moment to leave. What does not is sent at the next start. */
  async #flushed(): Promise<void> {
    const giveUpAtMs = performance.now() + flushMs;
    while (performance.now() < giveUpAtMs) {
      const rows = await this.#client.chats.messages({ limit: 20 });
      if (!rows.some(({ message }) => message.state === 'queued')) return;
      await new Promise(resolve => setTimeout(resolve, 50));
    }
  }
}

/** Honest words about who takes part, for whoever is written to. */
function disclosure(provider: string): string {
  return `end-to-end encrypted; the gatekeeper sees that you write, not what; ${harmless(provider)} has its own rules for what its app keeps`;
}

function clock(ms: number): string {
  return new Date(ms).toLocaleTimeString();
}

function chatLine(chat: Chat): string {
  const marks = [
    chat.pinned ? 'pinned' : '',
    chat.muted ? 'muted' : '',
    chat.unread > 0 ? `${chat.unread} unread` : '',
    chat.timerSeconds > 0 ? `messages vanish after ${chat.timerSeconds} s` : '',
  ].filter(mark => mark !== '');
  const said = chat.profile?.displayName ?? '';
  const name = `${harmless(chat.with.identifier ?? 'somebody')}${said === '' ? '' : ` “${harmless(said)}”`}`;
  const last = chat.lastMessage === undefined ? '' : shown(chat.lastMessage).slice(0, 60);
  return `${name}${marks.length === 0 ? '' : ` (${marks.join(', ')})`}: ${last}`;
}

function shown(message: MessageRecord): string {
  const quoted = message.replyTo === undefined ? '' : `“${harmless(message.replyTo.excerpt).slice(0, 40)}” ← `;
  const reactions = Object.values(message.reactions ?? {})
    .map(harmless)
    .join('');
  return `${quoted}${shownBody(message)}${message.edited === true ? ' (edited)' : ''}${reactions === '' ? '' : ` [${reactions}]`}`;
}

function shownBody(message: MessageRecord): string {
  const text = harmless(message.text);
  switch (message.kind) {
    case 'text':
      return text;
    case 'attachment':
      return `[${message.body?.kind === 'attachment' ? message.body.attachments.map(shownAttachment).join(', ') : 'file'}] ${text}`;
    case 'contacts':
      return `[contact] ${text}`;
    case 'location':
      return `[place] ${text}`;
    case 'sticker':
      return `[sticker] ${text}`;
    case 'poll':
      return pollLine(message);
    case 'view-once':
      return '[to be seen once: /open]';
    case 'opened':
      return '[was seen once]';
    case 'unsupported':
      return `[your app can’t show this yet] ${text}`;
    case 'lost':
      return '[a message that could not be read, and could not be had again]';
    case 'deleted':
    case 'expired':
    case 'hidden':
      return '[deleted]';
  }
}

/** Kind and measures. Everything in it is a number or one of our own words. */
export function shownAttachment(pointer: AttachmentPointer): string {
  const { kind, width, height, durationMs, waveform, animated } = pointer;
  const parts: string[] = [kind];
  if (width !== undefined && height !== undefined) parts.push(`${width}×${height}`);
  if (durationMs !== undefined) {
    const seconds = Math.round(durationMs / 1_000);
    parts.push(`${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`);
  }
  if (waveform !== undefined && waveform.length > 0) parts.push(bars(waveform));
  if (animated === true) parts.push('moving');
  return parts.join(' ');
}

/** A waveform in one line: for each of so many pieces the loudest step of it. */
function bars(waveform: Uint8Array): string {
  const count = Math.min(waveform.length, shownBars);
  const pieces = Array.from({ length: count }, (_, at) =>
    waveform.subarray(Math.floor((at * waveform.length) / count), Math.floor(((at + 1) * waveform.length) / count)),
  );
  return pieces.map(piece => '▁▂▃▄▅▆▇█'[Math.max(...piece) >> 5]).join('');
}

function pollLine({ body, poll }: MessageRecord): string {
  if (body?.kind !== 'poll') return '[poll]';
  const votes = Object.values(poll?.votes ?? {}).flat();
  const options = body.options.map((option, at) => {
    const count = votes.filter(vote => vote === at).length;
    return `${at + 1} ${harmless(option)}${count === 0 ? '' : ` (${count})`}`;
  });
  return `[poll${poll?.closed === true ? ', closed' : ''}] ${harmless(body.question)} ${options.join(', ')}`;
}

function eventLine(event: ClientEvent, me: string | undefined): string | undefined {
  switch (event.kind) {
    case 'status':
      return event.status.kind === 'online' ? undefined : `(${event.status.kind})`;
    case 'message': {
      const { message, change } = event;
      if (message.author === me && change === 'state') {
        if (message.state === 'delivered' || message.state === 'read' || message.state === 'played')
          return `  (${message.state}: ${harmless(message.text).slice(0, 40)})`;
        if (message.state === 'failed')
          return `  (not sent, ${message.failure?.code ?? 'unknown'}: ${harmless(message.text).slice(0, 40)})`;
        if (message.state === 'held') return '  (held: their key has changed. Compare /safety, then /accept)';
      }
      if (message.author !== me && change === 'content') return `  (changed) ${shown(message)}`;
      if (message.author === me && change === 'content' && message.reactions !== undefined)
        return `  ${shown(message)}`;
      if (message.author === me && change === 'content' && message.kind === 'poll') return `  ${shown(message)}`;
      return undefined;
    }
    case 'file': {
      const { name, state, failure } = event.file;
      if (state === 'sent') return `  (encrypted and uploaded: ${harmless(name)})`;
      if (failure === undefined) return undefined;
      return `  (not sent: ${harmless(name)}: ${clientErrors[failure.code].text})`;
    }
    case 'typing':
      return event.state === 'started' ? '  (is writing …)' : undefined;
    case 'expiry-timer':
      return event.seconds === 0
        ? '  (messages stay from now on)'
        : `  (messages vanish ${event.seconds} s after they were read)`;
    case 'profile':
      return event.interopId === me ? undefined : `  (calls themselves “${harmless(event.profile.displayName)}”)`;
    case 'history-asked':
      return `  (your device ${event.deviceId} asks for the history; it was not linked with it)`;
    case 'history':
      return `  (history ${event.direction}: ${event.finished ? 'done' : `${event.done} of ${event.total}`})`;
    case 'identity':
      return `  (${event.identity.kind})`;
    case 'problem':
      return `  (${event.error.message})`;
    default:
      return undefined;
  }
}
