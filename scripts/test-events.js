// A reporter of node:test that says in lines of JSON what became of each test of a file. Knows nothing of how that is shown;
// test-files.js does.
import { inspect } from 'node:util';

export default async function* events(source) {
  for await (const { type, data } of source) {
    if ((type !== 'test:pass' && type !== 'test:fail') || data.details.type === 'suite') continue;
    const { name, line, skip, details } = data;
    const told = { name, line, ms: details.duration_ms };
    if (type === 'test:fail')
      Object.assign(told, { state: 'failed', why: inspect(details.error?.cause ?? details.error) });
    else if (skip === undefined) told.state = 'passed';
    else Object.assign(told, { state: 'skipped', why: skip });
    yield `${JSON.stringify(told)}\n`;
  }
}
