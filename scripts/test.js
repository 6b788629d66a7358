// `npm test`: unit tests, then tests of whole networks (real sockets, databases, foreign clients).
// `npm run test:unit`, `npm run test:network`: one of the two. `npm test -- --help` lists the options.
// Plain JavaScript for an older Node, too: the tests run under the repository's own (run-tests.js).
import { ownNode, run } from './node.js';
import { readOptions } from './options.js';

const help = `npm test, npm run test:unit, npm run test:network: the tests of this repository

  -- --name PATTERN   only tests whose name matches this regular expression
  -- --help           these words`;

const part = process.argv[2] === 'unit' || process.argv[2] === 'network' ? process.argv.splice(2, 1)[0] : 'all';
const { name } = readOptions(help, { name: { type: 'string' } });
process.exit(await run(ownNode(), ['scripts/run-tests.js', part, ...(name === undefined ? [] : [name])]));
