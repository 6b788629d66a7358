// A program in a real pseudo-terminal, and a person's hands at it: for tests. Needs `script` (util-linux).
// Knows nothing of what runs in it.
import { spawn, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const patienceMs = 60_000;

export type Terminal = {
  /** Everything that the program has written, control sequences too. */
  readonly screen: () => string;
  readonly type: (keys: string) => void;
  /** Waits for something to appear after `from`; gives the place behind it. Rejects with the screen when it does not come. */
  readonly until: (pattern: RegExp, from?: number) => Promise<number>;
  readonly ended: Promise<number | null>;
  /** Takes the terminal away, as when its window is closed. Repeats do nothing. */
  readonly close: () => void;
};

/** Why there is no pseudo-terminal here; false when there is one. */
export const noTerminal: string | false =
  spawnSync('script', ['--version']).status === 0 ? false : '`script` of util-linux is not there';

const quoted = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`;

/** The `drawbridge` command in a terminal of this width. */
export function drawbridgeIn(columns: number, args: readonly string[], env: NodeJS.ProcessEnv = {}): Terminal {
  const main = fileURLToPath(new URL('../main.ts', import.meta.url));
  const command = [process.execPath, '--conditions=drawbridge-source', main, ...args].map(quoted).join(' ');
  // Node takes colours away where a build service has named itself.
  const elsewhere = [
    'NO_COLOR',
    'FORCE_COLOR',
    'NODE_DISABLE_COLORS',
    'NODE_TEST_CONTEXT',
    'CI',
    'TF_BUILD',
    'TEAMCITY_VERSION',
  ];
  const inherited = Object.fromEntries(Object.entries(process.env).filter(([name]) => !elsewhere.includes(name)));
  const child = spawn('script', ['-qefc', `stty cols ${columns} rows 40; exec ${command}`, '/dev/null'], {
    env: { ...inherited, SHELL: '/bin/sh', TERM: 'xterm-256color', ...env },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  let screen = '';
  const looks = new Set<() => void>();
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    screen += text;
    for (const look of looks) look();
  });
  child.stdin.on('error', () => {});
  const ended = new Promise<number | null>(resolve => {
    child.once('close', code => resolve(code));
  });
  const until = (pattern: RegExp, from = 0): Promise<number> =>
    new Promise((resolve, reject) => {
      const done = (settle: () => void): void => {
        looks.delete(look);
        clearTimeout(timer);
        settle();
      };
      const look = (): void => {
        const match = pattern.exec(screen.slice(from));
        if (match !== null) done(() => resolve(from + match.index + match[0].length));
      };
      const missing = (): void => done(() => reject(new Error(`${String(pattern)} did not appear:\n${screen}`)));
      const timer = setTimeout(missing, patienceMs);
      looks.add(look);
      void ended.then(missing);
      look();
    });
  return {
    screen: () => screen,
    type: keys => void child.stdin.write(keys),
    until,
    ended,
    close: () => void child.kill(),
  };
}
