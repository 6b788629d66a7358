// `drawbridge admin`: options and help. Knows nothing of the admin API.
import type { Command } from 'commander';
import { usageError } from './command-error.ts';
import { command, type Flags } from './admin/admin-command.ts';
import { registerApplications } from './admin-applications.ts';
import { entryNumber, wholeNumber } from './sandbox.ts';

type Told = Flags & { reason?: string };

export function registerAdmin(program: Command): void {
  const admin = program
    .command('admin')
    .summary('find, suspend, export and delete people of a running gatekeeper')
    .description(
      'Asks the admin API of a running gatekeeper. Each admin has a token and a role: `drawbridge gatekeeper admin add`. ' +
        'What is done, and at whom one looked, stands in the audit log. Suspensions are in force on open streams at once.',
    )
    .addHelpText(
      'after',
      `
Examples:
  $ drawbridge admin find skylark.example anna --config citadel/gatekeeper.json
  $ export DRAWBRIDGE_ADMIN_TOKEN=$(cat rosa.token)
  $ drawbridge admin suspend 1-k5… --reason 'spam, ticket 4711'
  $ drawbridge admin audit --after 120`,
    );
  registerLooks(admin);
  registerAudit(admin);
  registerPeople(admin);
  registerOwnUsers(admin);
  registerReports(admin);
  registerRestrictions(admin);
  registerProviders(admin);
  registerEvents(admin);
  registerApplications(admin);
}

/** Names are found first: two services may each have an anna. */
function interopId(text: string): string {
  if (/^(0|[1-9][0-9]{0,4})-[a-z2-7]{26}$/.test(text)) return text;
  throw usageError(`${text} is not an InteropId`, 'find the person first: drawbridge admin find PROVIDER NAME');
}

const personText = 'InteropId, as `drawbridge admin find` shows it';
const reasonText = 'why, in your words, for the audit log';

function registerLooks(admin: Command): void {
  command(admin, 'find', 'find a person', 'Finds a person by what people see of them.', 'find skylark.example anna')
    .argument('<provider>', "number or DNS name; the gatekeeper's own domain for own users")
    .argument('<identifier>', 'user-visible identifier, exactly')
    .action(async (provider: string, identifier: string, flags: Flags) => {
      const { query, show } = await import('./admin/admin-run.ts');
      await show(flags, `/admin/v1/enlistments?${query({ provider, identifier })}`);
    });
  command(admin, 'show', 'look at a person', 'Shows status, devices and what waits for them.', 'show 1-k5…')
    .argument('<person>', personText, interopId)
    .action(async (person: string, flags: Flags) => {
      const { show } = await import('./admin/admin-run.ts');
      await show(flags, `/admin/v1/enlistments/${encodeURIComponent(person)}`);
    });
  command(admin, 'devices', "list a person's devices", 'Lists devices, their keys, streams and mail.', 'devices 1-k5…')
    .argument('<person>', personText, interopId)
    .action(async (person: string, flags: Flags) => {
      const { show } = await import('./admin/admin-run.ts');
      await show(flags, `/admin/v1/enlistments/${encodeURIComponent(person)}/devices`);
    });
  command(admin, 'providers', 'list providers', 'Lists providers with their people and mail.', 'providers').action(
    async (flags: Flags) => {
      const { show } = await import('./admin/admin-run.ts');
      await show(flags, '/admin/v1/providers');
    },
  );
  command(admin, 'streams', 'count streams', 'Counts streams, by provider.', 'streams').action(async (flags: Flags) => {
    const { show } = await import('./admin/admin-run.ts');
    await show(flags, '/admin/v1/streams');
  });
}

function registerAudit(admin: Command): void {
  const audit = command(
    admin,
    'audit',
    'read the audit log, or check it',
    'Says who did what, oldest first, 100 at a time. Each entry is chained to those before it.',
    'audit --after 120',
  )
    .enablePositionalOptions()
    .option('--after <seq>', 'entries behind this number', entryNumber)
    .option('--subject <subject>', 'of this person, provider number or admin alone')
    .action(async (flags: Flags & { after?: string; subject?: string }) => {
      const { query, show } = await import('./admin/admin-run.ts');
      const { after, subject } = flags;
      await show(flags, `/admin/v1/audit?${query({ after, subject })}`);
    });
  command(
    audit,
    'head',
    'where the log stands: keep it elsewhere',
    'Prints the last number and digest as NUMBER:DIGEST. Kept on another machine, it lets `verify` tell that the end was\n' +
      'cut off, or that the log was written again. The operational log has it too (audit-head).',
    'audit head >> heads.txt',
  ).action(async (flags: Flags) => {
    const { sayHead } = await import('./admin/audit-run.ts');
    await sayHead(flags);
  });
  command(
    audit,
    'verify',
    'check that nothing in the log was changed',
    'Walks the whole log and computes every digest again, here. Tells altered, moved and missing entries. What was cut off\n' +
      'at the end with all its traces, or a log that was written again as a whole, is told by an earlier head alone:\n' +
      'name one that was kept elsewhere. Exit code 1 when anything is wrong.',
    'audit verify --data citadel/data --heads heads.txt',
  )
    .option('--data <folder>', 'a data folder or a copy of one, in place of a running gatekeeper')
    .option('--head <number:digest...>', 'a head that was kept elsewhere')
    .option('--heads <file>', 'a file with such heads, one on a line')
    .action(async (flags: Flags & { data?: string; head?: string[]; heads?: string }) => {
      const { verifyAudit } = await import('./admin/audit-run.ts');
      await verifyAudit(flags);
    });
}

function registerPeople(admin: Command): void {
  command(
    admin,
    'suspend',
    'suspend a person',
    'Suspends a person: streams end, nobody reaches them, nothing of theirs is delivered. Mail that waits is kept.',
    "suspend 1-k5… --reason 'spam, ticket 4711'",
  )
    .argument('<person>', personText, interopId)
    .requiredOption('--reason <text>', reasonText)
    .action(async (person: string, flags: Told) =>
      change(flags, 'POST', `enlistments/${encodeURIComponent(person)}/suspend`),
    );
  command(admin, 'resume', 'end a suspension', 'Lets a suspended person in again.', 'resume 1-k5…')
    .argument('<person>', personText, interopId)
    .option('--reason <text>', reasonText)
    .action(async (person: string, flags: Told) =>
      change(flags, 'POST', `enlistments/${encodeURIComponent(person)}/resume`),
    );
  command(
    admin,
    'export',
    'write down all that is kept of a person',
    'Writes everything that the gatekeeper keeps of a person, as JSON. Contents stay encrypted: nobody here can read them.',
    'export 1-k5… --output anna.json',
  )
    .argument('<person>', personText, interopId)
    .option('--output <file>', 'a new file, readable by you alone (otherwise standard output)')
    .action(async (person: string, flags: Flags & { output?: string }) => {
      const { save } = await import('./admin/admin-run.ts');
      await save(flags, `/admin/v1/enlistments/${encodeURIComponent(person)}/export`, flags.output);
    });
  command(
    admin,
    'delete',
    'delete a person',
    'Deletes a person: devices, keys, opt-ins, mail that waits for them, and of what waits for others what they sent.\n' +
      'Contacts find nobody any more. The person may enlist again: to keep somebody out, suspend. Files and password of\n' +
      'an own user are with the issuer, and stay.',
    "delete 1-k5… --reason 'their request, ticket 4711' --yes",
  )
    .argument('<person>', personText, interopId)
    .requiredOption('--reason <text>', reasonText)
    .option('--yes', 'really; without it the person is only shown', false)
    .action(async (person: string, flags: Told & { yes: boolean }) => {
      const path = `enlistments/${encodeURIComponent(person)}`;
      if (flags.yes) return await change(flags, 'DELETE', path, 'deleted');
      const { show } = await import('./admin/admin-run.ts');
      await show(flags, `/admin/v1/${path}`);
      throw usageError('nothing is deleted yet', 'add --yes when this is the person');
    });
}

/** Own users by their identifier: also those who never enlisted. */
function registerOwnUsers(admin: Command): void {
  const identifierText = "the own user's user-visible identifier, exactly";
  const path = 'own-users';
  command(
    admin,
    'own-user',
    'look at an own user, enlisted or not',
    'Shows login, sessions, files and wake-ups of an own user of the embedded issuer, and the InteropId of one who is enlisted.',
    'own-user anna',
  )
    .argument('<identifier>', identifierText)
    .action(async (identifier: string, flags: Flags) => {
      const { query, show } = await import('./admin/admin-run.ts');
      await show(flags, `/admin/v1/${path}?${query({ identifier })}`);
    });
  for (const action of ['suspend', 'resume'] as const) {
    command(
      admin,
      `${action}-own-user`,
      action === 'suspend' ? "suspend an own user's login" : "end the suspension of an own user's login",
      action === 'suspend'
        ? 'No login and no proof until it is taken back; sessions end. An enlistment is suspended with `suspend`.'
        : 'Lets an own user log in again.',
      `${action}-own-user anna`,
    )
      .argument('<identifier>', identifierText)
      .option('--reason <text>', reasonText)
      .action(async (identifier: string, flags: Told) => {
        const { act } = await import('./admin/admin-run.ts');
        const { reason } = flags;
        const body = { identifier, ...(reason === undefined ? {} : { reason }) };
        await act(flags, 'POST', `/admin/v1/${path}/${action}`, body, 'done');
      });
  }
  command(
    admin,
    'delete-own-user',
    'delete an own user who is not enlisted',
    'Deletes login, sessions, files and wake-ups of an own user who never enlisted, or has withdrawn.',
    "delete-own-user anna --reason 'their request' --yes",
  )
    .argument('<identifier>', identifierText)
    .requiredOption('--reason <text>', reasonText)
    .option('--yes', 'really; without it the person is only shown', false)
    .action(async (identifier: string, flags: Told & { yes: boolean }) => {
      const { query, remove, show } = await import('./admin/admin-run.ts');
      if (flags.yes) return await remove(flags, `/admin/v1/${path}?${query({ identifier, reason: flags.reason })}`);
      await show(flags, `/admin/v1/${path}?${query({ identifier })}`);
      throw usageError('nothing is deleted yet', 'add --yes when this is the person');
    });
}

function registerReports(admin: Command): void {
  const reports = command(
    admin,
    'reports',
    'list reports, read and decide them',
    'Lists what people reported, newest first, without what was said.',
    'reports --open',
  )
    .enablePositionalOptions()
    .option('--open', 'those without a decision alone')
    .option('--reported <person>', 'about this person alone', interopId)
    .action(async (flags: Flags & { open?: true; reported?: string }) => {
      const { query, show } = await import('./admin/admin-run.ts');
      const { open, reported } = flags;
      await show(flags, `/admin/v1/reports?${query({ reported, ...(open === true ? { open: 'true' } : {}) })}`);
    });
  command(
    reports,
    'show',
    'read a report',
    'Shows what the reporter opened, each message with the verdict of the gatekeeper and of this command. That you looked\n' +
      'stands in the audit log.',
    'reports show Xk3…',
  )
    .argument('<report>', 'its id')
    .action(async (id: string, flags: Flags) => {
      const { showReport } = await import('./admin/report-run.ts');
      await showReport(flags, id);
    });
  command(
    reports,
    'verify',
    'check that a report is true',
    'Has the gatekeeper check each stamp again, and computes here what the sender committed to. Exit code 1 when anything\n' +
      'is wrong.',
    'reports verify Xk3…',
  )
    .argument('<report>', 'its id')
    .action(async (id: string, flags: Flags) => {
      const { verifyReport } = await import('./admin/report-run.ts');
      await verifyReport(flags, id);
    });
  command(
    reports,
    'decide',
    'uphold or dismiss a report',
    'A decision stands. It does nothing to anybody by itself: to keep a person out, suspend them.',
    "reports decide Xk3… upheld --reason 'threats, ticket 4711'",
  )
    .argument('<report>', 'its id')
    .argument('<decision>', 'upheld or dismissed')
    .option('--reason <text>', reasonText)
    .option('--tell-provider', 'upheld: tell the provider of whoever was reported; never who reported or what was said')
    .action(async (id: string, decision: string, flags: Told & { tellProvider?: true }) => {
      if (decision !== 'upheld' && decision !== 'dismissed')
        throw usageError(`${decision} is not a decision`, 'say upheld or dismissed');
      const { decideReport } = await import('./admin/report-run.ts');
      await decideReport(flags, id, decision, flags);
    });
}

function registerRestrictions(admin: Command): void {
  const subjectText = "InteropId, or a provider's number";
  const restrictions = command(
    admin,
    'restrictions',
    'list who is held back, see why, and take it back',
    'Lists whom others refused or reported so often that they meet new people slowly, or not at all.',
    'restrictions',
  )
    .enablePositionalOptions()
    .option('--after <subject>', 'those behind this one')
    .action(async (flags: Flags & { after?: string }) => {
      const { query, show } = await import('./admin/admin-run.ts');
      await show(flags, `/admin/v1/restrictions?${query({ after: flags.after })}`);
    });
  command(
    restrictions,
    'show',
    'what counts for and against a person or a provider',
    'Sums alone: nobody who refused or reported somebody is named.',
    'restrictions show 1-k5…',
  )
    .argument('<subject>', subjectText)
    .action(async (subject: string, flags: Flags) => {
      const { show } = await import('./admin/admin-run.ts');
      await show(flags, `/admin/v1/restrictions/${encodeURIComponent(subject)}`);
    });
  command(
    restrictions,
    'forgive',
    'lift a restriction',
    'Nothing that was said of them up to now counts any more. `resume` of a suspended person does it too.',
    "restrictions forgive 1-k5… --reason 'a mistake, ticket 4711'",
  )
    .argument('<subject>', subjectText)
    .requiredOption('--reason <text>', reasonText)
    .action(async (subject: string, flags: Told) =>
      change(flags, 'POST', `restrictions/${encodeURIComponent(subject)}/forgive`),
    );
}

function registerProviders(admin: Command): void {
  const numberText = "the provider's number";
  command(
    admin,
    'suspend-provider',
    'suspend a provider',
    'Suspends a provider: all its streams end, its people are unreachable. Mail that waits is kept.',
    "suspend-provider 7 --reason 'key stolen'",
  )
    .argument('<number>', numberText)
    .requiredOption('--reason <text>', reasonText)
    .action(async (number: string, flags: Told) =>
      change(flags, 'POST', `providers/${encodeURIComponent(number)}/suspend`),
    );
  command(admin, 'resume-provider', "end a provider's suspension", 'Lets its people in again.', 'resume-provider 7')
    .argument('<number>', numberText)
    .option('--reason <text>', reasonText)
    .action(async (number: string, flags: Told) =>
      change(flags, 'POST', `providers/${encodeURIComponent(number)}/resume`),
    );
  command(
    admin,
    'revoke-keys',
    "after a theft: end what a provider's old keys vouched for",
    "Fetches a provider's key set now and ends every stream that a key vouched for which is not in it any more.",
    "revoke-keys 7 --reason 'their laptop was stolen'",
  )
    .argument('<number>', numberText)
    .option('--reason <text>', reasonText)
    .action(async (number: string, flags: Told) =>
      change(flags, 'POST', `providers/${encodeURIComponent(number)}/revoke-keys`),
    );
}

function registerEvents(admin: Command): void {
  const events = command(
    admin,
    'events',
    'list what providers are to be told, and tell it again',
    'Lists events that wait to be told to providers, oldest first; with --dead those that were given up.',
    'events --dead --provider 7',
  )
    .enablePositionalOptions()
    .option('--dead', 'those that were given up')
    .option('--provider <number>', 'of this provider alone', wholeNumber)
    .option('--after <id>', 'those after this one')
    .action(async (flags: Flags & { dead?: true; provider?: number; after?: string }) => {
      const { query, show } = await import('./admin/admin-run.ts');
      const { dead, provider, after } = flags;
      const state = dead === true ? 'dead' : undefined;
      await show(flags, `/admin/v1/events?${query({ provider: provider?.toString(), state, after })}`);
    });
  command(
    events,
    'resend',
    'tell dead events again',
    'Tells one event again, or all dead ones of a provider. A receiver passes over what was overtaken.',
    'events resend --provider 7',
  )
    .option('--id <id>', 'this event')
    .option('--provider <number>', 'all dead events of this provider', wholeNumber)
    .action(async (flags: Flags & { id?: string; provider?: number }) => {
      const { id, provider } = flags;
      if ((id === undefined) === (provider === undefined)) {
        throw usageError('nothing says which events', 'give --id or --provider, one of them');
      }
      const path = id === undefined ? `providers/${provider}/resend-events` : `events/${encodeURIComponent(id)}/resend`;
      await change(flags, 'POST', path);
    });
}

async function change(flags: Told, method: 'POST' | 'DELETE', path: string, done = 'done'): Promise<void> {
  const { act } = await import('./admin/admin-run.ts');
  await act(flags, method, `/admin/v1/${path}`, flags.reason === undefined ? {} : { reason: flags.reason }, done);
}
