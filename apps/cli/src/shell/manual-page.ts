// The manual page drawbridge(1), made from the commands and their help. Source of the format: man(7).
// Knows nothing of what the commands do.
import type { Command } from 'commander';
import { entriesOf, type Entry } from './command-tree.ts';

/** `date`: of the release, as YYYY-MM-DD. */
export function manualPage(program: Command, date: string): string {
  const entries = entriesOf(program);
  const [first, ...others] = entries;
  return [
    `.TH DRAWBRIDGE 1 ${date} ${quoted(`drawbridge ${program.version() ?? ''}`)} "User Commands"`,
    '.SH NAME',
    'drawbridge \\- messaging interoperability with end\\-to\\-end encryption',
    '.SH SYNOPSIS',
    ...others.flatMap((entry, at) => [...(at === 0 ? [] : ['.br']), `.B ${roff(entry.path)}`, roff(usage(entry))]),
    '.SH DESCRIPTION',
    roff(program.description()),
    ...verbatim(afterHelp(program)),
    '.SH OPTIONS',
    ...(first === undefined ? [] : optionRows(first)),
    ...others.flatMap(section),
    '.SH SEE ALSO',
    'The handbook of operators and the protocol stand in the documentation of the package or the repository.',
    '',
  ].join('\n');
}

function section(entry: Entry): string[] {
  const help = entry.command.createHelp();
  return [
    `.SH ${quoted(entry.path.toUpperCase())}`,
    `.B ${roff(entry.path)}`,
    roff(usage(entry)),
    '.PP',
    roff(entry.command.description()),
    ...help
      .visibleArguments(entry.command)
      .flatMap(each => ['.TP', `.I ${roff(each.name())}`, roff(help.argumentDescription(each))]),
    ...optionRows(entry),
    ...verbatim(afterHelp(entry.command)),
  ];
}

function optionRows({ command, options }: Entry): string[] {
  const help = command.createHelp();
  return options.flatMap(each => ['.TP', `.B ${roff(each.flags)}`, roff(help.optionDescription(each))]);
}

function usage({ command }: Entry): string {
  return command.usage();
}

/** What stands below the options: examples and notes. */
function afterHelp(command: Command): string {
  let whole = '';
  const before = command.configureOutput();
  command.configureOutput({ ...before, writeOut: text => (whole += text) });
  command.outputHelp();
  command.configureOutput(before);
  return whole.slice(command.helpInformation().length).trim();
}

function verbatim(text: string): string[] {
  return text === '' ? [] : ['.PP', '.nf', ...text.split('\n').map(line => roff(line)), '.fi'];
}

/** Text that no formatter takes for a request. */
function roff(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .split('\n')
    .map(line => (/^[.']/.test(line) ? `\\&${line}` : line))
    .join('\n');
}

function quoted(text: string): string {
  return `"${roff(text).replaceAll('"', '""')}"`;
}
