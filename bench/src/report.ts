// Makes bench/report.html from bench/results/*.json: one page without scripts and without anything from elsewhere, plain SVG
// beside the tables that say the same, light and dark. Knows nothing of how anything was measured.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { repositoryFolder } from './machine.ts';
import { resultsFolder, type Row, type WrittenResult } from './results.ts';

/** What is drawn of each suite: the figure, what it is called, whether less is better. */
const drawn: Readonly<Record<string, { readonly figure: string; readonly title: string }>> = {
  chat: { figure: 'cpuMsPerMessage', title: 'CPU time of the server per message, ms (less is better)' },
  login: { figure: 'cpuMsPerLogin', title: 'CPU time of the server per login, ms (less is better)' },
  idle: { figure: 'kibPerStream', title: 'Resident memory per idle stream, KiB (less is better)' },
  offline: { figure: 'perSecond', title: 'Messages per second (more is better)' },
  durability: { figure: 'lost', title: 'Acknowledged messages lost (0 is right)' },
  growth: { figure: 'cpuMsPerMessage', title: 'CPU time of the server per message, ms' },
  crowd: { figure: 'crowdP99Ms', title: 'Honest messages while everything attacks at once: p99, ms' },
  herd: { figure: 'back100Ms', title: 'Until the last device is back, ms (less is better)' },
  wire: { figure: 'compactFrameBytes', title: 'Bytes of a compact frame (less is better)' },
  media: { figure: 'mibPerCpuSecond', title: 'MiB for each second of CPU (more is better)' },
};
const order = ['chat', 'login', 'idle', 'offline', 'durability', 'growth', 'herd', 'crowd', 'wire', 'media'];

const style = `
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --soft: #59636e; --line: #d1d9e0; --us: #0b5cad; --peer: #6e7781; --limit: #9a6700; --good: #116329; --bad: #a40e26; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --paper: #0d1117; --soft: #9ea7b3; --line: #30363d; --us: #58a6ff; --peer: #8b949e; --limit: #d29922; --good: #56d364; --bad: #ff7b72; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 64rem; margin: 0 auto; padding: 1rem; }
h2 { border-top: 1px solid var(--line); padding-top: 1rem; margin-top: 2.5rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .85rem; margin: .5rem 0 1.5rem; }
caption { text-align: left; font-weight: 600; padding: .3rem 0; }
th, td { border: 1px solid var(--line); padding: .2rem .5rem; text-align: right; font-variant-numeric: tabular-nums; }
th:first-child, td:first-child, th:nth-child(2), td:nth-child(2) { text-align: left; }
.met { color: var(--good); } .missed { color: var(--bad); font-weight: 600; }
svg { width: 100%; height: auto; max-width: 52rem; } svg text { font: 13px system-ui, sans-serif; fill: var(--ink); } svg .soft { fill: var(--soft); }
.us { fill: var(--us); } .peer { fill: var(--peer); } .limit { fill: var(--limit); } .axis { stroke: var(--line); } .curve { fill: none; stroke: var(--us); stroke-width: 2; } .curve.second { stroke: var(--limit); }
p.soft, li.soft { color: var(--soft); }
`;

export function writeReport(): string {
  const results = readResults();
  const sections = results.map(section).join('\n');
  const contents = results.map(({ suite }) => `<li><a href="#${suite}">${suite}</a></li>`).join('');
  const page = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Drawbridge: measurements</title><style>${style}</style></head>
<body><main><h1>Drawbridge: measurements</h1>
<p>Written by <code>npm run bench</code>, which repeats all of it on any Linux machine. Compare figures within one run: ratios, then CPU time per operation; rates are the machine's. Server and load generator have a core each; the same generator serves all servers; runs are interleaved; what is shown is the median.</p>
<nav aria-label="Suites"><ul>${contents}</ul></nav>
${sections}
${counts()}
</main></body></html>
`;
  const file = join(repositoryFolder, 'bench/report.html');
  writeFileSync(file, page);
  return file;
}

function readResults(): WrittenResult[] {
  if (!existsSync(resultsFolder)) return [];
  const names = readdirSync(resultsFolder).filter(
    name => name.endsWith('.json') && name !== 'counts.json' && name !== 'capacity.json',
  );
  return (
    names
      .map(name => JSON.parse(readFileSync(join(resultsFolder, name), 'utf8')) as WrittenResult)
      // Other measurements may lie here too.
      .filter(({ suite, rows, checks }) => order.includes(suite) && Array.isArray(rows) && Array.isArray(checks))
      .sort((a, b) => order.indexOf(a.suite) - order.indexOf(b.suite))
  );
}

function section(result: WrittenResult): string {
  const { suite, question, expectation, machine, checks, notes, quick } = result;
  const checkRows = checks.map(
    ({ claim, measured, leastDisturbed, target, want, met }) =>
      `<tr><td>${escape(claim)}</td><td class="${met ? 'met' : 'missed'}">${met ? 'met' : 'missed'}</td><td>${format(measured)}</td><td>${leastDisturbed === undefined ? '' : format(leastDisturbed)}</td><td>${want === 'at-most' ? '≤' : '≥'} ${format(target)}</td></tr>`,
  );
  const checkTable =
    checks.length === 0
      ? ''
      : `<div class="scroll"><table><caption>What was promised</caption><thead><tr><th scope="col">promise</th><th scope="col">outcome</th><th scope="col">measured</th><th scope="col">least disturbed runs</th><th scope="col">target</th></tr></thead><tbody>${checkRows.join('')}</tbody></table></div>`;
  const runs = Math.max(0, ...result.rows.map(row => row.runs.length));
  return `<section aria-labelledby="${suite}"><h2 id="${suite}">${suite}: ${escape(question)}</h2>
<p><strong>Expected:</strong> ${escape(expectation)}</p>
<p class="soft">${escape(`${machine.cores} cores, ${machine.cpu}, ${machine.memoryGiB} GiB, Linux ${machine.kernel}, Node ${machine.node}, commit ${machine.commit}, ${machine.date.slice(0, 16)}Z, ${quick ? 'short runs' : `up to ${runs} runs of each`}`)}</p>
${checkTable}
${charts(result)}
${table(result)}
<ul>${notes.map(note => `<li class="soft">${escape(note)}</li>`).join('')}</ul></section>`;
}

function charts(result: WrittenResult): string {
  const what = drawn[result.suite];
  if (what === undefined) return '';
  if (result.suite === 'growth') return curves(result.rows, what.figure, what.title);
  const cases = [...new Set(result.rows.map(row => row.case))].filter(
    name => result.suite !== 'wire' || !name.startsWith('handshake'),
  );
  const bars: Bar[] = cases.flatMap(name => {
    const rows = result.rows.filter(row => row.case === name && row.medians[what.figure] !== undefined);
    return rows.map((row, index) => ({
      group: index === 0 ? name : '',
      label: row.subject,
      value: row.medians[what.figure]!,
    }));
  });
  return barChart(`${result.suite}-bars`, what.title, bars);
}

type Bar = { readonly group: string; readonly label: string; readonly value: number };

function barChart(id: string, title: string, bars: readonly Bar[]): string {
  const most = Math.max(...bars.map(bar => bar.value), Number.MIN_VALUE);
  const [left, width, line] = [330, 400, 20];
  let y = 0;
  const parts = bars.map(({ group, label, value }) => {
    if (group !== '') y += 10;
    const barWidth = Math.max(1, (value / most) * width);
    const look = label === 'drawbridge' ? 'us' : label === 'copier' ? 'limit' : 'peer';
    const heading = group === '' ? '' : `<text x="0" y="${y + 14}">${escape(group)}</text>`;
    const part =
      heading +
      `<text class="soft" x="${left - 8}" y="${y + 14}" text-anchor="end">${escape(label)}</text>` +
      `<rect class="${look}" x="${left}" y="${y + 3}" width="${barWidth.toFixed(1)}" height="14" rx="2"/>` +
      `<text x="${left + barWidth + 6}" y="${y + 14}">${format(value)}</text>`;
    y += line;
    return part;
  });
  return `<figure role="group" aria-labelledby="${id}"><figcaption id="${id}">${escape(title)}</figcaption>
<svg viewBox="0 0 ${left + width + 90} ${y + 6}" role="img" aria-label="${escape(title)}; the table below holds the same figures">${parts.join('')}</svg></figure>`;
}

/** Curves over a logarithmic axis: cases are called stem-count. */
function curves(rows: readonly Row[], figure: string, title: string): string {
  const stems = [...new Set(rows.map(row => row.case.replace(/-[0-9]+$/, '')))];
  return stems
    .map(stem => {
      const points = rows
        .filter(row => row.case.startsWith(`${stem}-`))
        .map(row => ({ x: Math.log10(Number(row.case.split('-').at(-1))), y: row.medians[figure] ?? 0 }));
      const [fromX, toX] = [Math.min(...points.map(point => point.x)), Math.max(...points.map(point => point.x))];
      const most = Math.max(...points.map(point => point.y)) * 1.15;
      const place = ({ x, y }: { x: number; y: number }): readonly [number, number] => [
        60 + ((x - fromX) / Math.max(1e-9, toX - fromX)) * 560,
        180 - (y / most) * 160,
      ];
      const path = points.map(
        (point, index) =>
          (index === 0 ? 'M' : 'L') +
          place(point)
            .map(value => value.toFixed(1))
            .join(' '),
      );
      const marks = points.map(point => {
        const [x, y] = place(point);
        return (
          `<circle class="us" cx="${x.toFixed(1)}" cy="${y.toFixed(1)}" r="4"/>` +
          `<text x="${x.toFixed(1)}" y="${(y - 9).toFixed(1)}" text-anchor="middle">${format(point.y)}</text>` +
          `<text class="soft" x="${x.toFixed(1)}" y="198" text-anchor="middle">${(10 ** point.x).toLocaleString('en')}</text>`
        );
      });
      const id = `curve-${stem}`;
      return `<figure role="group" aria-labelledby="${id}"><figcaption id="${id}">${escape(stem)}: ${escape(title)}</figcaption>
<svg viewBox="0 0 680 204" role="img" aria-label="${escape(`${stem}: ${title}; the table below holds the same figures`)}"><line class="axis" x1="60" y1="180" x2="620" y2="180"/><path class="curve" d="${path.join('')}"/>${marks.join('')}</svg></figure>`;
    })
    .join('\n');
}

function table(result: WrittenResult): string {
  const names = [...new Set(result.rows.flatMap(row => Object.keys(row.medians)))];
  const head = ['case', 'server', ...names].map(name => `<th scope="col">${escape(name)}</th>`).join('');
  const rows = result.rows.map(row => {
    const cells = names
      .map(name => `<td>${row.medians[name] === undefined ? '' : format(row.medians[name])}</td>`)
      .join('');
    const doubts = row.doubts.length === 0 ? '' : ' *';
    return `<tr><td>${escape(row.case)}</td><td>${escape(row.subject)}${doubts}</td>${cells}</tr>`;
  });
  const says = Object.entries(result.cases).map(
    ([name, text]) => `<li><code>${escape(name)}</code>: ${escape(text)}</li>`,
  );
  const doubts = [
    ...new Set(result.rows.flatMap(row => row.doubts.map(doubt => `${row.case}, ${row.subject}: ${doubt}`))),
  ];
  const doubtList =
    doubts.length === 0
      ? ''
      : `<details><summary>* Doubts about ${doubts.length} figures</summary><ul>${doubts.map(doubt => `<li>${escape(doubt)}</li>`).join('')}</ul></details>`;
  return `<details><summary>The cases</summary><ul>${says.join('')}</ul></details>
<div class="scroll" tabindex="0" role="region" aria-label="Figures of ${escape(result.suite)}"><table><caption>Medians</caption><thead><tr>${head}</tr></thead><tbody>${rows.join('')}</tbody></table></div>${doubtList}`;
}

function counts(): string {
  const file = join(resultsFolder, 'counts.json');
  if (!existsSync(file)) return '';
  const { counts: all } = JSON.parse(readFileSync(file, 'utf8')) as { counts: Readonly<Record<string, number>> };
  const rows = Object.entries(all).map(([name, value]) => `<tr><td>${escape(name)}</td><td>${format(value)}</td></tr>`);
  return `<section aria-labelledby="counts"><h2 id="counts">counts: what one message makes the gatekeeper do</h2>
<p>Counted, not timed: the same on every machine, and guarded by CI.</p>
<div class="scroll"><table><caption>Counts</caption><thead><tr><th scope="col">what</th><th scope="col">count</th></tr></thead><tbody>${rows.join('')}</tbody></table></div></section>`;
}

function format(value: number): string {
  return value.toLocaleString('en', { maximumSignificantDigits: 4 });
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
