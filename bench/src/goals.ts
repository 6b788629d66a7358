// The part of docs/measured.md that holds figures: every goal with what was found, and what bounds those that are hard to reach,
// written from bench/results, so that no figure there is without its file. Knows nothing of how anything was measured.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { repositoryFolder } from './machine.ts';
import { type Check, resultsFolder, type WrittenResult } from './results.ts';

const document = join(repositoryFolder, 'docs/measured.md');
const begin = '<!-- goals: made by `npm run bench -- --report` -->';
const end = '<!-- end of goals -->';
const suites = ['chat', 'login', 'herd', 'idle'] as const;

type Cost = { readonly name: string; readonly value: number | undefined };

const subjects = ['drawbridge', 'ejabberd', 'ejabberd-minimal', 'prosody', 'prosody-minimal', 'copier'] as const;
/** What each case is called, and by how much its figure is multiplied. */
const told: readonly (readonly [suite: string, name: string, words: string, factor: number])[] = [
  ['chat', 'routed-xml', 'routed message, XML without TLS, 8 under way per pair, µs', 1_000],
  ['chat', 'routed-tls', '… over TLS', 1_000],
  ['chat', 'routed-compact', '… compact over Noise', 1_000],
  ['chat', 'routed-xml-1', 'the same with 1 under way: XML without TLS, µs', 1_000],
  ['chat', 'routed-tls-1', '… over TLS', 1_000],
  ['chat', 'routed-compact-1', '… compact over Noise', 1_000],
  ['chat', 'receipts-tls', 'message and receipt, XML over TLS, stream management, µs', 1_000],
  ['chat', 'receipts-compact', '… compact over Noise', 1_000],
  ['login', 'login-tls', 'login on TLS with a full handshake, ms', 1],
  ['login', 'login-tls-resumed', '… of clients that show a session ticket', 1],
  ['login', 'login-plain', '… without TLS', 1],
  ['login', 'compact-xx', 'login on compact, the first, ms', 1],
  ['login', 'compact-ik', '… every further one', 1],
  ['login', 'compact-resume', '… resuming a session', 1],
];

/** Writes the figures of the files that are there into the document. */
export function writeGoals(): void {
  const text = readFileSync(document, 'utf8');
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`${document} has no place for goals`);
  const results = suites.flatMap(suite => readSuite(suite) ?? []);
  const parts = [costs(results), goals(results), bounds(results)];
  writeFileSync(document, `${text.slice(0, from)}${begin}\n\n${parts.join('\n\n')}\n\n${text.slice(to)}`);
}

function readSuite(suite: string): WrittenResult | undefined {
  const file = join(resultsFolder, `${suite}.json`);
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as WrittenResult) : undefined;
}

function costs(results: readonly WrittenResult[]): string {
  const rows = told.map(([suite, name, words, factor]) => {
    const found = results.find(each => each.suite === suite)?.rows.filter(each => each.case === name) ?? [];
    const cells = subjects.map(subject => {
      const medians = found.find(each => each.subject === subject)?.medians;
      const value = times(medians?.cpuMsPerMessage ?? medians?.cpuMsPerLogin, factor);
      return value === undefined ? '' : String(Number(value.toPrecision(3)));
    });
    return `| ${words} | ${cells.join(' | ')} |`;
  });
  const head = [
    'CPU of the server for each',
    'Drawbridge',
    'ejabberd',
    'its fewest modules',
    'Prosody',
    'its fewest modules',
    'copier',
  ];
  return [`| ${head.join(' | ')} |`, `| ${head.map(() => '---').join(' | ')} |`, ...rows].join('\n');
}

function goals(results: readonly WrittenResult[]): string {
  const rows = results.flatMap(({ suite, checks, rows: measured, machine }) => {
    const runs = Math.max(...measured.map(each => each.runs.length));
    const where = `\`${suite}.json\`, ${machine.commit.slice(0, 8)}, ${machine.date.slice(0, 10)}, kernel ${machine.kernel}, ${runs} ${runs === 1 ? 'run' : 'runs'}`;
    const [first, ...others] = checks.map(goal);
    return first === undefined ? [] : [`${first} ${where} |`, ...others.map(each => `${each} the same |`)];
  });
  return [
    '| what | goal | medians | least disturbed | | measured |',
    '| --- | --- | --- | --- | --- | --- |',
    ...rows,
  ].join('\n');
}

function goal({ claim, want, target, measured, leastDisturbed, met }: Check): string {
  const least = leastDisturbed === undefined ? '' : String(leastDisturbed);
  return `| ${claim} | ${want === 'at-most' ? '≤' : '≥'} ${target} | ${measured} | ${least} | ${met ? 'met' : '**missed**'} |`;
}

/** The least that a program in this runtime takes which does only a part of the work, beside the whole and what a goal leaves. */
function bounds(results: readonly WrittenResult[]): string {
  const cost = (suite: string, name: string, subject = 'drawbridge'): number | undefined => {
    const found = results
      .find(each => each.suite === suite)
      ?.rows.find(each => each.case === name && each.subject === subject);
    return found?.medians.cpuMsPerMessage ?? found?.medians.cpuMsPerLogin;
  };
  const chat = (name: string, subject?: string): number | undefined => times(cost('chat', name, subject), 1_000);
  const login = (name: string, subject?: string): number | undefined => cost('login', name, subject);
  const tls = minus(login('connection-tls'), login('connection-plain'));
  const ticket = minus(login('connection-tls-resumed'), login('connection-plain'));
  const lines: readonly (readonly [string, number | undefined, readonly Cost[]])[] = [
    ...(['', '-1'] as const).map(
      window =>
        [
          `compact, ${window === '' ? 8 : 1} under way, µs`,
          times(chat(`routed-tls${window}`), window === '' ? 0.4 : 0.6),
          [
            { name: 'all', value: chat(`routed-compact${window}`) },
            { name: 'copier that opens and seals', value: chat(`routed-xml${window}`, 'copier-sealed') },
            { name: 'copier without ciphers', value: chat(`routed-xml${window}`, 'copier') },
            { name: 'XML on TLS', value: chat(`routed-tls${window}`) },
          ],
        ] as const,
    ),
    [
      'routed XML, µs',
      times(chat('routed-xml', 'ejabberd-minimal'), 0.19),
      [
        { name: 'all', value: chat('routed-xml') },
        { name: 'copier', value: chat('routed-xml', 'copier') },
      ],
    ],
    [
      'login on TLS, ms',
      times(login('login-tls', 'ejabberd'), 1 / 2.5),
      [
        { name: 'all', value: login('login-tls') },
        { name: 'TLS of a connection on which nobody logs in', value: tls },
        { name: 'login without TLS', value: login('login-plain') },
        {
          name: 'left: what is said goes through TLS',
          value: minus(minus(login('login-tls'), tls), login('login-plain')),
        },
        { name: 'copier on TLS', value: login('login-tls', 'copier') },
      ],
    ],
    [
      'login with a ticket, ms',
      times(login('login-tls-resumed', 'ejabberd'), 1 / 4),
      [
        { name: 'all', value: login('login-tls-resumed') },
        { name: 'TLS of a connection on which nobody logs in', value: ticket },
        { name: 'login without TLS', value: login('login-plain') },
        { name: 'copier on TLS', value: login('login-tls-resumed', 'copier') },
      ],
    ],
  ];
  const rows = lines.map(([what, left, costs]) => {
    const known = costs.map(({ name, value }) => `${name} ${value === undefined ? 'not in the file' : shown(value)}`);
    return `| ${what} | ${left === undefined ? '' : shown(left)} | ${known.join('; ')} |`;
  });
  return ['| CPU for each | the goal leaves | found |', '| --- | --- | --- |', ...rows].join('\n');
}

function shown(value: number): string {
  return value.toFixed(2);
}

function times(value: number | undefined, factor: number): number | undefined {
  return value === undefined ? undefined : value * factor;
}

function minus(value: number | undefined, less: number | undefined): number | undefined {
  return value === undefined || less === undefined ? undefined : value - less;
}
