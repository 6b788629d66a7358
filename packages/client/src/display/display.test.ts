// Names, lines and file names that others made up: what is shown moves, hides and leads nowhere; names of real people stay.
import assert from 'node:assert/strict';
import { join, normalize, sep } from 'node:path';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { maxFileNameBytes, safeFileName } from './file-name.ts';
import { looksLike, nameWarnings } from './name-warnings.ts';
import { excerptOf, shownLine, shownName, shownText, shownTextLimits } from './shown-text.ts';

const anyText = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 60 }),
  fc
    .array(
      fc.constantFrom(
        'a',
        ' ',
        '\n',
        '\0',
        '\u202e',
        '\u2066',
        '\u200b',
        '\u200d',
        '\ufe0f',
        '\u{e0041}',
        '\u{e007f}',
        '\u{1f3f4}',
        '👩',
        '\ufffe',
        '\u{10ffff}',
        '/',
        '..',
        '\u0301',
        '\ud800',
        'न',
        '\u2028',
      ),
      { maxLength: 30 },
    )
    .map(parts => parts.join('')),
);

test('no line that is shown holds controls, bidirectional controls, separators or noncharacters, whatever came', () => {
  fc.assert(
    fc.property(anyText, text => {
      const line = shownLine(text);
      assert.doesNotMatch(
        line,
        /[\p{Cc}\p{Bidi_Control}\p{Noncharacter_Code_Point}\p{Cs}\u2028\u2029\u200b\ufeff\u00ad]/u,
      );
      assert.doesNotMatch(line, /\p{M}{9}/u);
      assert.equal(shownLine(line), line, 'shown twice is shown once');
      assert.doesNotMatch(shownText(text).replaceAll(/[\n\t]/g, ''), /[\p{Cc}\p{Bidi_Control}]/u);
    }),
    { numRuns: 2_000 },
  );
});

test('what people write stays as it is', () => {
  for (const name of [
    'Anna',
    'Zoë Müller-Lüdenscheidt',
    'Дарья Ковалёва',
    '田中さくら',
    'محمد',
    'می\u200cخواهم',
    'क्\u200dष',
    '👩🏽\u200d🚀 Mia',
    '🏴󠁧󠁢󠁳󠁣󠁴󠁿',
    '❤️\u200d🔥',
    '1️⃣',
    'Nguyễn Thị Ánh',
  ]) {
    assert.equal(shownName(name), name);
  }
  assert.equal(shownName('  a\u200bn\u00adna \u202e x\n'), 'anna x');
  assert.equal(shownName(`a${'\u0301'.repeat(200)}`), `a${'\u0301'.repeat(shownTextLimits.maxMarks)}`);
  assert.equal(shownName('x\u{e0041}\u{e0042}y'), 'xy', 'tags without a flag');
  assert.equal(shownName('Bob 1\ufe0f'), 'Bob 1', 'a selector that changes nothing');
  assert.equal(shownName('1\ufe0f\u20e3 \u2764\ufe0f'), '1\ufe0f\u20e3 \u2764\ufe0f', 'a keycap and a heart');
  const joined = `\u0915${`${'\u0901'.repeat(8)}\u200d`.repeat(50)}\u0915`;
  assert.equal(
    shownName(joined).match(/\p{M}/gu)?.length,
    shownTextLimits.maxMarks,
    'joiners do not begin a new count',
  );
});

test('odd names are told', () => {
  for (const [name, warnings] of [
    ['anna', []],
    ['Zoë', []],
    ['O\u02bcNeil', []],
    ['Дарья Ковалёва', []],
    ['Вера Петрова', []],
    ['田中さくらXYZ', []],
    ['김Kim', []],
    ['Ann Дарья', []],
    ['раура\u0131', ['mixed-scripts']],
    ['аnna', ['mixed-scripts']],
    ['αnna', ['mixed-scripts']],
    ['аре', ['looks-latin']],
    ['ΑΝΝΑ', ['looks-latin']],
    ['𝐚𝐧𝐧𝐚', ['styled-letters']],
    ['ａnna', ['styled-letters']],
    ['an\u200bna', ['hidden-characters']],
    ['anna\u202e', ['hidden-characters']],
  ] as const) {
    assert.deepEqual(nameWarnings(name), warnings, name);
  }
  for (const [name, other] of [
    ['anna', 'аnnа'],
    ['paypal', 'раураӏ'],
    ['bill', 'biII'],
    ['modern', 'modem'],
    ['b0b', 'bob'],
    ['zoë', 'zoe'],
    ['ann\u200ba', 'anna'],
  ] as const) {
    assert(looksLike(name, other), `${name} ${other}`);
  }
  assert(!looksLike('anna', 'hanna'));
});

test('a name that can not be seen is none', () => {
  for (const name of ['\u2800\u2800', '\u3164', '\u115f\u1160', '\u{1d159}', '\u2800 \u200b\u{e0041}'])
    assert.equal(shownName(name), '');
  assert.equal(shownName('\u2800anna\u2800\u2800b'), 'anna b');
});

test('no file name leads out of a folder, hides its ending or names a device', () => {
  for (const [name, safe] of [
    ['photo.jpg', 'photo.jpg'],
    ['Ferien in Zürich 2026.jpg', 'Ferien in Zürich 2026.jpg'],
    ['写真.png', '写真.png'],
    ['../../etc/passwd', 'passwd'],
    [String.raw`..\..\autoexec.bat`, 'autoexec.bat'],
    ['..', 'file'],
    ['/', 'file'],
    ['', 'file'],
    ['\0', 'file'],
    ['a\0.png', 'a.png'],
    ['.bashrc', 'bashrc'],
    ['photo\u202egpj.exe', 'photo gpj.exe'],
    ['invoice.pdf\u200b.exe', 'invoice.pdf.exe'],
    ['CON', '_CON'],
    ['con.txt', '_con.txt'],
    ['Lpt1.tar.gz', '_Lpt1.tar.gz'],
    ['console.txt', 'console.txt'],
    ['a:b?.txt', 'a_b_.txt'],
    ['note.txt. . ', 'note.txt'],
    ['two\nlines.txt', 'two lines.txt'],
  ] as const) {
    assert.equal(safeFileName(name), safe, JSON.stringify(name));
  }
  assert.match(safeFileName(`${'ü'.repeat(400)}.jpeg`), /^ü+\.jpeg$/);
  for (const end of '. ') assert.equal(safeFileName(`${'a'.repeat(239)}${end}${'b'.repeat(40)}`), 'a'.repeat(239));
  fc.assert(
    fc.property(anyText, text => {
      const name = safeFileName(text);
      assert(name.length > 0 && Buffer.byteLength(name) <= maxFileNameBytes);
      assert(!name.includes('/') && !name.includes('\\') && !name.startsWith('.') && !name.endsWith('.'));
      assert.equal(normalize(join('folder', name)), `folder${sep}${name}`);
      assert.equal(safeFileName(name), name);
    }),
    { numRuns: 2_000 },
  );
});

test('an excerpt is whole characters and within its limits', () => {
  assert.equal(excerptOf('👩🏽\u200d🚀'.repeat(100)), '👩🏽\u200d🚀'.repeat(34));
  assert.equal(excerptOf('a'.repeat(200)), 'a'.repeat(shownTextLimits.maxExcerptCharacters));
  assert.equal(excerptOf(`a${'\u0301'.repeat(1_000)}`), '');
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 400 }), text => {
      assert(Buffer.byteLength(excerptOf(text)) <= shownTextLimits.maxExcerptBytes && excerptOf(text).isWellFormed());
    }),
  );
});
