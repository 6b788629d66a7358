// `drawbridge chat --page`: assets → session → desk → tabs → server, an address to open, and the way back in reverse.
// Knows nothing of what any of them do.
import { CommandError } from '../command-error.ts';
import { untilStopped } from '../lifetime.ts';
import { Desk } from './desk.ts';
import { Intake } from './intake.ts';
import { MediaDesk } from './media-desk.ts';
import { loadPageAssets } from './page-assets.ts';
import { type PageServer, startPageServer } from './page-server.ts';
import type { PageEvent, Prefill } from './protocol.ts';
import { Session } from './session.ts';
import { Tabs } from './tabs.ts';

export type PageOptions = {
  readonly prefill: Prefill;
  readonly ca: string | undefined;
  readonly relay: string | undefined;
  readonly folderOf: (identifier: string, gatekeeper: string) => string;
  readonly port: number;
  /** Known already: the page does not ask. */
  readonly secrets: { readonly password: string; readonly passphrase: string } | undefined;
  readonly replace: boolean;
};

export type RunningPage = Pick<PageServer, 'port' | 'launchUrl' | 'close'>;

/** Starts it; the caller prints the address. Rejects with a `CommandError` when the port can't be had. */
export async function startPage(options: PageOptions): Promise<RunningPage> {
  const onDefect = (error: unknown): void => {
    process.stderr.write(`drawbridge: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  };
  const { prefill, ca, relay, folderOf, secrets, replace, port } = options;
  const emit = (event: PageEvent): void => tabs.tell(event);
  const session = new Session({ prefill, ca, relay, folderOf, emit, onDefect });
  const media = new MediaDesk(() => session.client);
  const intake = new Intake(() => session.client, onDefect);
  const desk = new Desk({ session, media, intake, emit, onDefect });
  const tabs = new Tabs({
    obey: command => desk.obey(command),
    now: () => ({ session: session.state, link: session.link }),
  });
  const server = await startPageServer({
    port,
    assets: await loadPageAssets(),
    onTab: socket => tabs.add(socket),
    isFull: () => tabs.isFull,
    onMedia: (place, request, response) => media.answer(place, request, response),
    onUpload: (path, bytes) => intake.take(path, bytes),
    nowMs: () => performance.now(),
  }).catch((error: unknown): never => {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    throw new CommandError(`port ${port} of 127.0.0.1 can't be listened on (${code})`, 'name another with --port');
  });
  if (secrets !== undefined) {
    const { gatekeeper, provider, identifier } = prefill;
    // What fails is shown in the page.
    session.signIn({ gatekeeper, provider, identifier, replace, ...secrets }).catch(() => {});
  }
  return {
    port: server.port,
    launchUrl: server.launchUrl,
    close: async () => {
      tabs.close();
      await server.close();
      await session.close();
    },
  };
}

export async function runPage(options: PageOptions): Promise<void> {
  const page = await startPage(options);
  const tell = (): void => {
    console.log(`Open this in a browser on this machine, once, within ten minutes:\n\n  ${page.launchUrl()}\n`);
  };
  tell();
  console.log('Enter prints a fresh address; Ctrl-C ends the chat. Over SSH, forward the port first:');
  console.log(`  ssh -L ${page.port}:127.0.0.1:${page.port} THIS-MACHINE`);
  process.stdin.on('data', tell);
  try {
    await untilStopped();
  } finally {
    process.stdin.pause();
    await page.close();
  }
}
