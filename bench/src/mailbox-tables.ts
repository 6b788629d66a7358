// `node --conditions=drawbridge-source bench/src/mailbox-tables.ts [--write]`: the shape of the mailbox table.
// Question: which table keeps waiting messages with the least CPU and disk: rows in the index tree (WITHOUT ROWID, as in
// 0.1.0), rows in a tree of their own by (device, number) or by time, the body beside the rest; pages of 4, 8 or 16 KiB?
// Expectation: in an index tree a row over a quarter of a page spills to a page of its own, so 1,300 bytes take 4,700;
// any tree by integer keeps a row inside its page up to the page's size. Larger pages waste less and copy more into the
// log for each small change: with many mailboxes written at once 16 KiB loses.
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { parseArgs } from 'node:util';
import { describeMachine } from './machine.ts';
import { median, resultsFolder, round } from './results.ts';

const perRun = 9_600;
const perCommit = 48;
const pageEntries = 256;
const expiresAtMs = 1_790_000_000_000;
const sender = `1-${'k5'.repeat(13)}`;

type Shape = {
  readonly tables: string;
  /** device, seq, expiry, sender, digest, stanza. */
  readonly insert: string;
  /** device, seq, stanza: where the body lies elsewhere. */
  readonly insertBody?: string;
  /** device, first, last. */
  readonly page: string;
  readonly remove: readonly string[];
};

const columns = 'accepted_at INTEGER, expires_at INTEGER NOT NULL, silent INTEGER NOT NULL, sender TEXT, digest BLOB';
const byKey = '(?1 << 32) | ?2';
const range = 'key BETWEEN (?1 << 32) | ?2 AND (?1 << 32) | ?3';

const shapes: Readonly<Record<string, Shape>> = {
  /** As in 0.1.0, with the columns of today. */
  'index tree': {
    tables: `CREATE TABLE mailbox (device INTEGER NOT NULL, seq INTEGER NOT NULL, ${columns}, stanza BLOB NOT NULL,
        PRIMARY KEY (device, seq)) WITHOUT ROWID, STRICT;
      CREATE UNIQUE INDEX mailbox_digest ON mailbox (device, digest);
      CREATE INDEX mailbox_expiry ON mailbox (expires_at);`,
    insert: 'INSERT INTO mailbox VALUES (?1, ?2, ?3, ?3, 0, ?4, ?5, ?6)',
    page: 'SELECT seq, expires_at, stanza FROM mailbox WHERE device = ?1 AND seq BETWEEN ?2 AND ?3 ORDER BY seq',
    remove: ['DELETE FROM mailbox WHERE device = ?1 AND seq BETWEEN ?2 AND ?3 RETURNING sender, length(stanza)'],
  },
  /** One tree, in the order of device and number, keyed by one integer of both. */
  'tree by device and number': {
    tables: `CREATE TABLE mailbox (key INTEGER PRIMARY KEY, device INTEGER NOT NULL, ${columns}, stanza BLOB NOT NULL) STRICT;
      CREATE UNIQUE INDEX mailbox_digest ON mailbox (device, digest);
      CREATE INDEX mailbox_expiry ON mailbox (expires_at);`,
    insert: `INSERT INTO mailbox VALUES (${byKey}, ?1, ?3, ?3, 0, ?4, ?5, ?6)`,
    page: `SELECT key & 4294967295 AS seq, expires_at, stanza FROM mailbox WHERE ${range} ORDER BY key`,
    remove: [`DELETE FROM mailbox WHERE ${range} RETURNING sender, length(stanza)`],
  },
  /** A tree in the order of arrival, and an index to it. */
  'tree by arrival': {
    tables: `CREATE TABLE mailbox (row INTEGER PRIMARY KEY AUTOINCREMENT, device INTEGER NOT NULL, seq INTEGER NOT NULL,
        ${columns}, stanza BLOB NOT NULL) STRICT;
      CREATE UNIQUE INDEX mailbox_seq ON mailbox (device, seq);
      CREATE UNIQUE INDEX mailbox_digest ON mailbox (device, digest);
      CREATE INDEX mailbox_expiry ON mailbox (expires_at);`,
    insert: 'INSERT INTO mailbox VALUES (NULL, ?1, ?2, ?3, ?3, 0, ?4, ?5, ?6)',
    page: 'SELECT seq, expires_at, stanza FROM mailbox WHERE device = ?1 AND seq BETWEEN ?2 AND ?3 ORDER BY seq',
    remove: ['DELETE FROM mailbox WHERE device = ?1 AND seq BETWEEN ?2 AND ?3 RETURNING sender, length(stanza)'],
  },
  /** What is counted in the index tree, the body in a tree of its own. */
  'body beside': {
    tables: `CREATE TABLE mailbox (device INTEGER NOT NULL, seq INTEGER NOT NULL, ${columns}, bytes INTEGER NOT NULL,
        PRIMARY KEY (device, seq)) WITHOUT ROWID, STRICT;
      CREATE TABLE mailbox_body (key INTEGER PRIMARY KEY, stanza BLOB NOT NULL) STRICT;
      CREATE UNIQUE INDEX mailbox_digest ON mailbox (device, digest);
      CREATE INDEX mailbox_expiry ON mailbox (expires_at);`,
    insert: 'INSERT INTO mailbox VALUES (?1, ?2, ?3, ?3, 0, ?4, ?5, length(?6))',
    insertBody: `INSERT INTO mailbox_body VALUES (${byKey}, ?3)`,
    page: `SELECT seq, expires_at, stanza FROM mailbox JOIN mailbox_body ON key = (device << 32) | seq
      WHERE device = ?1 AND seq BETWEEN ?2 AND ?3 ORDER BY seq`,
    remove: [
      `DELETE FROM mailbox_body WHERE ${range}`,
      'DELETE FROM mailbox WHERE device = ?1 AND seq BETWEEN ?2 AND ?3 RETURNING sender, bytes',
    ],
  },
};

type Figures = { readonly appendUs: number; readonly drainUs: number; readonly bytesPerMessage: number };

/** Microseconds of CPU, of all threads, for each of `count`. */
function cost(count: number, work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / count;
}

/** A small generator with a fixed seed. */
function numbers(seed: number): () => number {
  let state = seed;
  return () => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0);
}

function measure(shape: Shape, pageBytes: number, devices: number, stanzaBytes: number): Figures {
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-tables-'));
  const file = join(folder, 'store.sqlite');
  const db = new DatabaseSync(file);
  try {
    db.exec(
      `PRAGMA page_size=${pageBytes}; PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-65536;`,
    );
    db.exec(shape.tables);
    const insert = db.prepare(shape.insert);
    const insertBody = shape.insertBody === undefined ? undefined : db.prepare(shape.insertBody);
    const page = db.prepare(shape.page);
    const remove = shape.remove.map(sql => db.prepare(sql));
    const last = new Uint32Array(devices + 1);
    const next = numbers(7);
    const stanza = Buffer.alloc(stanzaBytes);
    const append = (): void => {
      for (let done = 0; done < perRun; done += perCommit) {
        db.exec('BEGIN IMMEDIATE');
        for (let i = 0; i < perCommit; i++) {
          const device = 1 + ((next() >>> 8) % devices);
          const digest = Buffer.alloc(16);
          for (let at = 0; at < 16; at += 4) digest.writeUInt32LE(next(), at);
          stanza.writeUInt32LE(next(), 0);
          const seq = ++last[device]!;
          insert.run(device, seq, expiresAtMs + done, sender, digest, stanza);
          insertBody?.run(device, seq, stanza);
        }
        db.exec('COMMIT');
      }
    };
    const appendUs = cost(perRun, append);
    db.exec('PRAGMA wal_checkpoint(TRUNCATE)');
    const bytesPerMessage = statSync(file).size / perRun;
    const drainUs = cost(perRun, () => {
      for (let device = 1; device <= devices; device++) {
        for (let first = 1; first <= last[device]!; first += pageEntries) {
          const to = Math.min(first + pageEntries - 1, last[device]!);
          if (page.all(device, first, to).length !== to - first + 1) throw new Error('rows are missing');
          db.exec('BEGIN IMMEDIATE');
          for (const each of remove) each.all(device, first, to);
          db.exec('COMMIT');
        }
      }
    });
    return { appendUs, drainUs, bytesPerMessage };
  } finally {
    db.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

const { values } = parseArgs({ options: { write: { type: 'boolean', default: false } } });
const repeats = 3;
const rows: object[] = [];
for (const stanzaBytes of [600, 1_300]) {
  for (const devices of [1, 2_000]) {
    for (const [name, shape] of Object.entries(shapes)) {
      for (const pageBytes of [4_096, 8_192, 16_384]) {
        const runs = Array.from({ length: repeats }, () => measure(shape, pageBytes, devices, stanzaBytes));
        const of = (figure: keyof Figures): number => round(median(runs.map(each => each[figure])));
        const row = {
          stanzaBytes,
          devices,
          shape: name,
          pageBytes,
          appendUs: of('appendUs'),
          drainUs: of('drainUs'),
          bytesPerMessage: Math.round(of('bytesPerMessage')),
        };
        process.stderr.write(`${JSON.stringify(row)}\n`);
        rows.push(row);
      }
    }
  }
}
if (values.write) {
  const method =
    `${perRun} messages, ${perCommit} in a commit (WAL; without waiting for the disk, which is the same for all), to random mailboxes; drained in pages of ` +
    `${pageEntries}, each page removed in a commit; CPU of all threads per message, median of ${repeats}`;
  const result = {
    question: 'Which table keeps waiting messages with the least CPU and disk?',
    method,
    rows,
    machine: describeMachine(),
  };
  writeFileSync(join(resultsFolder, 'mailbox-tables.json'), `${JSON.stringify(result, undefined, 1)}\n`);
}
