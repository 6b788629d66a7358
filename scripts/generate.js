// Makes the committed TypeScript from schema/*.proto. `--check` changes nothing and fails when the result would differ.
// Needs no network: buf and protoc-gen-es are installed with the project.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, mkdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const top = fileURLToPath(new URL('..', import.meta.url));
const outputs = [{ schemas: ['content.proto', 'device.proto'], folder: 'packages/e2ee/src/gen' }];
const check = process.argv.includes('--check');

function run(command, args) {
  const bin = join(top, 'node_modules', '.bin');
  const path = `${bin}${delimiter}${process.env.PATH ?? ''}`;
  const done = spawnSync(join(bin, command), args, {
    cwd: join(top, 'schema'),
    env: { ...process.env, PATH: path },
    encoding: 'utf8',
  });
  if (done.status !== 0) {
    console.error(
      `${command} ${args[0]} failed:\n${done.stdout ?? ''}${done.stderr ?? ''}${done.error?.message ?? ''}`,
    );
    process.exit(1);
  }
}

run('buf', ['lint']);
const temporary = mkdtempSync(join(tmpdir(), 'drawbridge-generate-'));
let differences = 0;
try {
  for (const { schemas, folder } of outputs) {
    const out = join(temporary, folder);
    const template = {
      version: 'v2',
      plugins: [{ local: 'protoc-gen-es', out, opt: ['target=ts', 'import_extension=ts', 'erasable_syntax=true'] }],
    };
    run('buf', ['generate', '--template', JSON.stringify(template), ...schemas.flatMap(name => ['--path', name])]);
    const committed = join(top, folder);
    mkdirSync(committed, { recursive: true });
    const made = new Set(readdirSync(out));
    for (const name of new Set([...made, ...readdirSync(committed)])) {
      const now = made.has(name) ? readFileSync(join(out, name), 'utf8') : undefined;
      const before = readdirSync(committed).includes(name) ? readFileSync(join(committed, name), 'utf8') : undefined;
      if (now === before) continue;
      differences++;
      const outcome = now === undefined ? 'removed' : 'written';
      console.log(`${check ? 'differs' : outcome}: ${folder}/${name}`);
      if (check) continue;
      if (now === undefined) rmSync(join(committed, name));
      else writeFileSync(join(committed, name), now);
    }
  }
} finally {
  rmSync(temporary, { recursive: true, force: true });
}
if (check && differences > 0) {
  console.error('Generated code is not what the schemas say: run `npm run generate` and commit the result.');
  process.exit(1);
}
if (differences === 0) console.log('Generated code is up to date.');
