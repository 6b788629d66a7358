// `drawbridge token`: options and help. Knows nothing of how proofs are made or judged.
import { type Command, Option } from 'commander';
import { wholeNumber } from './sandbox.ts';

export type IssueFlags = {
  key: string;
  issuer: string;
  subject: string;
  audience: string;
  jkt?: string;
  deviceKey?: string;
  transport: 'xmpp' | 'compact' | 'http';
  lifetime?: number;
  region?: 'covered';
};

export type InspectFlags = {
  audience?: string;
  keys?: string;
  transport: 'xmpp' | 'compact' | 'http';
  json: boolean;
};

function transportOption(): Option {
  return new Option('--transport <name>', 'where the proof is shown: it decides how long one may live')
    .choices(['xmpp', 'compact', 'http'])
    .default('xmpp');
}

export function registerToken(program: Command): void {
  const token = program
    .command('token')
    .summary('issue, inspect and fetch ownership proofs')
    .description('Works with ownership proofs: the tokens by which a provider vouches for a device (docs/protocol/02).')
    .addHelpText(
      'after',
      `
Examples:
  $ drawbridge token proof --sandbox http://127.0.0.1:5227 --account u0
  $ drawbridge token proof --account u0 | drawbridge token inspect --audience https://localhost:5226 \\
      --keys http://127.0.0.1:5227/skylark/jwks.json
  $ drawbridge token issue --key skylark/signing-keys.json --issuer https://id.skylark.example --subject anna \\
      --audience https://citadel.example --device-key device.jwk

A proof is a credential: these commands read it from standard input, and print one only when asked to make it.`,
    );

  token
    .command('issue')
    .summary("sign a proof with a provider's key")
    .description(
      'Signs an ownership proof and prints it. The key is that of a provider: keep it, and the proof, to yourself.',
    )
    .requiredOption('--key <file>', 'signing-keys.json of a provider, a private JWK, or PKCS #8 PEM (P-256 or Ed25519)')
    .requiredOption('--issuer <url>', "the provider's issuer URL")
    .requiredOption('--subject <identifier>', 'user-visible identifier')
    .requiredOption('--audience <url>', "the gatekeeper's issuer URL")
    .option('--jkt <thumbprint>', 'RFC 7638 thumbprint of the device key')
    .option('--device-key <file>', 'the device key itself as a JWK (X25519), in place of --jkt')
    .addOption(transportOption())
    .option('--lifetime <seconds>', 'shorter or longer than usual; at most 600', wholeNumber)
    .addOption(new Option('--region <word>', "the provider's statement about the person").choices(['covered']))
    .addHelpText(
      'after',
      `
Example:
  $ drawbridge token issue --key skylark/signing-keys.json --issuer https://id.skylark.example --subject anna \\
      --audience https://citadel.example --device-key device.jwk --transport compact`,
    )
    .action(async (flags: IssueFlags) => {
      const { issueToken } = await import('./token-issue.ts');
      process.stdout.write(`${await issueToken(flags)}\n`);
    });

  token
    .command('inspect')
    .alias('verify')
    .summary('say what a gatekeeper would say about a proof')
    .description(
      'Shows header, claims and times of a proof, and the first reason for which a gatekeeper would refuse it. ' +
        'Exit code 0: it would be accepted as far as could be checked; 1: refused. Never prints the token.',
    )
    .argument(
      '[token]',
      'the token; `-` or nothing reads standard input, which no other user of this machine sees',
      '-',
    )
    .option('--audience <url>', "the gatekeeper's issuer URL; without it the audience is not judged")
    .option('--keys <where>', "the issuer's key set: a file or URL; without it the signature is not checked")
    .addOption(transportOption())
    .option('--json', 'one JSON object in place of text', false)
    .addHelpText(
      'after',
      `
Examples:
  $ drawbridge token inspect - < proof.jwt
  $ drawbridge token proof --account u0 | drawbridge token inspect --transport xmpp --json \\
      --audience https://localhost:5226 --keys http://127.0.0.1:5227/skylark/jwks.json`,
    )
    .action(async (text: string, flags: InspectFlags) => {
      const { inspectToken, printInspection } = await import('./token-inspect.ts');
      const inspection = await inspectToken(text, flags);
      process.stdout.write(flags.json ? `${JSON.stringify(inspection)}\n` : printInspection(inspection));
      process.exitCode = inspection.verdict.kind === 'refused' ? 1 : 0;
    });

  token
    .command('proof')
    .summary('fetch a fresh proof from a sandbox')
    .description('Prints a fresh ownership proof for an account of a running sandbox.')
    .option('--sandbox <url>', "the sandbox's own port", 'http://127.0.0.1:5227')
    .requiredOption('--account <name>', 'u0, u1, … or the local part of its JID')
    .addOption(transportOption())
    .addHelpText('after', '\nExample:\n  $ drawbridge token proof --sandbox http://127.0.0.1:5227 --account u0')
    .action(async (flags: { sandbox: string; account: string; transport: string }) => {
      const { fetchSandboxProof } = await import('./token-proof.ts');
      process.stdout.write(`${await fetchSandboxProof(flags)}\n`);
    });
}
