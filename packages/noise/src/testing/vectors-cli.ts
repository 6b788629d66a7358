// `npm run vectors:noise -- FILE…`: runs files of published Noise vectors and prints what passed, failed and was skipped.
// Exit status 1 when anything failed, a file could not be read, or nothing ran at all.

import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import process from 'node:process';
import { keyPairFromPrivateKey, nodeSuite } from '../node-crypto.ts';
import { runVector, vectorsOf } from './vector-runner.ts';

const crypto = { suite: nodeSuite, keyPair: keyPairFromPrivateKey };
const counts = { passed: 0, failed: 0, skipped: 0 };
const skips = new Map<string, number>();
let broken = false;

/** npm moves to the package's folder; what the user typed is relative to where the user was. */
function locate(file: string): string {
  const here = resolve(file);
  return existsSync(here) ? here : resolve(process.env['INIT_CWD'] ?? '', file);
}

function read(file: string): readonly unknown[] | undefined {
  try {
    const vectors = vectorsOf(JSON.parse(readFileSync(locate(file), 'utf8')));
    if (vectors === undefined) console.error(`${file}: not in the cacophony or snow form: no list "vectors"`);
    return vectors;
  } catch (error) {
    console.error(`${file}: ${error instanceof Error ? error.message : String(error)}`);
    return undefined;
  }
}

const files = process.argv.slice(2);
if (files.length === 0)
  console.error('Usage: npm run vectors:noise -- FILE…   (JSON in the form of cacophony or snow)');
for (const file of files) {
  const vectors = read(file);
  if (vectors === undefined) {
    broken = true;
    continue;
  }
  for (const [index, vector] of vectors.entries()) {
    const outcome = runVector(vector, crypto);
    counts[outcome.kind] += 1;
    if (outcome.kind === 'failed') console.log(`FAILED ${file} #${index} ${outcome.name}: ${outcome.reason}`);
    if (outcome.kind === 'skipped') skips.set(outcome.reason, (skips.get(outcome.reason) ?? 0) + 1);
  }
}
for (const [reason, count] of skips) console.log(`skipped ${count}: ${reason}`);
console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
process.exitCode = broken || counts.failed > 0 || counts.passed === 0 ? 1 : 0;
