// The agreement that a provider accepts: clauses made from the configuration in force, in words and with a digest, so that
// it can't say otherwise than what the server does. Knows nothing of providers, storage or HTTP.
// Source: docs/protocol/10 section 10.6; Regulation (EU) 2022/1925, Article 7.
import { createHash } from 'node:crypto';
import type { Config } from '../config-schema.ts';

export type Clause = { readonly id: string; readonly text: string };

/** What a change of the agreement changes, by clause. */
export type Differences = {
  readonly added: readonly string[];
  readonly removed: readonly string[];
  readonly changed: readonly string[];
};

type Ruled = Pick<Config, 'issuer' | 'terms' | 'contact' | 'applications' | 'limits' | 'budgets' | 'ownUsers'>;

export function clausesOf(config: Ruled): Clause[] {
  const { applications, limits, budgets, contact, terms } = config;
  const clause = (id: string, ...sentences: string[]): Clause => ({ id, text: sentences.join(' ') });
  const { enlistmentsPerProvider, lookupsPerProvider } = budgets;
  return [
    clause('parties', `Between the gatekeeper ${config.issuer} and the service that the application names.`),
    clause('price', 'Free of charge, both ways.'),
    clause(
      'protocol',
      'Both speak the open protocol of the reference offer. No secret is part of it, and nothing in it may be kept secret by',
      'either side.',
    ),
    clause(
      'proofs',
      'The provider signs ownership proofs for its own people alone, for the person who has signed in and the device that',
      'asks. It publishes its keys at its issuer and replaces a key that may be in wrong hands at once, and says so.',
    ),
    clause(
      'encryption',
      `Messages are end-to-end encrypted with a suite of: ${applications.suites.join(', ')}. The provider's apps keep the`,
      'keys on the devices of its people; neither side asks for them.',
    ),
    clause(
      'people',
      'People choose whether they are reachable, on both sides, and may stop at any time. The provider tells its people that',
      'messages go to another service and what that service learns.',
    ),
    clause(
      'regions',
      applications.regions.length === 0
        ? 'Any region. The provider declares where its people are; the gatekeeper measures nothing.'
        : `The provider enlists people of these regions alone: ${applications.regions.join(', ')}. It declares so; the gatekeeper measures nothing and gets no address for it.`,
    ),
    clause(
      'sandbox',
      `A provider begins in the sandbox: up to ${applications.sandboxEnlistments} people, who reach each other and people of`,
      'the gatekeeper who test with it. An operator lets it go live, or says why not.',
    ),
    clause(
      'quotas',
      `Live, ${applications.liveEnlistments} people unless another number is agreed on;`,
      `${enlistmentsPerProvider.burst} enlistments at once and one each ${enlistmentsPerProvider.refillSeconds} s;`,
      `${lookupsPerProvider.burst} look-ups at once and one each ${lookupsPerProvider.refillSeconds} s;`,
      `${limits.mailboxBytesPerProvider} bytes that wait for its people. In the sandbox a tenth of the rates.`,
    ),
    clause(
      'kept',
      `The gatekeeper keeps messages that wait for at most ${limits.mailboxDays} days, in ciphertext, and of people what`,
      'docs/data.md of the project lists. It tells nobody who writes to whom.',
    ),
    clause(
      'abuse',
      'The provider answers what is sent to its contact about abuse and security. It acts on reports about its people by its',
      'own rules, which it publishes.',
    ),
    clause(
      'suspension',
      'An operator may suspend a provider for a reason, which the provider is shown with the time. Its streams end then and',
      'messages that wait are kept. The provider may object to the contact of the gatekeeper.',
    ),
    clause(
      'leaving',
      'The provider may leave at any time by a signed statement. The gatekeeper ends this for a reason.',
    ),
    clause(
      'changes',
      'Another version of this agreement says which clauses differ. The provider accepts it by a signed statement; until then',
      'the version that it accepted is shown beside its name, and an operator may suspend it.',
    ),
    clause(
      'contact',
      contact === undefined
        ? 'The gatekeeper has named no contact.'
        : `The gatekeeper: ${contact.name}, ${contact.email}.`,
    ),
    ...(terms === undefined ? [] : [clause('terms', `More terms of the gatekeeper: ${terms}`)]),
  ];
}

/** The text that is kept and hashed: JSON of issuer and clauses, always in this order. */
export function agreementText(config: Ruled): string {
  return JSON.stringify({ form: 1, gatekeeper: config.issuer, clauses: clausesOf(config) });
}

/** SHA-256 of the text, base64url. */
export function agreementDigest(text: string): string {
  return createHash('sha256').update(text).digest('base64url');
}

/** Of a text that `agreementText` wrote. */
export function clausesIn(text: string): readonly Clause[] {
  return (JSON.parse(text) as { clauses: readonly Clause[] }).clauses;
}

export function differences(before: readonly Clause[], after: readonly Clause[]): Differences {
  const was = new Map(before.map(({ id, text }) => [id, text]));
  const is = new Map(after.map(({ id, text }) => [id, text]));
  return {
    added: [...is.keys()].filter(id => !was.has(id)),
    removed: [...was.keys()].filter(id => !is.has(id)),
    changed: [...is.keys()].filter(id => was.has(id) && was.get(id) !== is.get(id)),
  };
}
