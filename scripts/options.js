// Options of the repository's own tools: `--help` is answered, a wrong one is refused by name before anything is done.
import { parseArgs } from 'node:util';

/** Gives the values of `options` (as in node:util's parseArgs); ends the process for `--help` and for what is wrong. */
export function readOptions(help, options) {
  try {
    const { values } = parseArgs({ options: { ...options, help: { type: 'boolean' } }, strict: true });
    if (values.help !== true) return values;
    console.log(help);
    process.exit(0);
  } catch (error) {
    console.error(error.message);
    console.error(help);
    process.exit(2);
  }
}
