// `drawbridge offer`: options and help. Knows nothing of offers.
import type { Command } from 'commander';

export function registerOffer(program: Command): void {
  program
    .command('offer')
    .summary("check and show a gatekeeper's reference offer")
    .description(
      "Fetches a gatekeeper's reference offer and checks that it is signed with its long-term key, over the same text. Keep " +
        'the signed form (--output): it shows later what was offered, and when.',
    )
    .argument('<url>', 'issuer URL of the gatekeeper')
    .option('--key <key>', 'the long-term key that you know already, base64url (otherwise the one in the offer)')
    .option('--output <file>', 'writes the signed form to a new file')
    .option('--development-ca <file>', 'trust this authority alone, on loopback; never in production')
    .addHelpText('after', '\nExample:\n  $ drawbridge offer https://citadel.example --output citadel-offer.jws')
    .action(async (url: string, flags: { key?: string; output?: string; developmentCa?: string }) => {
      const { showOffer } = await import('./offer-run.ts');
      await showOffer(url, flags);
    });
}
