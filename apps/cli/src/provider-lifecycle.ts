// `drawbridge provider apply`, `standing`, `accept`, `leave`: options and help. Knows nothing of statements.
import type { Command } from 'commander';

export type StatementFlags = {
  config?: string;
  data?: string;
  issuer?: string;
  to?: string;
  developmentCa?: string;
  json: boolean;
};
export type ApplyFlags = StatementFlags & {
  contactName: string;
  contactEmail: string;
  securityContact?: string;
  mediaOrigin?: string[];
  wakeUpUrl?: string;
  eventsUrl?: string;
  suite?: string[];
  region?: string[];
  accept?: string;
};

function statement(provider: Command, name: string, summary: string, description: string, example: string): Command {
  return provider
    .command(name)
    .summary(summary)
    .description(description)
    .option('--config <file>', 'the provider.json of `drawbridge provider`, in place of the options below')
    .option('--data <folder>', "the provider's data folder; it may run")
    .option('--issuer <url>', 'issuer URL')
    .option('--to <url>', 'issuer URL of the gatekeeper; needed unless the configuration names one alone')
    .option('--development-ca <file>', 'trust this authority alone, on loopback; never in production')
    .option('--json', 'the answer as JSON', false)
    .addHelpText('after', `\nExample:\n  $ drawbridge provider ${example}`);
}

export function registerProviderLifecycle(provider: Command): void {
  statement(
    provider,
    'apply',
    'apply at a gatekeeper',
    'Applies to exchange messages with a gatekeeper. The provider runs, and its issuer is reachable: that the gatekeeper\n' +
      'fetches the keys there is the proof. Shows the agreement first; --accept VERSION accepts it and applies.',
    'apply --config skylark/provider.json --contact-name Skylark --contact-email interop@skylark.example --accept 1',
  )
    .requiredOption('--contact-name <name>', 'whom the operators write to')
    .requiredOption('--contact-email <address>', 'where')
    .option('--security-contact <address>', 'for security, when it is another')
    .option('--media-origin <origin...>', 'where the files of its people lie (otherwise the origin of the issuer)')
    .option('--wake-up-url <url>', 'where wake-ups are posted (otherwise /v1/wake-ups of the issuer)')
    .option('--events-url <url>', 'where events are posted (otherwise /v1/events of the issuer)')
    .option('--suite <name...>', 'suites that its people may send (otherwise signal-1)')
    .option('--region <region...>', 'where its people are, such as EEA or CH')
    .option('--accept <version>', 'the version of the agreement that you have read')
    .action(async (flags: ApplyFlags) => {
      const { apply } = await import('./provider-lifecycle-run.ts');
      await apply(flags);
    });
  statement(
    provider,
    'standing',
    'how the application stands',
    'Shows stage, number, quotas and every step with its time and reason.',
    'standing --config skylark/provider.json',
  ).action(async (flags: StatementFlags) => {
    const { say } = await import('./provider-lifecycle-run.ts');
    await say(flags, { act: 'status' });
  });
  statement(
    provider,
    'accept',
    'accept the agreement in force',
    'Shows how the agreement differs from the version before, and accepts the version that you name.',
    'accept 2 --config skylark/provider.json',
  )
    .argument('<version>', 'the version that you have read')
    .action(async (version: string, flags: StatementFlags) => {
      const { accept } = await import('./provider-lifecycle-run.ts');
      await accept(flags, version);
    });
  statement(
    provider,
    'leave',
    'leave a gatekeeper for good',
    'Ends it: streams of its people end, and its name is not admitted again without an operator.',
    "leave --config skylark/provider.json --reason 'the service ends' --yes",
  )
    .requiredOption('--reason <text>', 'why, for the audit log of the gatekeeper')
    .option('--yes', 'really; without it the standing is only shown', false)
    .action(async (flags: StatementFlags & { reason: string; yes: boolean }) => {
      const { leave } = await import('./provider-lifecycle-run.ts');
      await leave(flags, flags.reason, flags.yes);
    });
}
