// What a provider says about itself to a gatekeeper, signed with its issuer's key: from the kit, or from a command beside a
// provider that runs. Knows nothing of HTTP. Source: docs/protocol/10 section 10.6.
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { SigningKey } from '@drawbridge/identity/jwk';
import { issueProviderStatement, type ProviderAct } from '@drawbridge/identity/provider-statement';
import { issuerKeyFile } from './issuer-key-file.ts';

type Between = { readonly issuer: string; readonly gatekeeper: string; readonly nowMs: number };

export function signStatement(key: SigningKey, { issuer, gatekeeper, nowMs }: Between, act: ProviderAct): string {
  return issueProviderStatement(key, {
    ...act,
    issuer,
    audience: gatekeeper,
    jti: randomBytes(18).toString('base64url'),
    issuedAtSeconds: Math.floor(nowMs / 1000),
  });
}

/** The key that signs now, of a data folder whose provider may run. Undefined when it has none yet; rejects on a damaged file. */
export async function readSigningKey(dataFolder: string, nowMs: number): Promise<SigningKey | undefined> {
  const file = join(dataFolder, 'signing-keys.json');
  if (!existsSync(file)) return undefined;
  const keys = (await issuerKeyFile(file).load()).toSorted((a, b) => a.signsFromMs - b.signsFromMs);
  return (keys.findLast(each => each.signsFromMs <= nowMs) ?? keys[0])?.key;
}
