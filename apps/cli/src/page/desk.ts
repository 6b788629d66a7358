// Takes the commands of all tabs: checks each, does each deed once, and turns failures into words.
// Knows nothing of sockets.
import { createHash } from 'node:crypto';
import { Compile, type Validator } from 'typebox/schema';
import type { LinkingDesk } from './command-context.ts';
import { personCommands } from './commands.ts';
import type { Intake } from './intake.ts';
import { KeptResults } from './kept-results.ts';
import type { MediaDesk } from './media-desk.ts';
import { explained, pageError } from './page-error.ts';
import {
  type CommandName,
  commandSchemas,
  frameLimits,
  type PageError,
  type PageEvent,
  readingCommands,
} from './protocol.ts';
import type { Session } from './session.ts';
import { isSessionCommand, sessionCommands } from './session-commands.ts';

export type Outcome =
  | { readonly ok: true; readonly value?: unknown }
  | { readonly ok: false; readonly error: PageError };

export type DeskCommand = { readonly key: string; readonly name: string; readonly arguments: Record<string, unknown> };

type Deed = (given: unknown) => Promise<unknown>;

const checks = new Map<string, Validator>(
  Object.entries(commandSchemas).map(([name, schema]) => [name, Compile(schema)]),
);

export type DeskSettings = {
  readonly session: Session;
  readonly media: MediaDesk;
  readonly intake: Intake;
  readonly emit: (event: PageEvent) => void;
  readonly onDefect: (error: unknown) => void;
};

export class Desk {
  readonly #settings: DeskSettings;
  readonly #linking: LinkingDesk = { asked: undefined };
  readonly #results = new KeptResults<Outcome>(frameLimits.maxKeptResults);

  constructor(settings: DeskSettings) {
    this.#settings = settings;
  }

  /** Never rejects. */
  async obey({ key, name, arguments: given }: DeskCommand): Promise<Outcome> {
    const check = checks.get(name);
    if (check === undefined || !check.Check(given)) return refused(pageError('bad-command', name));
    const command = name as CommandName;
    const run = (): Promise<Outcome> => this.#run(command, given);
    if (readingCommands.has(command)) return run();
    // Not the words themselves: passwords and long texts would be kept with them.
    const what = createHash('sha256')
      .update(JSON.stringify([name, given]))
      .digest('base64');
    return (await this.#results.once(key, what, run)) ?? refused(pageError('key-reused'));
  }

  async #run(name: CommandName, given: unknown): Promise<Outcome> {
    try {
      const value = await this.#deed(name)(given);
      return value === undefined ? { ok: true } : { ok: true, value };
    } catch (error) {
      if (error instanceof DeskFault) return refused(error.told);
      const told = explained(error);
      if (told === undefined) this.#settings.onDefect(error);
      return refused(told ?? pageError('internal'));
    }
  }

  #deed(name: CommandName): Deed {
    const { session, media, intake, emit } = this.#settings;
    const { client, state } = session;
    if (isSessionCommand(name)) {
      const isBegun = name !== 'session.signIn' && name !== 'session.beginLink';
      if (state.kind !== (isBegun ? 'linking' : 'signed-out')) {
        throw new DeskFault(pageError(state.kind === 'signed-out' ? 'signed-out' : 'signed-in'));
      }
      const run = sessionCommands[name] as (session: Session, given: unknown) => Promise<unknown>;
      return given => run(session, given);
    }
    const me = client?.me?.interopId;
    if (client === undefined || me === undefined) throw new DeskFault(pageError('signed-out'));
    const run = personCommands[name] as (context: unknown, given: unknown) => Promise<unknown>;
    return given => run({ client, me, media, intake, linking: this.#linking, emit }, given);
  }
}

class DeskFault extends Error {
  readonly told: PageError;

  constructor(told: PageError) {
    super(told.text);
    this.told = told;
  }
}

function refused(error: PageError): Outcome {
  return { ok: false, error };
}
