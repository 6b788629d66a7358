// Fetches, checks and shows a reference offer. Knows nothing of what is in it.
import { readFileSync, writeFileSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { createEgress, type Egress } from '@drawbridge/identity/egress';
import { maxSignedOfferBytes, verifySignedOffer } from '@drawbridge/identity/signed-offer';
import { importPinnedKey } from '@drawbridge/identity/static-key-certificate';
import { CommandError } from './command-error.ts';
import { loopbackAddresses } from './dev-config.ts';

type Flags = { readonly key?: string; readonly output?: string; readonly developmentCa?: string };
type Offer = { readonly issuer?: unknown; readonly compactKeys?: { readonly signingKey?: { readonly x?: unknown } } };

const timeoutMs = 15_000;

/** Throws a CommandError when the offer is not what it should be. */
export async function showOffer(url: string, flags: Flags): Promise<void> {
  const issuer = url.replace(/\/$/, '');
  const egress = createEgress(
    flags.developmentCa === undefined
      ? {}
      : { allow: { addresses: loopbackAddresses, ca: readFileSync(flags.developmentCa, 'utf8') } },
  );
  try {
    const plain = await fetchText(egress, `${issuer}/.well-known/interop-gatekeeper`);
    const offer = parse(plain, issuer);
    const x = flags.key ?? offer.compactKeys?.signingKey?.x;
    const key = typeof x === 'string' ? importPinnedKey(x) : undefined;
    if (key === undefined) throw new CommandError('there is no long-term key', 'name the one that you know: --key');
    const token = (await fetchText(egress, `${issuer}/.well-known/interop-gatekeeper.jws`)).trim();
    const signed = verifySignedOffer(token, key);
    if (signed?.issuer !== issuer) {
      throw new CommandError(
        'the signature is not of that key',
        'ask the operator: another key, or somebody in between',
      );
    }
    if (!isDeepStrictEqual(signed.offer, offer)) {
      throw new CommandError(
        'the signed offer says something else than the plain one',
        'try again; then ask the operator',
      );
    }
    if (flags.output !== undefined) writeFileSync(flags.output, `${token}\n`, { flag: 'wx' });
    process.stdout.write(`${JSON.stringify(offer, undefined, 2)}\n`);
    const at = new Date(signed.issuedAtSeconds * 1000).toISOString();
    process.stderr.write(
      `signed ${at} with ${flags.key === undefined ? 'the key in the offer' : 'the key that you know'}\n`,
    );
  } finally {
    egress.close();
  }
}

function parse(text: string, issuer: string): Offer {
  let offer: Offer;
  try {
    offer = JSON.parse(text) as Offer;
  } catch {
    throw new CommandError(`${issuer} gives no offer`, 'check the address');
  }
  if (offer.issuer !== issuer) throw new CommandError('the offer is of another issuer', 'ask under its own address');
  return offer;
}

async function fetchText(egress: Egress, url: string): Promise<string> {
  const { port } = new URL(url);
  const ports = port === '' ? {} : { ports: [Number(port)] };
  const answer = await egress.fetch(url, { maxBodyBytes: maxSignedOfferBytes, timeoutMs, ...ports });
  if (answer.kind === 'failed') throw new CommandError(`${url} does not answer (${answer.code})`, 'check the address');
  if (answer.status !== 200) throw new CommandError(`${url} answers ${answer.status}`, 'it may be an older gatekeeper');
  return Buffer.from(answer.body).toString('utf8');
}
