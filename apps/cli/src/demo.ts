// `drawbridge demo`: the whole system on one machine, and what each server could see of it.
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import { exitCodes, usageError } from './command-error.ts';
import type { DemoGatekeeper, DemoNetwork } from './demo-network.ts';
import { wholeNumber } from './sandbox.ts';

type Flags = { script: boolean; messages: number; json: boolean; data?: string };

const maxMessages = 10_000;

export function registerDemo(program: Command): void {
  program
    .command('demo')
    .summary('two gatekeepers, a provider and people who chat, on this machine')
    .description(
      'Starts gatekeepers citadel and plaza, provider skylark, bob of citadel, chloe of plaza, and anna of skylark, who is ' +
        'enlisted with both. Shows a conversation as it happens, and what each server could see of it.',
    )
    .option('--script', 'no person needed: send messages each way, count, search the servers for their texts', false)
    .option('--messages <count>', 'with --script: messages per direction and gatekeeper', wholeNumber, 50)
    .option('--json', 'with --script: print one JSON object last', false)
    .option('--data <folder>', 'keep everything in this new folder (otherwise in a temporary one, removed at the end)')
    .addHelpText(
      'after',
      `
Examples:
  $ drawbridge demo
  $ drawbridge demo --script --messages 50 --json | tail -1

Exit codes with --script: 0 everything arrived once and in order, and no server saw a text; 1 otherwise.`,
    )
    .action(async (flags: Flags) => {
      if (flags.messages < 1 || flags.messages > maxMessages) {
        throw usageError(`--messages ${flags.messages} is out of range`, `give 1 to ${maxMessages}`);
      }
      const folder = newFolder(flags.data);
      const { untilStopped } = await import('./lifetime.ts');
      const stopped = untilStopped().then(() => 'stopped' as const);
      const say = (line: string): void => void process.stderr.write(`${line}\n`);
      try {
        const { startDemoNetwork } = await import('./demo-network.ts');
        const starting = startDemoNetwork(folder, step => say(`  ${step}`));
        starting.catch(() => {});
        const network = await Promise.race([starting, stopped]);
        if (network === 'stopped') return;
        try {
          const run = flags.script ? script(network, flags) : show(network, stopped);
          run.catch(() => {});
          await Promise.race([run, stopped]);
        } finally {
          await network.close();
        }
      } finally {
        if (flags.data === undefined) rmSync(folder, { recursive: true, force: true });
      }
    });
}

function newFolder(wanted: string | undefined): string {
  if (wanted === undefined) return mkdtempSync(join(tmpdir(), 'drawbridge-demo-'));
  const folder = resolve(wanted);
  if (existsSync(folder)) {
    throw usageError(`${folder} exists already`, 'name a folder that does not exist, or remove this one');
  }
  return folder;
}

async function script(network: DemoNetwork, flags: Flags): Promise<void> {
  const { runScript } = await import('./demo-script.ts');
  const live = process.stderr.isTTY;
  const report = await runScript(network, flags.messages, (arrived, expected) => {
    if (live) process.stderr.write(`\r  ${arrived} of ${expected} messages arrived`);
  });
  if (live) process.stderr.write('\n');
  if (flags.json) process.stdout.write(`${JSON.stringify(report)}\n`);
  else {
    for (const [name, directions] of Object.entries(report.gatekeepers)) {
      for (const [direction, tally] of Object.entries(directions)) {
        const counts = `${tally.delivered} of ${tally.sent} delivered, ${tally.lost} lost, ${tally.duplicated} twice`;
        process.stdout.write(`${name}: ${direction}: ${counts}, ${tally.outOfOrder} out of order\n`);
      }
    }
    const { texts, received, stored } = report.plaintexts;
    process.stdout.write(
      `Texts found in ${received.bytes} bytes received by servers: ${received.found} of ${texts}; ` +
        `in ${stored.bytes} bytes stored: ${stored.found} of ${texts}\n`,
    );
    process.stdout.write(report.ok ? `All is well, in ${report.seconds} s.\n` : 'Something is wrong: see above.\n');
  }
  process.exitCode = report.ok ? exitCodes.ok : exitCodes.failed;
}

const lines: readonly { readonly from: 'anna' | 'native'; readonly text: string }[] = [
  { from: 'anna', text: 'Hello from skylark! Do you read me over there?' },
  { from: 'native', text: 'Loud and clear. And nobody in between does.' },
  { from: 'anna', text: 'Not even your gatekeeper?' },
  { from: 'native', text: 'It sees that we talk, when, and about how much. Never a word.' },
];

async function show(network: DemoNetwork, stopped: Promise<unknown>): Promise<void> {
  const { nativePerson, providerName, writeNetworkFile } = await import('./demo-network.ts');
  const out = (line = ''): void => void process.stdout.write(`${line}\n`);
  out();
  out('A conversation, as it happens:');
  for (const gatekeeper of network.gatekeepers) {
    out();
    out(`  over ${gatekeeper.name}`);
    const own = nativePerson[gatekeeper.name];
    const people = {
      anna: { client: gatekeeper.anna, name: 'anna (skylark)', peer: { provider: gatekeeper.domain, identifier: own } },
      native: {
        client: gatekeeper.native,
        name: `${own} (${gatekeeper.name})`,
        peer: { provider: providerName, identifier: 'anna' },
      },
    };
    const inboxes = { anna: gatekeeper.native.messages(), native: gatekeeper.anna.messages() };
    for (const { from, text } of lines) {
      const { client, name, peer } = people[from];
      await client.send(peer, { text });
      const arrived = await inboxes[from].next();
      if (arrived.done === true) return;
      out(`    ${name.padEnd(18)} ${arrived.value.text}`);
      const waiting = await gatekeeper.native.contacts.requests();
      if (waiting.length > 0)
        out(`    ${' '.repeat(18)} (a request: ${own} may accept, deny or block; the answer accepts)`);
    }
    answerByItself(gatekeeper);
  }
  out();
  out('What each server could see of it:');
  for (const gatekeeper of network.gatekeepers) seenBy(gatekeeper, out);
  out(
    `  skylark     passwords' owners and the proofs it signed for them: ${network.providerReceived.bytes} bytes of HTTP, no stanza`,
  );
  const file = writeNetworkFile(network);
  out();
  out('Go on by hand: in another terminal, be a new user of skylark and write to bob (he answers by himself):');
  out(`  npm run drawbridge -- chat --network ${file} --as yourname`);
  out('Or look around:');
  for (const { name, server } of network.gatekeepers) {
    out(
      `  curl --cacert ${network.caFile} ${server.issuer}/.well-known/interop-gatekeeper   # ${name}'s reference offer`,
    );
  }
  out();
  out('Ctrl-C stops everything.');
  await stopped;
}

/** The gatekeeper's own user answers whoever writes, so that a person who joins has somebody to talk to. */
function answerByItself({ native }: DemoGatekeeper): void {
  void (async () => {
    for await (const message of native.messages()) {
      await message.markRead();
      const name = message.from.identifier ?? 'stranger';
      await native.send(message.from, {
        text: `Thank you, ${name}: ${message.text.length} letters, all readable here.`,
      });
    }
  })().catch(() => {});
}

/** One stanza as the gatekeeper received it, shortened, and what it can be read as. */
function seenBy({ name, received }: DemoGatekeeper, out: (line?: string) => void): void {
  const text = received.all().toString('latin1');
  const stanzas = text.match(/<message [^]*?<\/message>/g) ?? [];
  const sizes = stanzas.map(stanza => stanza.length);
  out(
    `  ${name.padEnd(11)} ${stanzas.length} envelopes of ${Math.min(...sizes)} to ${Math.max(...sizes)} bytes, receipts among them; for example:`,
  );
  const example = stanzas.at(-1) ?? '';
  out(`    ${example.replace(/>([A-Za-z0-9+/=]{40})[A-Za-z0-9+/=]*</g, '>$1…<')}`);
  out('    from whom (its own stream), to whom, when, how large: yes. What it says, or whether it is text at all: no.');
}
