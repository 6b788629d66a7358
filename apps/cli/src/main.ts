// The `drawbridge` command: finds the command that is meant, and turns failures into words and exit codes.
// Each command is a file that exports `registerX(program)` and loads what it needs when it runs.
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { exitCodes, explainSystemError } from './command-error.ts';
import { registerAdmin } from './admin.ts';
import { registerChat } from './chat.ts';
import { registerDemo } from './demo.ts';
import { registerGatekeeper } from './gatekeeper.ts';
import { registerInspect } from './inspect.ts';
import { registerOffer } from './offer.ts';
import { registerProvider } from './provider.ts';
import { registerRelay } from './relay.ts';
import { registerSandbox } from './sandbox.ts';
import { registerShell } from './shell.ts';
import { registerToken } from './token.ts';

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

/** All commands, and errors thrown instead of ending the process. */
export function buildProgram(): Command {
  const program = new Command('drawbridge')
    .description('Open-source messaging interoperability: end-to-end encrypted messages between services.')
    .version(version)
    .enablePositionalOptions()
    .showHelpAfterError('(add --help for options and examples)')
    .addHelpText(
      'after',
      `
Examples:
  $ drawbridge demo                                 the whole system on this machine, and what servers see
  $ drawbridge chat --as anna --gatekeeper https://citadel.example --provider https://skylark.example
  $ drawbridge sandbox                              a gatekeeper and a provider to develop against
  $ drawbridge gatekeeper init citadel --development  files for a gatekeeper of your own
  $ drawbridge provider --help                      run the provider kit
  $ drawbridge token inspect -                      what a gatekeeper says about an ownership proof

Exit codes: 0 all right, 1 it failed, 2 wrong usage, 130 stopped by Ctrl-C at a question.`,
    );
  for (const register of [
    registerDemo,
    registerChat,
    registerGatekeeper,
    registerAdmin,
    registerProvider,
    registerRelay,
    registerOffer,
    registerSandbox,
    registerToken,
    registerInspect,
    registerShell,
  ])
    register(program);
  for (const command of allCommands(program)) command.exitOverride();
  return program;
}

function allCommands(command: Command): Command[] {
  return [command, ...command.commands.flatMap(allCommands)];
}

/** Runs one command line; gives the exit code. Never rejects. */
export async function runCommand(args: readonly string[]): Promise<number> {
  try {
    await buildProgram().parseAsync([...args], { from: 'user' });
    return Number(process.exitCode ?? exitCodes.ok);
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
    const explained = explainSystemError(error);
    if (explained === undefined) {
      process.stderr.write(`drawbridge: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
      process.stderr.write('This is a defect of drawbridge: please report it with these lines.\n');
      return exitCodes.failed;
    }
    process.stderr.write(`drawbridge: ${explained.message}\n`);
    if (explained.nextStep !== '') process.stderr.write(`Next: ${explained.nextStep}\n`);
    return explained.exitCode;
  }
}

// A reader that has seen enough, such as `head`, is not a failure of ours.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});

if (import.meta.main) process.exit(await runCommand(process.argv.slice(2)));
