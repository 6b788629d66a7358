// Says what a gatekeeper would say about an ownership proof, with the gatekeeper's own code. Never shows the token.
// What a gatekeeper alone knows (used ids, suspensions, enlisted devices) can't be judged here.
import { existsSync, readFileSync } from 'node:fs';
import { text as readAll } from 'node:stream/consumers';
import { localKeySource, parseKeySet } from '@drawbridge/identity/key-set';
import { maxProofLifetimeSeconds } from '@drawbridge/identity/ownership-proof';
import { type ProofErrorCode, proofErrors } from '@drawbridge/identity/proof-errors';
import { type KeySource, verifyOwnershipProof } from '@drawbridge/identity/verify-ownership-proof';
import { CommandError } from './command-error.ts';
import type { InspectFlags } from './token.ts';

export type Inspection = {
  /** What the parts say, verified or not; undefined where they can't be read. */
  readonly header: unknown;
  readonly claims: unknown;
  readonly times: { readonly issuedAt?: string; readonly expiresAt?: string; readonly expiresInSeconds?: number };
  readonly verdict:
    | { readonly kind: 'accepted' }
    /** Right as far as it was checked. */
    | { readonly kind: 'unproven'; readonly unchecked: readonly ('signature' | 'audience')[] }
    | { readonly kind: 'refused'; readonly code: ProofErrorCode; readonly text: string };
};

/** `token` or, for `-`, standard input. Rejects with a CommandError when the key set can't be read. */
export async function inspectToken(argument: string, flags: InspectFlags, nowMs = Date.now()): Promise<Inspection> {
  const token = (argument === '-' ? await readAll(process.stdin) : argument).trim();
  const [header, claims] = token.split('.', 2).map(readPart);
  const keys = flags.keys === undefined ? undefined : await readKeys(flags.keys);
  const audience = flags.audience ?? (claims as { aud?: unknown } | undefined)?.aud;
  const verdict = await verifyOwnershipProof(token, {
    audience: typeof audience === 'string' ? audience : '',
    nowMs,
    maxLifetimeSeconds: maxProofLifetimeSeconds[flags.transport],
    issuers: () => ({ providerNumber: 0, keys: keys ?? { findKey: async () => ({ kind: 'unavailable' }) } }),
    takeProofId: async () => true,
  });
  const unchecked = [
    ...(keys === undefined ? (['signature'] as const) : []),
    ...(flags.audience === undefined ? (['audience'] as const) : []),
  ];
  return { header, claims, times: timesOf(claims, nowMs), verdict: judge(verdict, keys === undefined, unchecked) };
}

function judge(
  verdict: Awaited<ReturnType<typeof verifyOwnershipProof>>,
  withoutKeys: boolean,
  unchecked: readonly ('signature' | 'audience')[],
): Inspection['verdict'] {
  // The key set is asked for last: all else was right.
  const right = verdict.kind === 'verified' || (withoutKeys && verdict.code === 'key-set-unavailable');
  if (!right) return { kind: 'refused', code: verdict.code, text: proofErrors[verdict.code].text };
  return unchecked.length === 0 ? { kind: 'accepted' } : { kind: 'unproven', unchecked };
}

/** For a person at a terminal. */
export function printInspection({ header, claims, times, verdict }: Inspection): string {
  const lines = [`header   ${show(header)}`, `claims   ${show(claims)}`];
  if (times.issuedAt !== undefined) lines.push(`issued   ${times.issuedAt}`);
  if (times.expiresAt !== undefined) {
    const left = times.expiresInSeconds ?? 0;
    lines.push(`expires  ${times.expiresAt}, ${left >= 0 ? `in ${left} s` : `${-left} s ago`}`);
  }
  if (verdict.kind === 'refused') lines.push(`verdict  refused: ${verdict.code}. ${verdict.text}`);
  if (verdict.kind === 'accepted') lines.push('verdict  a gatekeeper would accept it, once');
  if (verdict.kind === 'unproven') {
    const options = { signature: '--keys', audience: '--audience' } as const;
    const missing = verdict.unchecked.map(each => `${each} (give ${options[each]})`);
    lines.push(`verdict  nothing is wrong so far; not checked: ${missing.join(', ')}`);
  }
  return `${lines.join('\n')}\n`;
}

/** Control characters of a hostile token must not reach the terminal: JSON escapes the C0 ones, and this the rest. */
function show(value: unknown): string {
  if (value === undefined) return '(unreadable)';
  return JSON.stringify(value).replaceAll(/[^\x20-\x7e\p{L}\p{N}\p{P}\p{S}]/gu, char =>
    Array.from(char, each => `\\u{${each.codePointAt(0)!.toString(16)}}`).join(''),
  );
}

function readPart(part: string): unknown {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, 'base64url').toString('utf8'));
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

function timesOf(claims: unknown, nowMs: number): Inspection['times'] {
  const { iat, exp } = (claims ?? {}) as { iat?: unknown; exp?: unknown };
  const date = (seconds: unknown): string | undefined =>
    typeof seconds === 'number' && Math.abs(seconds) < 8e12 ? new Date(seconds * 1000).toISOString() : undefined;
  const issuedAt = date(iat);
  const expiresAt = date(exp);
  return {
    ...(issuedAt === undefined ? {} : { issuedAt }),
    ...(expiresAt === undefined ? {} : { expiresAt, expiresInSeconds: Math.round(Number(exp) - nowMs / 1000) }),
  };
}

async function readKeys(where: string): Promise<KeySource> {
  const step = "name the issuer's key set: a file, or its jwks_uri (NODE_EXTRA_CA_CERTS names a development authority)";
  let body: Uint8Array;
  if (existsSync(where)) body = readFileSync(where);
  else if (URL.canParse(where) && /^https?:$/.test(new URL(where).protocol)) {
    const response = await fetch(where, { signal: AbortSignal.timeout(10_000), redirect: 'error' }).catch(
      () => undefined,
    );
    if (response?.ok !== true) throw new CommandError(`${where} can't be fetched`, step);
    body = await response.bytes();
  } else throw new CommandError(`${where} is neither a file nor a URL`, step);
  const set = parseKeySet(body);
  if (set === undefined) throw new CommandError(`${where} holds no key set`, step);
  return localKeySource(() => [...set.keys.values()]);
}
