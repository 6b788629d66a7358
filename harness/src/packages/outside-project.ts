// An empty project outside the repository, on a Node.js of its own, that installs our tarballs with npm and runs programs.
// Knows nothing of what is in the tarballs. What the registry holds comes from npm's cache where it is there.
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readdirSync, realpathSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { promisify } from 'node:util';

const runFile = promisify(execFile);
export const root = join(import.meta.dirname, '../../..');
const programMs = 60_000;

/** npm's own program, so that it can be run by any Node.js. */
function npmProgram(): string {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    const npm = join(folder, 'npm');
    if (existsSync(npm)) return realpathSync(npm);
  }
  throw new Error('there is no npm on the PATH');
}

/** Builds all packages and packs those that are published; gives the tarballs' paths. */
export async function packAll(folder: string): Promise<string[]> {
  await runFile(process.execPath, [join(root, 'scripts/build.js')], { cwd: root });
  const args = ['pack', '--workspace', 'packages', '--workspace', 'apps/cli', '--pack-destination', folder];
  await runFile(process.execPath, [npmProgram(), ...args, '--silent', '--ignore-scripts'], { cwd: root });
  return readdirSync(folder).map(name => join(folder, name));
}

/** Node.js 24, from the registry, into `folder`; gives the folder of its executable. */
export async function installNode(folder: string, version: string): Promise<string> {
  const name = `node-linux-${process.arch}`;
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'package.json'), '{"private":true}');
  await npmInstall(process.execPath, folder, [`${name}@${version}`]);
  return join(folder, 'node_modules', name, 'bin');
}

async function npmInstall(node: string, folder: string, what: readonly string[]): Promise<void> {
  const args = ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline', '--save-exact', ...what];
  const env = { ...process.env, PATH: `${dirname(node)}${delimiter}${process.env['PATH']}` };
  await runFile(node, [npmProgram(), ...args], { cwd: folder, env, maxBuffer: 16 * 1024 * 1024 });
}

export type Started = {
  readonly child: ChildProcess;
  /** Resolves with the line when the program writes one that fits; rejects when it ends before. */
  readonly line: (pattern: RegExp) => Promise<string>;
  readonly stop: () => Promise<void>;
};

export class OutsideProject {
  readonly folder: string;
  readonly #node: string;

  constructor(folder: string, nodeFolder: string) {
    this.folder = folder;
    this.#node = join(nodeFolder, 'node');
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'package.json'), '{"name":"outside","private":true,"type":"module"}');
  }

  async install(what: readonly string[]): Promise<void> {
    await npmInstall(this.#node, this.folder, what);
  }

  copyExamples(): void {
    const from = join(root, 'examples');
    for (const name of readdirSync(from)) copyFileSync(join(from, name), join(this.folder, name));
  }

  /** Runs a program to its end; gives what it wrote. Rejects, with that, when it fails. */
  async run(args: readonly string[], variables: Readonly<Record<string, string>> = {}): Promise<string> {
    const options = { cwd: this.folder, env: this.#environment(variables), timeout: programMs };
    const { stdout } = await runFile(this.#node, args, { ...options, maxBuffer: 16 * 1024 * 1024 });
    return stdout;
  }

  /** Starts a program that goes on until it is stopped. */
  start(args: readonly string[], variables: Readonly<Record<string, string>> = {}): Started {
    const stdio: ['ignore', 'pipe', 'pipe'] = ['ignore', 'pipe', 'pipe'];
    const child = spawn(this.#node, args, { cwd: this.folder, env: this.#environment(variables), stdio });
    let out = '';
    let ended = false;
    const watchers = new Set<() => void>();
    const told = (): void => watchers.forEach(watch => watch());
    const collect = (text: string): void => {
      out += text;
      told();
    };
    child.stdout.setEncoding('utf8').on('data', collect);
    child.stderr.setEncoding('utf8').on('data', collect);
    const closed = new Promise<void>(resolve => child.once('close', () => resolve()));
    child.once('close', () => {
      ended = true;
      told();
    });
    const line = (pattern: RegExp): Promise<string> =>
      new Promise((resolve, reject) => {
        const watch = (): void => {
          const found = out
            .split('\n')
            .slice(0, -1)
            .find(each => pattern.test(each));
          if (found === undefined && !ended) return;
          watchers.delete(watch);
          if (found !== undefined) resolve(found);
          else reject(new Error(`${args.join(' ')} ended without a line like ${pattern}:\n${out}`));
        };
        watchers.add(watch);
        watch();
      });
    return {
      child,
      line,
      async stop() {
        child.kill('SIGTERM');
        const timer = setTimeout(() => child.kill('SIGKILL'), 10_000);
        await closed;
        clearTimeout(timer);
      },
    };
  }

  /** The repository's own conditions and options must not reach the outside. */
  #environment(variables: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
    const { NODE_OPTIONS: _, NODE_TEST_CONTEXT: _context, ...rest } = process.env;
    return { ...rest, PATH: `${dirname(this.#node)}${delimiter}${rest['PATH']}`, ...variables };
  }

  /** The file that a command of an installed package starts, as npx would. */
  bin(name: string): string {
    const file = join(this.folder, 'node_modules/.bin', name);
    assert.ok(existsSync(file), `${name} is not installed`);
    return realpathSync(file);
  }
}
