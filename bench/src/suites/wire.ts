// Question: what does the compact transport save, in bytes and in time, against our own XML codec?
import { runJob } from '../children.ts';
import type { WireResult } from '../load/wire.ts';
import { check, type Figures, row, type SuiteResult } from '../results.ts';
import type { SuiteContext } from './suite.ts';

export async function wireSuite(context: SuiteContext): Promise<SuiteResult> {
  const { say, repeats } = context;
  const results: WireResult[] = [];
  for (let repeat = 0; repeat < repeats; repeat++) {
    results.push(await runJob({ kind: 'wire', milliseconds: context.quick ? 120 : 500 }));
    say(`${repeat + 1}/${repeats} codecs and handshakes`);
  }
  const first = results[0]!;
  const rows = [
    ...Object.keys(first.stanzas).map(name =>
      row(
        name,
        'drawbridge',
        results.map(each => each.stanzas[name]!),
        [],
      ),
    ),
    ...Object.keys(first.handshakes).map(name =>
      row(
        `handshake ${name}`,
        'drawbridge',
        results.map(each => each.handshakes[name]!),
        [],
      ),
    ),
  ];
  const text: Figures = rows[0]!.medians;
  return {
    suite: 'wire',
    question: 'What does the compact transport save, in bytes and in time, against our own XML codec?',
    expectation:
      'Bytes: no base64 (a quarter less), addresses of 18 bytes, no names: 0.65 of XML for a text. Time: half.',
    cases: Object.fromEntries(
      rows.map(({ case: name }) => [
        name,
        name.startsWith('handshake')
          ? 'handshake with the login inside, a proof of 500 bytes; verification of the proof left out'
          : 'one stanza as a gatekeeper delivers it, to and from its codec',
      ]),
    ),
    rows,
    checks: [
      ...check(
        'bytes of a text on the wire: compact frame, of XML in TLS',
        text.compactFrameBytes! / text.xmlTlsBytes!,
        'at-most',
        0.7,
      ),
      ...check(
        'encoding and decoding a text: compact, of XML',
        (text.compactEncodeMicros! + text.compactDecodeMicros!) / (text.xmlEncodeMicros! + text.xmlDecodeMicros!),
        'at-most',
        0.5,
      ),
      ...check(
        'Noise IK handshakes answered per CPU second',
        rows.find(each => each.case === 'handshake IK')?.medians.responderPerCpuSecond,
        'at-least',
        2_000,
      ),
    ],
    notes: ['Best of five stretches in one process. Sealing and opening include the codec.'],
  };
}
