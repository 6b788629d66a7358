// `drawbridge completion` and `drawbridge manual`: what shells and man(1) need, made from the commands themselves.
import { type Command, Argument } from 'commander';
import { type Shell, shells } from './shell/completion.ts';

export function registerShell(program: Command): void {
  program
    .command('completion')
    .summary('print a completion script for a shell')
    .description('Prints a script that completes commands, options and their values in your shell.')
    .addArgument(new Argument('<shell>', 'your shell').choices(shells))
    .addHelpText(
      'after',
      `
Examples:
  $ drawbridge completion bash > ~/.local/share/bash-completion/completions/drawbridge
  $ drawbridge completion zsh > ~/.zfunc/_drawbridge       # a folder in $fpath
  $ drawbridge completion fish > ~/.config/fish/completions/drawbridge.fish`,
    )
    .action(async (shell: Shell) => {
      const { completionFor } = await import('./shell/completion.ts');
      process.stdout.write(completionFor(shell, program));
    });

  program
    .command('manual')
    .summary('print the manual page')
    .description('Prints the manual page drawbridge(1) in the format of man(7).')
    .option('--date <date>', 'date that the page bears: YYYY-MM-DD', new Date().toISOString().slice(0, 10))
    .addHelpText('after', '\nExample:\n  $ drawbridge manual | man -l -')
    .action(async (flags: { date: string }) => {
      const { manualPage } = await import('./shell/manual-page.ts');
      process.stdout.write(manualPage(program, flags.date));
    });
}
