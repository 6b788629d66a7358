// Prints what a suite found. Knows nothing of how it was measured.
import type { SuiteResult } from './results.ts';

export function table(result: SuiteResult): string {
  const names = [...new Set(result.rows.flatMap(row => Object.keys(row.medians)))];
  const header = ['case', 'server', ...names];
  const lines = result.rows.map(row => [
    row.case,
    row.subject + (row.doubts.length > 0 ? ' *' : ''),
    ...names.map(name => {
      const value = row.medians[name];
      return value === undefined ? '' : value.toLocaleString('en', { maximumSignificantDigits: 4 });
    }),
  ]);
  const widths = header.map((_, column) => Math.max(...[header, ...lines].map(line => line[column]!.length)));
  const print = (line: readonly string[]): string =>
    line.map((cell, column) => (column < 2 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!))).join('  ');
  const out = [`\n${result.suite}: ${result.question}`, print(header), ...lines.map(print)];
  const doubts = [
    ...new Set(result.rows.flatMap(row => row.doubts.map(doubt => `* ${row.case}, ${row.subject}: ${doubt}`))),
  ];
  out.push(...doubts);
  for (const check of result.checks) {
    const least = check.leastDisturbed === undefined ? '' : `, least disturbed ${check.leastDisturbed}`;
    const sign = check.want === 'at-most' ? '≤' : '≥';
    out.push(`${check.met ? 'met   ' : 'MISSED'} ${check.claim}: ${check.measured}${least} (${sign} ${check.target})`);
  }
  return `${out.join('\n')}\n`;
}
