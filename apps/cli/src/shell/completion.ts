// Completion scripts for bash, zsh and fish: commands, options and the values that an option allows; files elsewhere.
// Made from the commands themselves. Knows nothing of what they do.
import type { Command } from 'commander';
import { entriesOf, type Entry, namesOf, takesValue } from './command-tree.ts';

export const shells = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof shells)[number];

export function completionFor(shell: Shell, program: Command): string {
  const entries = entriesOf(program);
  switch (shell) {
    case 'bash':
      return bash(entries);
    case 'zsh':
      return zsh(entries);
    case 'fish':
      return fish(entries);
  }
}

const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;
const paths = (entries: readonly Entry[]): string[] => entries.slice(1).map(({ path }) => path);

type Values = { readonly after: readonly string[]; readonly values: readonly string[] };

/** Options that a value follows, with the values it may have; none: a file, or anything. */
function valuesOf({ options }: Entry): Values[] {
  return options.filter(takesValue).map(option => ({ after: namesOf(option), values: option.argChoices ?? [] }));
}

/** `case` arms that answer for the word after an option. */
function valueArms(entries: readonly Entry[], answer: (values: readonly string[]) => string): string[] {
  return entries.flatMap(entry =>
    valuesOf(entry).map(({ after, values }) => {
      const patterns = after.map(name => quoted(`${entry.path} ${name}`)).join('|');
      return `    ${patterns}) ${answer(values)}; return ;;`;
    }),
  );
}

function bash(entries: readonly Entry[]): string {
  const words = ({ commands, options }: Entry): string =>
    [...commands.map(({ name }) => name), ...options.flatMap(namesOf)].join(' ');
  return [
    '# bash completion of drawbridge, made by `drawbridge completion bash`.',
    '_drawbridge() {',
    '  local word="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}" at=drawbridge each words=',
    '  for each in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do',
    `    case "$at $each" in ${paths(entries).map(quoted).join('|')}) at="$at $each" ;; esac`,
    '  done',
    '  COMPREPLY=()',
    '  case "$at $before" in',
    ...valueArms(entries, values =>
      values.length === 0 ? ':' : `COMPREPLY=($(compgen -W ${quoted(values.join(' '))} -- "$word"))`,
    ),
    '  esac',
    '  case "$at" in',
    ...entries.map(entry => `    ${quoted(entry.path)}) words=${quoted(words(entry))} ;;`),
    '  esac',
    '  COMPREPLY=($(compgen -W "$words" -- "$word"))',
    '}',
    '# Where nothing fits, files do.',
    'complete -o bashdefault -o default -F _drawbridge drawbridge',
    '',
  ].join('\n');
}

function zsh(entries: readonly Entry[]): string {
  const row = (name: string, text: string): string => quoted(`${name.replaceAll(':', '\\:')}:${text}`);
  const rows = ({ commands, options }: Entry): string =>
    [
      ...commands.map(({ name, summary }) => row(name, summary)),
      ...options.flatMap(option => namesOf(option).map(name => row(name, option.description))),
    ].join(' ');
  return [
    '#compdef drawbridge',
    '# zsh completion of drawbridge, made by `drawbridge completion zsh`.',
    '_drawbridge() {',
    '  local at=drawbridge each',
    '  local -a rows',
    '  for each in "${(@)words[2,CURRENT-1]}"; do',
    `    case "$at $each" in ${paths(entries).map(quoted).join('|')}) at="$at $each" ;; esac`,
    '  done',
    '  case "$at ${words[CURRENT-1]}" in',
    ...valueArms(entries, values =>
      values.length === 0 ? '_files' : `rows=(${values.map(quoted).join(' ')}); _describe value rows`,
    ),
    '  esac',
    '  case "$at" in',
    ...entries.map(entry => `    ${quoted(entry.path)}) rows=(${rows(entry)}) ;;`),
    '  esac',
    '  _describe drawbridge rows || _files',
    '}',
    '# Autoloaded from $fpath it runs at once; sourced it is only registered.',
    'if [ "$funcstack[1]" = _drawbridge ]; then _drawbridge "$@"; else compdef _drawbridge drawbridge; fi',
    '',
  ].join('\n');
}

function fish(entries: readonly Entry[]): string {
  const lines = [
    '# fish completion of drawbridge, made by `drawbridge completion fish`.',
    'function __drawbridge_at',
    '  set -l at drawbridge',
    '  for each in (commandline -opc)[2..]',
    `    if contains -- "$at $each" ${paths(entries).map(quoted).join(' ')}`,
    '      set at "$at $each"',
    '    end',
    '  end',
    '  test "$at" = "$argv"',
    'end',
  ];
  for (const { path, commands, options } of entries) {
    const here = `complete -c drawbridge -n ${quoted(`__drawbridge_at ${path}`)}`;
    for (const { name, summary } of commands) lines.push(`${here} -f -a ${quoted(name)} -d ${quoted(summary)}`);
    for (const option of options) {
      const names = [option.long, option.short].map((name, at) =>
        name === undefined || name === null ? '' : ` ${at === 0 ? '-l' : '-s'} ${name.replace(/^-+/, '')}`,
      );
      const values = option.argChoices === undefined ? ' -r' : ` -x -a ${quoted(option.argChoices.join(' '))}`;
      lines.push(`${here}${names.join('')}${takesValue(option) ? values : ''} -d ${quoted(option.description)}`);
    }
  }
  return `${lines.join('\n')}\n`;
}
