// A reporter for node --test that keeps quiet while tests run and writes what happened to the file DRAWBRIDGE_TEST_SUMMARY:
// counts, and each failed test with its file. Knows nothing of how that is shown; scripts/test.js does.
import { appendFileSync } from 'node:fs';

export default async function* summary(events) {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  const failures = [];
  for await (const { type, data } of events) {
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    if (data.details.type === 'suite') continue;
    if (type === 'test:fail') {
      counts.failed++;
      failures.push({ name: data.name, file: data.file, line: data.line });
    } else if (data.skip === undefined) counts.passed++;
    else counts.skipped++;
    yield '';
  }
  appendFileSync(process.env.DRAWBRIDGE_TEST_SUMMARY, JSON.stringify({ counts, failures }));
}
