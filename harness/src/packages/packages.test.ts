// What is published works outside the repository: tarballs, built and packed here, are installed in empty projects on
// Node.js 24 and 26. There the command runs, an Express and a Fastify service mount the provider kit, and a program of
// the SDK enlists with a gatekeeper, sends and receives. Needs the npm registry, or npm's cache.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { freePorts } from '@drawbridge/cli/dev-config';
import type { SandboxReady } from '@drawbridge/cli/sandbox-run';
import { installNode, OutsideProject, packAll, root, type Started } from './outside-project.ts';

const oldestNode = '24.22.3';
const typed = ['@types/node@26.6.6', '@types/express@5.0.6'];
const services = ['express@5.2.1', 'fastify@5.12.8'];

const folder = mkdtempSync(join(tmpdir(), 'drawbridge-packages-'));
const tarballs = join(folder, 'tarballs');
let packed: string[];
let node24: string;

before(async () => {
  mkdirSync(tarballs);
  [packed, node24] = await Promise.all([packAll(tarballs), installNode(join(folder, 'node24'), oldestNode)]);
});
after(() => rmSync(folder, { recursive: true, force: true }));

test('a tarball holds dist, README and licence; no source, test or fuzzer', () => {
  assert.equal(packed.length, 9);
  for (const tarball of packed) {
    const names = execFileSync('tar', ['-tzf', tarball], { encoding: 'utf8' }).trim().split('\n');
    const strange = names.filter(name => !/^package\/(dist\/|bin\/|package\.json$|README\.md$|LICENSE$)/.test(name));
    assert.deepEqual(strange, [], tarball);
    assert.deepEqual(
      names.filter(name => /test|fuzz|vectors/.test(name)),
      [],
      tarball,
    );
    for (const name of ['README.md', 'LICENSE']) assert.ok(names.includes(`package/${name}`), `${tarball}: ${name}`);
    // The page's script is for a browser: one file that nobody imports.
    const isModule = (name: string): boolean => name.includes('/dist/') && !name.includes('/dist/page/made/');
    for (const name of names.filter(each => each.endsWith('.js') && isModule(each))) {
      assert.ok(names.includes(`${name}.map`), `${tarball}: ${name} has no source map`);
      assert.ok(names.includes(name.replace(/js$/, 'd.ts')), `${tarball}: ${name} has no declarations`);
    }
  }
});

for (const major of [24, 26]) {
  describe(`on Node.js ${major}`, () => {
    let project: OutsideProject;
    before(async () => {
      project = new OutsideProject(join(folder, `on-${major}`), major === 24 ? node24 : dirname(process.execPath));
      await project.install([...packed, ...services, ...typed]);
      project.copyExamples();
      for (const name of ['client', 'provider']) {
        writeFileSync(join(project.folder, `readme-${name}.ts`), readmeProgram(project, name));
      }
    });

    test('it is that version', async () => {
      assert.match(await project.run(['--version']), new RegExp(`^v${major}\\.`));
    });

    // The compiler is the same on both.
    for (const moduleResolution of major === 26 ? ['nodenext', 'bundler'] : []) {
      test(`the examples' types hold with moduleResolution ${moduleResolution}`, async () => {
        const compilerOptions = {
          ...{ strict: true, exactOptionalPropertyTypes: true, skipLibCheck: false, noEmit: true, types: ['node'] },
          allowImportingTsExtensions: true,
          ...{ target: 'es2024', lib: ['es2024', 'esnext.disposable'], moduleResolution },
          module: moduleResolution === 'bundler' ? 'esnext' : 'nodenext',
        };
        const file = join(project.folder, 'tsconfig.json');
        writeFileSync(file, JSON.stringify({ compilerOptions, include: ['*.ts'] }));
        writeFileSync(join(project.folder, 'wrong.ts'), wrongUse);
        await project.run([join(root, 'node_modules/typescript/bin/tsc'), '-p', file]);
      });
    }

    test('what is not named can not be imported', async () => {
      for (const path of [
        '@drawbridge/wire/testing/xml-fuzz',
        '@drawbridge/wire/xml-chars',
        '@drawbridge/client/errors',
      ]) {
        const program = `await import('${path}').then(() => 'there', error => error.code).then(console.log)`;
        assert.equal(
          await project.run(['--input-type=module', '-e', program]),
          'ERR_PACKAGE_PATH_NOT_EXPORTED\n',
          path,
        );
      }
    });

    test('the command runs: help, and a whole conversation', async () => {
      assert.match(await project.run([project.bin('drawbridge'), '--help']), /^Usage: drawbridge/);
      assert.match(await project.run([project.bin('drawbridge'), 'demo', '--script']), /^All is well/m);
    });

    test('raw XMPP logs in to the sandbox', async () => {
      const args = ['sandbox', '--json', '--base-port', '0', '--accounts', '1'];
      const sandbox = project.start([project.bin('drawbridge'), ...args]);
      try {
        const ready = JSON.parse(await sandbox.line(/^\{/)) as SandboxReady;
        const out = await project.run(['xmpp-login.ts'], {
          ...{ XMPPS_PORT: String(ready.ports.xmpps), CA: ready.ca },
          SANDBOX: `http://127.0.0.1:${ready.ports.sandbox}`,
        });
        assert.match(out, /^logged in as \S+@localhost\/\S+$/m);
      } finally {
        await sandbox.stop();
      }
    });

    test("the programs of the packages' own READMEs do what they say", async () => {
      await tryReadmes(project);
    });

    test('an app brings its own storage and sockets', async () => {
      await tryPorts(project);
    });

    test("a newcomer's Express service is registered in the sandbox, and its first message arrives", async () => {
      await tryOwnProvider(project);
    });

    test('people of an Express and a Fastify service meet, and a sleeping app is woken', async () => {
      await meet(project);
    });
  });
}

/** The first program of the README that was installed with a package. */
function readmeProgram(project: OutsideProject, name: string): string {
  const readme = readFileSync(join(project.folder, 'node_modules/@drawbridge', name, 'README.md'), 'utf8');
  const [, program] = /```ts\n([^]*?)```/.exec(readme) ?? [];
  assert(program !== undefined, `the README of ${name} has no program`);
  return program;
}

async function tryReadmes(project: OutsideProject): Promise<void> {
  assert.match(await project.run(['readme-provider.ts']), /issuer: 'https:\/\/skylark\.example\/interop'/);
  // In the folder that it is said to make, on ports that are free.
  const args = ['sandbox', '--json', '--base-port', '0', '--accounts', '1'];
  const sandbox = project.start([project.bin('drawbridge'), ...args]);
  try {
    const { ports } = JSON.parse(await sandbox.line(/^\{/)) as SandboxReady;
    const program = readmeProgram(project, 'client')
      .replaceAll(':5226', `:${ports.http}`)
      .replaceAll(':5227', `:${ports.sandbox}`);
    writeFileSync(join(project.folder, 'readme-client-here.ts'), program);
    const out = await project.run(['readme-client-here.ts']);
    assert.equal(out, 'dora of skylark.localhost: hello\nletter: Dear Emil\n');
  } finally {
    await sandbox.stop();
    for (const name of ['people', 'drawbridge-sandbox']) {
      rmSync(join(project.folder, name), { recursive: true, force: true });
    }
  }
}

/** An app's storage passes the cases that ship with the SDK, and a client lives in it, over sockets that the app opens. */
async function tryPorts(project: OutsideProject): Promise<void> {
  writeFileSync(join(project.folder, 'try-storage.ts'), tryStorage);
  assert.match(await project.run(['--test', '--test-reporter=tap', 'try-storage.ts']), /^# pass 7\n# fail 0/m);
  const args = ['sandbox', '--json', '--base-port', '0', '--accounts', '1'];
  const sandbox = project.start([project.bin('drawbridge'), ...args]);
  try {
    const { ports, ca } = JSON.parse(await sandbox.line(/^\{/)) as SandboxReady;
    const out = await project.run(['sdk-ports.ts'], {
      ...{ GATEKEEPER: `https://localhost:${ports.http}`, CA: ca },
      CAROL_AT: `https://localhost:${ports.sandbox}/skylark`,
      DAVE_AT: `https://localhost:${ports.sandbox}/users`,
    });
    assert.equal(out, 'carol: hello from a journal\nkept: hello from a journal\nthrough sockets of the app\n');
    const folder = join(project.folder, 'people');
    for (const name of ['carol', 'dave']) assert.ok(!existsSync(join(folder, name, 'drawbridge.db')), 'no SQLite file');
  } finally {
    await sandbox.stop();
    for (const name of ['people', 'drawbridge-sandbox']) {
      rmSync(join(project.folder, name), { recursive: true, force: true });
    }
  }
}

const tryStorage = `import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { test } from 'node:test';
import { storageContract } from '@drawbridge/client/storage-contract';
import { JournalStorage } from './sdk-storage.ts';

const folder = mkdtempSync(\`\${tmpdir()}/drawbridge-journal-\`);
for (const { name, run } of storageContract) {
  const place = mkdtempSync(\`\${folder}/\`);
  void test(name, () => run(each => new JournalStorage(\`\${place}/\${each}\`)));
}
`;

/** As the page for providers says it: the sandbox, the Express example beside it, the SDK's greeting. */
async function tryOwnProvider(project: OutsideProject): Promise<void> {
  const [port] = await freePorts(1);
  const issuer = `https://localhost:${port}/interop`;
  const data = ['--data', 'own-sandbox', '--base-port', '0', '--accounts', '1'];
  const sandbox = project.start([project.bin('drawbridge'), 'sandbox', '--json', ...data, '--provider', issuer]);
  let service: Started | undefined;
  try {
    const { ports, ca } = JSON.parse(await sandbox.line(/^\{/)) as SandboxReady;
    const variables = { PORT: String(port), GATEKEEPER: `https://localhost:${ports.http}`, CA: ca };
    service = project.start(['provider-express.ts'], { ...variables, TLS: 'own-sandbox/pki' });
    await service.line(/^listening/);
    const greet = (): Promise<string> =>
      project.run(['sdk-hello.ts'], {
        ...{ ...variables, ANNA_AT: issuer, LET_IN: 'provider.localhost' },
        BOB_AT: `https://localhost:${ports.sandbox}/users`,
      });
    // It began after the sandbox, which looks again for its keys within 30 s and says so until then.
    let said: string | Error = new Error('not tried');
    for (let tries = 0; said instanceof Error && tries < 30; tries++) {
      said = await greet().catch((error: Error) => error);
      if (!(said instanceof Error)) break;
      assert.match(said.message, /proof-not-judged/);
      await new Promise(resolve => setTimeout(resolve, 1_000));
    }
    assert.equal(said, 'anna of provider.localhost: hello\n');
  } finally {
    await Promise.all([service?.stop(), sandbox.stop()]);
    for (const name of ['people', 'express-data', 'own-sandbox']) {
      rmSync(join(project.folder, name), { recursive: true, force: true });
    }
  }
}

/** Types reach the outside: a wrong argument is refused there. */
const wrongUse = `import { type Client, type Message, openClient } from '@drawbridge/client';
// @ts-expect-error a folder is a path
void openClient({ folder: 1, gatekeeper: 'https://localhost' });
async function swapped(client: Client, message: Message): Promise<void> {
  await client.chats.react(message, '+');
  // @ts-expect-error a text that nobody has parsed
  await client.chats.edit('0f', { text: 'x' });
  // @ts-expect-error an author is not a message
  await client.chats.react({ author: message.id, id: message.author }, '+');
}
void swapped;
`;

/** A gatekeeper that was set up with the command, two providers and a receiver of wake-ups, all programs of their own. */
async function meet(project: OutsideProject): Promise<void> {
  const names = ['xmpp', 'xmpps', 'websocket', 'compact', 'http', 'admin'] as const;
  const [atExpress, atFastify, atReceiver, ...ports] = await freePorts(names.length + 3);
  await project.run([project.bin('drawbridge'), 'gatekeeper', 'init', 'citadel', '--development']);
  const file = join(project.folder, 'citadel/gatekeeper.json');
  const config = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
  const at = (port: number | undefined): object => ({ host: '127.0.0.1', port });
  const listeners = Object.fromEntries(names.map((name, index) => [name, at(ports[index])]));
  const issuer = `https://localhost:${ports[4]}`;
  const skylark = `https://localhost:${atExpress}/interop`;
  const swift = `https://localhost:${atFastify}/interop`;
  const providers = [
    { number: 1, name: 'skylark.example', issuer: skylark },
    { number: 2, name: 'swift.example', issuer: swift, wakeUpUrl: `https://localhost:${atReceiver}/wake-ups` },
  ];
  const policy = { admittedPairs: [[1, 2]], requests: 'none' };
  writeFileSync(file, JSON.stringify({ ...config, issuer, listeners, providers, policy }));

  const common = { GATEKEEPER: issuer, TLS: 'citadel/pki', CA: 'citadel/pki/ca.pem' };
  const started: Started[] = [];
  const start = async (
    args: readonly string[],
    line: RegExp,
    variables: Record<string, string> = {},
  ): Promise<Started> => {
    const program = project.start(args, { ...common, ...variables });
    started.push(program);
    await program.line(line);
    return program;
  };
  try {
    const [, , receiver] = await Promise.all([
      start(['provider-express.ts'], /^listening/, { PORT: String(atExpress) }),
      start(['provider-fastify.ts'], /^listening/, { PORT: String(atFastify) }),
      start(['wake-up-receiver.ts'], /^listening/, { PORT: String(atReceiver), ISSUER: swift }),
      start([project.bin('drawbridge'), 'gatekeeper', '--config', file], /listening/),
    ]);
    const variables = {
      ...common,
      ANNA_AT: skylark,
      LET_IN: '',
      BOB_AT: swift,
      BOB_OF: 'swift.example',
    };
    assert.equal(await project.run(['sdk-hello.ts'], variables), 'anna of skylark.example: hello\n');
    writeFileSync(join(project.folder, 'dot.png'), Buffer.from(dot, 'base64'));
    await start(['--input-type=module', '-e', toSleepingBob], /^said attachment$/, variables);
    assert.equal(await receiver.line(/^wake/), 'wake bob');
  } finally {
    await Promise.all(started.map(program => program.stop()));
  }
}

/** A picture of one pixel. */
const dot = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';

/** Bob is not connected now: the message waits in his mailbox and his provider is asked to wake him. Runs until it is stopped. */
const toSleepingBob = `
import { openClient } from '@drawbridge/client';
const { GATEKEEPER, CA, ANNA_AT, BOB_OF } = process.env;
const provider = { url: ANNA_AT, identifier: 'anna', password: 'correct horse' };
const anna = await openClient({ folder: 'people/anna', passphrase: 'a long one', gatekeeper: GATEKEEPER, provider, ca: CA });
await anna.connect();
const bob = { provider: BOB_OF, identifier: 'bob' };
await anna.send(bob, { text: 'are you there?' });
// Rewritten in the process for media, whose file must be found too.
const { kind } = await anna.files.send(bob, { path: 'dot.png', kind: 'image' });
console.log('said', kind);
`;
