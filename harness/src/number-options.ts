// Command lines of nothing but numbers, for what is run by hand: wrong ones end the process with the sentence and the help.
import { parseArgs } from 'node:util';

export type NumberOption = { readonly otherwise: number; readonly least: number; readonly most: number };

/** Whole numbers by name. `--help` prints the usage and ends the process (0); so does what is wrong (2). */
export function readNumberOptions<Name extends string>(
  usage: string,
  options: Readonly<Record<Name, NumberOption>>,
): Record<Name, number> {
  const names = Object.keys(options) as Name[];
  const fail = (text: string): never => {
    process.stderr.write(`${text}\n\n${usage}`);
    process.exit(2);
  };
  const read = (): Partial<Record<string, string | boolean>> => {
    try {
      const texts = Object.fromEntries(names.map(name => [name, { type: 'string' as const }]));
      return parseArgs({ options: { ...texts, help: { type: 'boolean', short: 'h' } } }).values;
    } catch (error) {
      return fail(error instanceof Error ? error.message : String(error));
    }
  };
  const given = read();
  if (given['help'] === true) {
    process.stdout.write(usage);
    process.exit(0);
  }
  const numbers = names.map(name => {
    const { otherwise, least, most } = options[name];
    const text = given[name] ?? String(otherwise);
    const value = typeof text === 'string' && text.trim() !== '' ? Number(text) : Number.NaN;
    if (!Number.isInteger(value) || value < least || value > most) fail(`--${name} takes ${least} to ${most}`);
    return [name, value] as const;
  });
  return Object.fromEntries(numbers) as Record<Name, number>;
}
