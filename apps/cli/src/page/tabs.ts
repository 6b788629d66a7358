// The open tabs: each says where it is, gets what it missed and what happens, sends commands and gets their results.
// Knows nothing of HTTP, of who may open a socket, and of what commands do.
import { randomBytes } from 'node:crypto';
import { Compile } from 'typebox/schema';
import type { WebSocket } from 'ws';
import type { DeskCommand, Outcome } from './desk.ts';
import { EventLog } from './event-log.ts';
import { pageError } from './page-error.ts';
import {
  commandFrameSchema,
  frameLimits,
  helloSchema,
  type LinkState,
  type PageEvent,
  type PageFrame,
  type ProcessFrame,
  type SessionState,
} from './protocol.ts';

const isHello = Compile(helloSchema);
const isCommand = Compile(commandFrameSchema);

/** Close codes of RFC 6455: after `unfit` nothing that was said is said again, `behind` may come at once. */
const closeCodes = { unfit: 1008, behind: 1013, ended: 1001 } as const;

export type TabsSettings = {
  readonly obey: (command: DeskCommand) => Promise<Outcome>;
  readonly now: () => { readonly session: SessionState; readonly link: LinkState };
};

type Tab = { readonly socket: WebSocket; greeted: boolean; underWay: number };

export class Tabs {
  /** Of this process: numbers of another one say nothing here. */
  readonly epoch = randomBytes(12).toString('base64url');
  readonly #settings: TabsSettings;
  readonly #log = new EventLog(frameLimits.maxKeptEvents, frameLimits.maxKeptEventBytes);
  readonly #tabs = new Set<Tab>();

  constructor(settings: TabsSettings) {
    this.#settings = settings;
  }

  get isFull(): boolean {
    return this.#tabs.size >= frameLimits.maxTabs;
  }

  add(socket: WebSocket): void {
    const tab: Tab = { socket, greeted: false, underWay: 0 };
    this.#tabs.add(tab);
    socket.on('close', () => this.#tabs.delete(tab));
    socket.on('error', () => socket.terminate());
    socket.on('message', (data, isBinary) => {
      const frame = isBinary ? undefined : parseFrame((data as Buffer).toString());
      if (frame === undefined) return socket.close(closeCodes.unfit, 'not a frame');
      this.#take(tab, frame);
    });
  }

  tell(event: PageEvent): void {
    const frame = this.#log.add(event);
    for (const tab of this.#tabs) if (tab.greeted) this.#sendText(tab, frame);
  }

  close(): void {
    for (const { socket } of this.#tabs) socket.close(closeCodes.ended, 'the process ends');
  }

  #take(tab: Tab, frame: PageFrame): void {
    if (frame.kind === 'command') {
      if (tab.greeted) void this.#obey(tab, frame);
      else tab.socket.close(closeCodes.unfit, 'hello comes first');
      return;
    }
    if (tab.greeted) return tab.socket.close(closeCodes.unfit, 'hello comes once');
    tab.greeted = true;
    const isOurs = frame.epoch === this.epoch && frame.after !== undefined;
    const missed = isOurs ? this.#log.after(frame.after!) : undefined;
    const mode = missed === undefined ? 'reset' : 'resumed';
    const { epoch } = this;
    this.#send(tab, { kind: 'welcome', epoch, last: this.#log.last, mode, ...this.#settings.now() });
    for (const frame of missed ?? []) this.#sendText(tab, frame);
  }

  async #obey(tab: Tab, { id, key, name, arguments: given }: Extract<PageFrame, { kind: 'command' }>): Promise<void> {
    if (tab.underWay >= frameLimits.maxUnderWay) {
      return this.#send(tab, { kind: 'result', id, ok: false, error: pageError('too-many-commands') });
    }
    tab.underWay++;
    const outcome = await this.#settings.obey({ key, name, arguments: given });
    tab.underWay--;
    this.#send(tab, { kind: 'result', id, ...outcome });
  }

  #send(tab: Tab, frame: ProcessFrame): void {
    this.#sendText(tab, JSON.stringify(frame));
  }

  #sendText({ socket }: Tab, frame: string): void {
    if (socket.readyState !== socket.OPEN) return;
    // It does not read: it comes back later and gets what it has missed.
    if (socket.bufferedAmount > frameLimits.maxWaitingBytes) return socket.close(closeCodes.behind, 'too far behind');
    socket.send(frame);
  }
}

function parseFrame(text: string): PageFrame | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (isHello.Check(value)) return value;
  return isCommand.Check(value) ? value : undefined;
}
