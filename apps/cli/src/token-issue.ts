// Signs an ownership proof with a provider's key out of a file. Knows nothing of users or sessions.
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { issueOwnershipProof } from '@drawbridge/identity/issue-ownership-proof';
import {
  importSigningKey,
  importSigningKeyPem,
  isThumbprint,
  type SigningKey,
  thumbprintX25519,
} from '@drawbridge/identity/jwk';
import {
  issuedProofLifetimeSeconds,
  isUserIdentifier,
  maxProofLifetimeSeconds,
} from '@drawbridge/identity/ownership-proof';
import { CommandError, usageError } from './command-error.ts';
import type { IssueFlags } from './token.ts';

/** The proof. Rejects with a CommandError when an option or a file is unfit. */
export async function issueToken(flags: IssueFlags, nowMs = Date.now()): Promise<string> {
  const { issuer, subject, audience, transport, region } = flags;
  const lifetime = flags.lifetime ?? issuedProofLifetimeSeconds[transport];
  if (lifetime < 1 || lifetime > maxProofLifetimeSeconds.compact) {
    throw usageError('--lifetime is out of range', `give 1 to ${maxProofLifetimeSeconds.compact} seconds`);
  }
  if (!isUserIdentifier(subject))
    throw usageError('--subject is not a user-visible identifier', 'see docs/protocol/01');
  for (const [name, url] of Object.entries({ issuer, audience })) {
    if (!URL.canParse(url)) throw usageError(`--${name} is no URL`, 'give it exactly as it is registered');
  }
  const issuedAtSeconds = Math.floor(nowMs / 1000);
  return await issueOwnershipProof(readSigningKey(flags.key, nowMs), {
    issuer,
    subject,
    audience,
    jkt: jktOf(flags),
    issuedAtSeconds,
    expiresAtSeconds: issuedAtSeconds + lifetime,
    jti: randomBytes(24).toString('base64url'),
    ...(region === undefined ? {} : { region }),
  });
}

function jktOf({ jkt, deviceKey }: IssueFlags): string {
  if ((jkt === undefined) === (deviceKey === undefined)) {
    throw usageError('the device key is missing or named twice', 'give either --jkt or --device-key');
  }
  if (jkt !== undefined) {
    if (isThumbprint(jkt)) return jkt;
    throw usageError('--jkt is no SHA-256 thumbprint', 'give 43 characters of base64url, or --device-key FILE');
  }
  const jwk = parseJson(readFileSync(deviceKey!, 'utf8')) as { crv?: unknown; x?: unknown } | undefined;
  const bytes = typeof jwk?.x === 'string' ? Buffer.from(jwk.x, 'base64url') : undefined;
  if (jwk?.crv === 'X25519' && bytes?.length === 32) return thumbprintX25519(bytes);
  throw new CommandError(`${deviceKey} holds no X25519 JWK`, 'give {"kty":"OKP","crv":"X25519","x":…}');
}

/** The key that signs at `nowMs`, out of `signing-keys.json` of a provider, a JWK or a PEM file. */
export function readSigningKey(file: string, nowMs: number): SigningKey {
  const text = readFileSync(file, 'utf8');
  const json = parseJson(text);
  const imported = json === undefined ? importSigningKeyPem(text) : importSigningKey(currentKey(json, nowMs));
  if (imported.kind === 'imported') return imported.key;
  throw new CommandError(
    `${file} holds no signing key (${imported.code})`,
    "name a provider's signing-keys.json, a private JWK with `kid`, or a PKCS #8 PEM file on P-256 or Ed25519",
  );
}

function currentKey(json: unknown, nowMs: number): unknown {
  const scheduled = (json as { keys?: unknown } | null)?.keys;
  if (!Array.isArray(scheduled)) return json;
  const keys = (scheduled as { signsFromMs: number; jwk: unknown }[]).toSorted((a, b) => a.signsFromMs - b.signsFromMs);
  return (keys.findLast(key => key.signsFromMs <= nowMs) ?? keys[0])?.jwk;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
