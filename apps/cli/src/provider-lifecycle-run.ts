// Says to a gatekeeper what a provider wants, with the key of its data folder, and shows the answer.
// Knows nothing of how a gatekeeper decides. Source: docs/protocol/10 section 10.6.
import { createEgress, type Egress } from '@drawbridge/identity/egress';
import type { AgreementRef, ApplicationTerms, ProviderAct } from '@drawbridge/identity/provider-statement';
import { readSigningKey, signStatement } from '@drawbridge/provider/statements';
import { CommandError, usageError } from './command-error.ts';
import { sayAnswer } from './admin/admin-run.ts';
import type { ApplyFlags, StatementFlags } from './provider-lifecycle.ts';
import { readProviderOptions } from './provider-run.ts';

type Place = {
  readonly issuer: string;
  readonly gatekeeper: string;
  readonly dataFolder: string;
  readonly egress: Egress;
};
type Agreement = AgreementRef & {
  readonly clauses: readonly { readonly id: string; readonly text: string }[];
  readonly differences?: Readonly<Record<'added' | 'removed' | 'changed', readonly string[]>>;
};

const maxAnswerBytes = 1024 * 1024;
const timeoutMs = 20_000;

export async function apply(flags: ApplyFlags): Promise<void> {
  await at(flags, async place => {
    const agreement = await agreementOf(place);
    if (flags.accept === undefined) {
      showAgreement(agreement);
      throw usageError('nothing was sent yet', `add --accept ${agreement.version} when you agree`);
    }
    const application: ApplicationTerms = {
      name: new URL(place.issuer).hostname,
      keySetOrigins: [],
      mediaOrigins: flags.mediaOrigin ?? [new URL(place.issuer).origin],
      wakeUpUrl: flags.wakeUpUrl ?? `${place.issuer}/v1/wake-ups`,
      eventsUrl: flags.eventsUrl ?? `${place.issuer}/v1/events`,
      suites: flags.suite ?? ['signal-1'],
      regions: flags.region ?? [],
      contact: {
        name: flags.contactName,
        email: flags.contactEmail,
        ...(flags.securityContact === undefined ? {} : { security: flags.securityContact }),
      },
    };
    const answer = await send(place, { act: 'apply', application, agreement: accepted(agreement, flags.accept) });
    sayAnswer(flags, answer);
  });
}

export async function say(flags: StatementFlags, act: ProviderAct): Promise<void> {
  await at(flags, async place => sayAnswer(flags, await send(place, act)));
}

export async function accept(flags: StatementFlags, version: string): Promise<void> {
  await at(flags, async place => {
    const agreement = await agreementOf(place);
    sayAnswer(flags, await send(place, { act: 'accept', agreement: accepted(agreement, version) }));
  });
}

export async function leave(flags: StatementFlags, reason: string, really: boolean): Promise<void> {
  if (really) return await say(flags, { act: 'leave', reason });
  await say(flags, { act: 'status' });
  throw usageError('nothing was sent yet', 'add --yes when the provider really leaves');
}

/** Another version than the one in force was not read: nothing is accepted then. */
function accepted({ version, digest, clauses, differences }: Agreement, named: string): AgreementRef {
  if (named === String(version)) return { version, digest };
  showAgreement({ version, digest, clauses, ...(differences === undefined ? {} : { differences }) });
  throw usageError(`version ${version} is in force, not ${named}`, `read it, then name ${version}`);
}

function showAgreement({ version, clauses, differences }: Agreement): void {
  const changed = new Set([...(differences?.added ?? []), ...(differences?.changed ?? [])]);
  process.stdout.write(`Agreement, version ${version}\n\n`);
  for (const { id, text } of clauses) process.stdout.write(`${changed.has(id) ? '* ' : '  '}${id}: ${text}\n\n`);
  if (differences !== undefined) {
    const gone = differences.removed.length === 0 ? '' : `; gone: ${differences.removed.join(', ')}`;
    process.stdout.write(`* differs from version ${version - 1}${gone}\n`);
  }
}

async function at(flags: StatementFlags, use: (place: Place) => Promise<void>): Promise<void> {
  const { config, data, issuer, to, developmentCa } = flags;
  const { provider } = readProviderOptions(
    config === undefined
      ? {
          ...(data === undefined ? {} : { data }),
          ...(issuer === undefined ? {} : { issuer }),
          ...(to === undefined ? {} : { gatekeeper: [to] }),
          ...(developmentCa === undefined ? {} : { developmentCa }),
        }
      : { config },
  );
  const [only, ...others] = provider.gatekeepers;
  const gatekeeper = to ?? (others.length === 0 ? only?.issuer : undefined);
  if (gatekeeper === undefined) throw usageError('--to is missing', 'name the gatekeeper that this is for');
  const egress = createEgress(provider.egress ?? {});
  try {
    await use({ issuer: provider.issuer, gatekeeper, dataFolder: provider.dataFolder, egress });
  } finally {
    egress.close();
  }
}

async function agreementOf(place: Place): Promise<Agreement> {
  return (await ask(place, 'GET', '/v1/agreement')) as Agreement;
}

async function send(place: Place, act: ProviderAct): Promise<unknown> {
  const { issuer, gatekeeper, dataFolder } = place;
  const key = await readSigningKey(dataFolder, Date.now());
  if (key === undefined) {
    throw new CommandError(
      `${dataFolder} holds no signing keys`,
      'start the provider once: its keys prove who applies',
    );
  }
  const statement = signStatement(key, { issuer, gatekeeper, nowMs: Date.now() }, act);
  return await ask(place, 'POST', '/v1/provider-statements', { statement });
}

async function ask(
  { gatekeeper, egress }: Place,
  method: 'GET' | 'POST',
  path: string,
  body?: object,
): Promise<unknown> {
  const { port } = new URL(gatekeeper);
  const answer = await egress.fetch(`${gatekeeper}${path}`, {
    method,
    headers: { accept: 'application/json', ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    maxBodyBytes: maxAnswerBytes,
    timeoutMs,
    ...(port === '' ? {} : { ports: [Number(port)] }),
  });
  if (answer.kind === 'failed') {
    throw new CommandError(`${gatekeeper} does not answer (${answer.code})`, 'check the address, and try again');
  }
  let json: { readonly title?: string; readonly detail?: string };
  try {
    json = JSON.parse(Buffer.from(answer.body).toString('utf8')) as typeof json;
  } catch {
    throw new CommandError(`${gatekeeper} answers no JSON`, 'check that it is a gatekeeper, and its version');
  }
  if (answer.status >= 300) throw new CommandError(json.title ?? 'refused', json.detail ?? 'ask its operator');
  return json;
}
