// A gatekeeper's node as a process of its own: the configuration as JSON in a file. Says `ready` on its standard output.
import { readFileSync } from 'node:fs';
import type { Config } from '@drawbridge/gatekeeper/config';
import { startGatekeeper } from '@drawbridge/gatekeeper/main';

const config = JSON.parse(readFileSync(process.argv[2]!, 'utf8')) as Config;
const gatekeeper = await startGatekeeper({
  config,
  log: (level, event, data) => {
    if (level !== 'info') process.stderr.write(`${level} ${event} ${JSON.stringify(data)}\n`);
  },
});
process.stdout.write('ready\n');
process.once('SIGTERM', () => {
  gatekeeper
    .drain()
    .then(() => gatekeeper.close())
    .then(
      () => process.exit(0),
      () => process.exit(1),
    );
});
