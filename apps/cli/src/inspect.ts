// `drawbridge inspect`: options and help. Knows nothing of captures.
import type { Command } from 'commander';
import { CommandError, exitCodes, usageError } from './command-error.ts';
import { untilStopped } from './lifetime.ts';

type Flags = { keys: string; fromClient?: string; fromServer?: string; listen?: string; to?: string };

export function registerInspect(program: Command): void {
  program
    .command('inspect')
    .argument('[capture]', 'a classic pcap file, as `tcpdump -w` writes it')
    .summary('show the stanzas of captured compact connections')
    .description(
      'Shows the stanzas of compact connections as XML, with time and direction: out of a capture, or live as a proxy ' +
        'between clients and a gatekeeper. Needs the key log of one end, which only development modes write. What is ' +
        'end-to-end encrypted stays so.',
    )
    .requiredOption('--keys <file>', 'key log of the gatekeeper (sandbox --key-log) or of a client (keyLogFile)')
    .option('--from-client <file>', "the client's bytes alone, raw, in place of a capture")
    .option('--from-server <file>', "with --from-client: the gatekeeper's bytes")
    .option('--listen <place>', 'be a proxy on this port (or HOST:PORT) and show what passes')
    .option('--to <place>', "with --listen: the gatekeeper's compact port")
    .addHelpText(
      'after',
      `
Examples:
  $ tcpdump -i lo -w capture.pcap port 5224           then, with the key log of the same time:
  $ drawbridge inspect --keys keys.txt capture.pcap
  $ drawbridge inspect --keys keys.txt --listen 6224 --to 127.0.0.1:5224

Not read: pcapng (convert it: editcap -F pcap), IP fragments, tunnels, connections that began before the capture, and the
compact transport over WebSocket, which TLS surrounds. The login travels inside the handshake and is not shown.`,
    )
    .action(async (capture: string | undefined, flags: Flags) => {
      const { inspectPcap, inspectRaw, parsePlace, startInspectingProxy } = await import('./inspect-run.ts');
      const print = (line: string): void => void process.stdout.write(`${line}\n`);
      const { keys, fromClient, fromServer, listen, to } = flags;
      const sources = [capture, fromClient, listen].filter(source => source !== undefined);
      if (sources.length !== 1 || (fromServer !== undefined && fromClient === undefined)) {
        throw usageError(
          'one source is needed',
          'name a capture, or --from-client FILE, or --listen PORT --to HOST:PORT',
        );
      }
      if (listen !== undefined) {
        if (to === undefined) throw usageError('--listen needs --to', 'add --to HOST:PORT of the compact port');
        const places = { listen: parsePlace(listen, '127.0.0.1'), to: parsePlace(to, '127.0.0.1') };
        const proxy = await startInspectingProxy(places, keys, print);
        print(`Listening on port ${proxy.port}; Ctrl-C ends.`);
        await untilStopped();
        await proxy.close();
        return;
      }
      const stanzas =
        capture === undefined
          ? inspectRaw({ client: fromClient!, server: fromServer }, keys, print)
          : inspectPcap(capture, keys, print);
      if (stanzas === 0) {
        throw new CommandError('no stanza could be shown', 'see --help for what is read', exitCodes.failed);
      }
    });
}
