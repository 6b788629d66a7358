// `drawbridge admin` for providers that apply: options and help. Knows nothing of the admin API.
import type { Command } from 'commander';
import { command, type Flags } from './admin/admin-command.ts';
import { usageError } from './command-error.ts';
import { wholeNumber } from './sandbox.ts';

type Step = Flags & { reason: string };

const reasonText = 'why, in your words: the audit log keeps it and the provider is shown it';
const idText = 'id, as `drawbridge admin applications` shows it';
const numberText = "the provider's number";

export function registerApplications(admin: Command): void {
  registerLooks(admin);
  registerDecisions(admin);
  registerSteps(admin);
}

function registerLooks(admin: Command): void {
  command(
    admin,
    'applications',
    'list providers that applied',
    'Lists applications, latest first, with stage, contact and steps.',
    'applications --stage applied',
  )
    .option('--stage <stage>', 'applied, refused, sandbox, live or withdrawn alone')
    .action(async (flags: Flags & { stage?: string }) => {
      const { query, show } = await import('./admin/admin-run.ts');
      await show(flags, `/admin/v1/applications?${query({ stage: flags.stage })}`);
    });
  command(admin, 'application', 'look at an application', 'Shows an application with its steps.', 'application 5f…')
    .argument('<id>', idText)
    .action(async (id: string, flags: Flags) => {
      const { show } = await import('./admin/admin-run.ts');
      await show(flags, `/admin/v1/applications/${encodeURIComponent(id)}`);
    });
}

function registerDecisions(admin: Command): void {
  command(
    admin,
    'admit',
    'admit an application to the sandbox',
    'Gives the provider a number and lets it test: few people, who reach each other and own users who test with it.',
    "admit 5f… --reason 'contact checked, ticket 4711'",
  )
    .argument('<id>', idText)
    .requiredOption('--reason <text>', reasonText)
    .option('--number <number>', 'its number for ever (otherwise the next free one from 1000 on)', wholeNumber)
    .action(async (id: string, flags: Step & { number?: number }) => {
      const { reason, number } = flags;
      const body = { reason, ...(number === undefined ? {} : { number }) };
      await post(flags, `applications/${encodeURIComponent(id)}/admit`, body);
    });
  command(
    admin,
    'refuse',
    'refuse an application',
    'Refuses an application. The provider is shown the reason, and may apply again.',
    "refuse 5f… --reason 'no contact'",
  )
    .argument('<id>', idText)
    .requiredOption('--reason <text>', reasonText)
    .action(async (id: string, flags: Step) =>
      post(flags, `applications/${encodeURIComponent(id)}/refuse`, { reason: flags.reason }),
    );
}

function registerSteps(admin: Command): void {
  command(
    admin,
    'go-live',
    'let a provider out of the sandbox',
    'Its people may be reached by everybody who opts in, with the rates of a standard provider.',
    "go-live 1000 --reason 'conformance passed' --enlistments 50000",
  )
    .argument('<number>', numberText)
    .requiredOption('--reason <text>', reasonText)
    .option('--enlistments <count>', 'people that it may enlist (otherwise applications.liveEnlistments)', wholeNumber)
    .action(async (number: string, flags: Step & { enlistments?: number }) => {
      const { reason, enlistments } = flags;
      const body = { reason, ...(enlistments === undefined ? {} : { enlistments }) };
      await post(flags, `providers/${encodeURIComponent(number)}/go-live`, body);
    });
  command(
    admin,
    'provider-terms',
    "change an applied provider's quota or rates",
    'Changes what it was given; the rest stays.',
    "provider-terms 1000 --reason 'grows' --enlistments 200000",
  )
    .argument('<number>', numberText)
    .requiredOption('--reason <text>', reasonText)
    .option('--enlistments <count>', 'people that it may enlist', wholeNumber)
    .option('--trust-class <class>', 'standard, or trial: a tenth of every budget')
    .action(async (number: string, flags: Step & { enlistments?: number; trustClass?: string }) => {
      const { reason, enlistments, trustClass } = flags;
      await post(flags, `providers/${encodeURIComponent(number)}/terms`, {
        reason,
        ...(enlistments === undefined ? {} : { enlistments }),
        ...(trustClass === undefined ? {} : { trustClass }),
      });
    });
  command(
    admin,
    'withdraw-provider',
    'end an applied provider for good',
    'Its streams end, its people reach nobody, and its name and number are given to nobody. To stop it for a time, suspend it.',
    "withdraw-provider 1000 --reason 'agreement ended' --yes",
  )
    .argument('<number>', numberText)
    .requiredOption('--reason <text>', reasonText)
    .option('--yes', 'really', false)
    .action(async (number: string, flags: Step & { yes: boolean }) => {
      if (!flags.yes) throw usageError('nothing is withdrawn yet', 'add --yes when it is meant for good');
      await post(flags, `providers/${encodeURIComponent(number)}/withdraw`, { reason: flags.reason });
    });
}

async function post(
  flags: Flags,
  path: string,
  body: Readonly<Record<string, string | number>> & { readonly reason: string },
): Promise<void> {
  const { act } = await import('./admin/admin-run.ts');
  await act(flags, 'POST', `/admin/v1/${path}`, body, 'done');
}
