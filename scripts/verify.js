// `npm run verify`: what to run before a commit. Format, types, lint, generated files, repository rules, unit tests.
import { ownNode, run } from './node.js';

const steps = [
  ['format', 'biome', ['format', '.']],
  ['types', 'tsc', ['-p', 'tsconfig.json']],
  ['lint', 'oxlint', ['--type-aware', '--quiet']],
  ['generated files', ownNode(), ['scripts/generate.js', '--check']],
  ['repository rules', ownNode(), ['scripts/check-repository.js']],
  ['links', ownNode(), ['scripts/check-links.js']],
  ['unit tests', ownNode(), ['scripts/test.js', 'unit']],
];

if (process.argv.includes('--no-tests')) steps.pop();
for (const [name, command, args] of steps) {
  const started = Date.now();
  const status = await run(command, args);
  console.log(`${status === 0 ? 'ok  ' : 'FAIL'} ${name} (${((Date.now() - started) / 1000).toFixed(1)} s)`);
  if (status !== 0) process.exit(status);
}
