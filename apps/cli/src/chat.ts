// `drawbridge chat`: options, help, who one is. Knows nothing of what a person types.
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { Command } from 'commander';
import { CommandError, usageError } from './command-error.ts';
import { wholeNumber } from './sandbox.ts';

type Flags = {
  network?: string;
  as?: string;
  over?: string;
  gatekeeper?: string;
  provider?: string;
  ca?: string;
  relay?: string;
  folder?: string;
  native: boolean;
  replace: boolean;
  link: boolean;
  page: boolean;
  port: number;
};

type NetworkFile = {
  readonly ca: string;
  readonly provider: { readonly name: string; readonly url: string };
  readonly gatekeepers: readonly {
    readonly name: string;
    readonly domain: string;
    readonly url: string;
    readonly users: string;
  }[];
};

export function registerChat(program: Command): void {
  program
    .command('chat')
    .summary('chat from the terminal, or in a page')
    .description(
      'Signs in at a provider, enlists this device with a gatekeeper, and chats. Keys and history are kept encrypted in one folder per person and gatekeeper. Type /help inside for what can be done. With --page the chats are shown by a browser on this machine; keys and history stay in this process.',
    )
    .option('--network <file>', 'join a demo: the network.json that it names')
    .option('--as <name>', 'who you are at the provider: your user-visible identifier')
    .option('--over <gatekeeper>', "with --network: the gatekeeper's name", 'citadel')
    .option('--native', "with --network: be the gatekeeper's own user instead of the provider's", false)
    .option('--gatekeeper <url>', 'the gatekeeper')
    .option('--provider <url>', 'your provider')
    .option('--ca <file>', 'development: trust this authority (PEM)')
    .option('--relay <host:port>', "reach the gatekeeper through this relay, which hides this device's address from it")
    .option('--folder <folder>', 'where keys and history are kept (otherwise below ~/.drawbridge)')
    .option('--replace', 'enlist again and remove your other devices (when they are lost)', false)
    .option('--link', 'link this device to one that you have, with /link there', false)
    .option('--page', 'show the chats in a browser on this machine instead', false)
    .option('--port <port>', 'with --page: the port of 127.0.0.1; 0 takes any that is free', wholeNumber, 0)
    .addHelpText(
      'after',
      `
Secrets are asked for, or taken from DRAWBRIDGE_PASSWORD (at the provider) and DRAWBRIDGE_PASSPHRASE (of the folder).
An account that the provider doesn't know is made, if it lets people register.

Examples:
  $ drawbridge chat --network /tmp/drawbridge-demo-x/network.json --as dora
  $ drawbridge chat --gatekeeper https://citadel.example --provider https://skylark.example --as anna
  $ drawbridge chat --page
  $ printf '/to citadel.example bob\\nhello\\n/quit\\n' | drawbridge chat --network FILE --as dora`,
    )
    .action(async (flags: Flags) => {
      if (flags.page) return showPage(flags);
      const person = personOf(flags);
      const { runChat } = await import('./chat-run.ts');
      const [password = '', passphrase = ''] = await secretsOf(person);
      await runChat({ ...person, password, passphrase, replace: flags.replace, link: flags.link });
    });
}

export type ChatPerson = {
  readonly identifier: string;
  readonly gatekeeper: string;
  readonly provider: string;
  readonly folder: string;
  readonly ca?: string;
  readonly relay?: string;
  /** In a demo nothing is worth a secret of one's own. */
  readonly demo: boolean;
};

/** A part of a path, whatever a person is called. */
const nameOf = (name: string): string => name.replaceAll(/[^\p{L}\p{N}@._-]/gu, '_');

function defaultFolder(identifier: string, gatekeeper: string): string {
  return join(homedir(), '.drawbridge', nameOf(`${identifier}@${new URL(gatekeeper).host}`));
}

/** What the flags leave open, the page asks for. */
async function showPage(flags: Flags): Promise<void> {
  const { port } = flags;
  if (port > 65_535) throw usageError(`${port} is not a port`, 'name 0 to 65535');
  if (flags.link)
    throw usageError('--link is for the terminal', 'leave it out: the page asks whether to link this device');
  const isWhole = flags.as !== undefined && flags.gatekeeper !== undefined && flags.provider !== undefined;
  const known = flags.network !== undefined || isWhole ? personOf(flags) : undefined;
  if (flags.ca !== undefined) readFileSync(flags.ca);
  const ca = known?.ca ?? flags.ca;
  const demoSecret = known?.demo === true ? 'nothing worth hiding in a demo' : '';
  const [password = '', passphrase = ''] = ['PASSWORD', 'PASSPHRASE'].map(
    name => process.env[`DRAWBRIDGE_${name}`] || demoSecret,
  );
  const { runPage } = await import('./page/page-run.ts');
  await runPage({
    port,
    ca,
    relay: flags.relay,
    replace: flags.replace,
    secrets: known === undefined || password === '' || passphrase === '' ? undefined : { password, passphrase },
    prefill: {
      gatekeeper: known?.gatekeeper ?? flags.gatekeeper ?? '',
      provider: known?.provider ?? flags.provider ?? '',
      identifier: known?.identifier ?? flags.as ?? '',
      demo: known?.demo ?? false,
    },
    folderOf: (identifier, gatekeeper) => {
      const isKnown = identifier === known?.identifier && gatekeeper === known.gatekeeper;
      return flags.folder ?? (isKnown ? known.folder : defaultFolder(identifier, gatekeeper));
    },
  });
}

function personOf(flags: Flags): ChatPerson {
  const { relay } = flags;
  return relay === undefined ? placeOf(flags) : { ...placeOf(flags), relay };
}

function placeOf(flags: Flags): ChatPerson {
  const { as: identifier } = flags;
  if (identifier === undefined) throw usageError('--as is missing', 'say who you are at your provider: --as anna');
  if (flags.network !== undefined) {
    const network = readNetwork(flags.network);
    const gatekeeper = network.gatekeepers.find(({ name, domain }) => name === flags.over || domain === flags.over);
    if (gatekeeper === undefined) {
      const known = network.gatekeepers.map(({ name }) => name).join(' or ');
      throw usageError(`the network has no gatekeeper ${flags.over ?? ''}`, `name ${known} with --over`);
    }
    const place = flags.native ? gatekeeper.name : `skylark-over-${gatekeeper.name}`;
    return {
      identifier,
      gatekeeper: gatekeeper.url,
      provider: flags.native ? gatekeeper.users : network.provider.url,
      folder: flags.folder ?? join(flags.network, '..', 'people', nameOf(`${identifier}-${place}`)),
      ca: network.ca,
      demo: true,
    };
  }
  if (flags.gatekeeper === undefined || flags.provider === undefined) {
    throw usageError('--gatekeeper and --provider are needed', 'name both, or a demo with --network');
  }
  for (const url of [flags.gatekeeper, flags.provider]) {
    if (!URL.canParse(url) || new URL(url).protocol !== 'https:')
      throw usageError(`${url} is not an https URL`, 'begin it with https://');
  }
  // Read for its error alone: a wrong path is told before a password is asked for.
  if (flags.ca !== undefined) readFileSync(flags.ca);
  return {
    identifier,
    gatekeeper: flags.gatekeeper,
    provider: flags.provider,
    folder: flags.folder ?? defaultFolder(identifier, flags.gatekeeper),
    ...(flags.ca === undefined ? {} : { ca: flags.ca }),
    demo: false,
  };
}

function readNetwork(file: string): NetworkFile {
  const text = readFileSync(file, 'utf8');
  try {
    const network: unknown = JSON.parse(text);
    if (isNetwork(network)) return network;
  } catch {
    // Said below.
  }
  throw new CommandError(`${file} is not a network file`, 'name the network.json of a running demo');
}

function isNetwork(value: unknown): value is NetworkFile {
  const strings = (object: unknown, ...names: string[]): boolean =>
    typeof object === 'object' &&
    object !== null &&
    names.every(name => typeof Object.getOwnPropertyDescriptor(object, name)?.value === 'string');
  return (
    strings(value, 'ca') &&
    strings((value as Partial<NetworkFile>).provider, 'name', 'url') &&
    Array.isArray((value as Partial<NetworkFile>).gatekeepers) &&
    (value as NetworkFile).gatekeepers.every(each => strings(each, 'name', 'domain', 'url', 'users'))
  );
}

/** Password and passphrase: from the environment, or asked for without showing what is typed. */
async function secretsOf({ identifier, provider, folder, demo }: ChatPerson): Promise<string[]> {
  const questions = [
    { variable: 'DRAWBRIDGE_PASSWORD', question: `Password of ${identifier} at ${provider}: ` },
    { variable: 'DRAWBRIDGE_PASSPHRASE', question: `Passphrase of ${folder}: ` },
  ];
  const open = demo ? [] : questions.filter(({ variable }) => (process.env[variable] ?? '') === '');
  if (open.length > 0 && !process.stdin.isTTY) {
    throw usageError(`${open[0]!.variable} is not set, and there is no terminal to ask at`, `set ${open[0]!.variable}`);
  }
  const { askSecrets } = await import('./secrets.ts');
  const answers = open.length === 0 ? [] : await askSecrets(open);
  return questions.map(({ variable }) => {
    const given = process.env[variable] ?? '';
    if (given !== '') return given;
    return demo ? 'nothing worth hiding in a demo' : (answers.shift() ?? '');
  });
}
