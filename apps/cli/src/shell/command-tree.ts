// The commands as a list, each with what may follow it: what completions and the manual page are made from.
// Knows nothing of shells.
import type { Command, Option } from 'commander';

export type Entry = {
  readonly command: Command;
  /** As it is typed: `drawbridge gatekeeper init`. */
  readonly path: string;
  readonly commands: readonly { readonly name: string; readonly summary: string }[];
  readonly options: readonly Option[];
};

/** Every command, the program first. */
export function entriesOf(program: Command): Entry[] {
  const walk = (command: Command, above: string): Entry[] => {
    const path = `${above}${command.name()}`;
    const help = command.createHelp();
    const commands = help
      .visibleCommands(command)
      .map(each => ({ name: each.name(), summary: help.subcommandDescription(each) }));
    const options = [...help.visibleOptions(command)];
    return [{ command, path, commands, options }, ...command.commands.flatMap(each => walk(each, `${path} `))];
  };
  return walk(program, '');
}

/** Whether an option is followed by a value. */
export function takesValue(option: Option): boolean {
  return option.required || option.optional;
}

export function namesOf(option: Option): string[] {
  return [option.long, option.short].filter(name => name !== undefined && name !== null);
}
