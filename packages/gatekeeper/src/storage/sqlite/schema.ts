// The tables, and the steps from older versions of them.
// Knows nothing of the rules by which rows change.
import type { DatabaseSync } from 'node:sqlite';
import { StartError } from '../../start-error.ts';
import { chainEarlierEntries } from './audit-commands.ts';

/** Each step runs once, in order, in a transaction; `user_version` counts them. Never edit a released step: add one. */
const steps: readonly (string | ((db: DatabaseSync) => void))[] = [
  `CREATE TABLE mailbox (
     device INTEGER NOT NULL,
     seq INTEGER NOT NULL,
     expires_at INTEGER NOT NULL,
     stanza BLOB NOT NULL,
     PRIMARY KEY (device, seq)
   ) WITHOUT ROWID, STRICT;`,

  // A provider keeps its number and name for ever: a number that changed hands would hand over its people too.
  // Row numbers of accounts and devices are never used again (AUTOINCREMENT): caches and mailboxes are named by them.
  // A used proof id is the hash of issuer and jti. The audit log can only grow.
  `CREATE TABLE provider (
     number INTEGER PRIMARY KEY,
     name TEXT NOT NULL UNIQUE,
     status TEXT NOT NULL CHECK (status IN ('live', 'suspended')),
     changed_at INTEGER NOT NULL,
     enlistments INTEGER NOT NULL DEFAULT 0
   ) STRICT;
   CREATE TABLE account (
     row INTEGER PRIMARY KEY AUTOINCREMENT,
     interop_id TEXT NOT NULL UNIQUE,
     provider INTEGER NOT NULL,
     identifier TEXT NOT NULL,
     identity_key BLOB NOT NULL UNIQUE,
     status TEXT NOT NULL CHECK (status IN ('active', 'suspended')),
     last_device_id INTEGER NOT NULL,
     enlisted_at INTEGER NOT NULL,
     UNIQUE (provider, identifier)
   ) STRICT;
   CREATE TABLE device (
     row INTEGER PRIMARY KEY AUTOINCREMENT,
     account INTEGER NOT NULL REFERENCES account (row),
     id INTEGER NOT NULL CHECK (id BETWEEN 1 AND 127),
     registration_id INTEGER NOT NULL,
     thumbprint TEXT NOT NULL,
     enlisted_at INTEGER NOT NULL,
     signed_prekey_id INTEGER NOT NULL,
     signed_prekey BLOB NOT NULL,
     signed_prekey_signature BLOB NOT NULL,
     last_resort_id INTEGER NOT NULL,
     last_resort BLOB NOT NULL,
     last_resort_signature BLOB NOT NULL,
     UNIQUE (account, id),
     UNIQUE (account, thumbprint)
   ) STRICT;
   CREATE TABLE one_time_key (
     device INTEGER NOT NULL REFERENCES device (row),
     kind INTEGER NOT NULL CHECK (kind IN (0, 1)),
     id INTEGER NOT NULL,
     public_key BLOB NOT NULL,
     signature BLOB,
     UNIQUE (device, kind, id)
   ) STRICT;
   CREATE TABLE given_key (
     seq INTEGER PRIMARY KEY AUTOINCREMENT,
     device INTEGER NOT NULL REFERENCES device (row),
     digest BLOB NOT NULL,
     UNIQUE (device, digest)
   ) STRICT;
   CREATE TABLE opt_in (
     account INTEGER NOT NULL REFERENCES account (row),
     provider INTEGER NOT NULL,
     PRIMARY KEY (account, provider)
   ) WITHOUT ROWID, STRICT;
   CREATE TABLE device_authorisation (
     account INTEGER NOT NULL REFERENCES account (row),
     thumbprint TEXT NOT NULL,
     expires_at INTEGER NOT NULL,
     PRIMARY KEY (account, thumbprint)
   ) WITHOUT ROWID, STRICT;
   CREATE INDEX device_authorisation_expiry ON device_authorisation (expires_at);
   CREATE TABLE wake_up (
     account INTEGER PRIMARY KEY REFERENCES account (row),
     token_id TEXT NOT NULL,
     requested_at INTEGER NOT NULL
   ) STRICT;
   CREATE TABLE proof_id (
     id BLOB PRIMARY KEY,
     expires_at INTEGER NOT NULL
   ) WITHOUT ROWID, STRICT;
   CREATE INDEX proof_id_expiry ON proof_id (expires_at);
   CREATE TABLE audit (
     seq INTEGER PRIMARY KEY AUTOINCREMENT,
     at INTEGER NOT NULL,
     actor TEXT NOT NULL,
     action TEXT NOT NULL,
     subject TEXT NOT NULL
   ) STRICT;
   CREATE TRIGGER audit_keeps BEFORE DELETE ON audit BEGIN SELECT raise(ABORT, 'the audit log only grows'); END;
   CREATE TRIGGER audit_stays BEFORE UPDATE ON audit BEGIN SELECT raise(ABORT, 'the audit log only grows'); END;`,

  // A version names what a cache holds: every change of an account raises it.
  `ALTER TABLE account ADD COLUMN version INTEGER NOT NULL DEFAULT 1;`,

  // From now on an entry is written only while its device is there: what outlived its device goes once and for all.
  `DELETE FROM mailbox WHERE NOT EXISTS (SELECT 1 FROM device WHERE device.row = mailbox.device);`,

  // A person's signed statement of their devices, opaque here but for what was checked when it came. Where a person has
  // one, a device that it does not name is not listed. A retired identity key is a hash.
  `CREATE TABLE device_manifest (
     account INTEGER PRIMARY KEY REFERENCES account (row),
     epoch INTEGER NOT NULL,
     text TEXT NOT NULL,
     signature BLOB NOT NULL
   ) STRICT;
   ALTER TABLE device ADD COLUMN listed INTEGER NOT NULL DEFAULT 1;
   CREATE TABLE retired_identity (
     seq INTEGER PRIMARY KEY AUTOINCREMENT,
     account INTEGER NOT NULL REFERENCES account (row),
     digest BLOB NOT NULL,
     UNIQUE (account, digest)
   ) STRICT;`,

  // Storage numbers and counts what waits, and knows which stream a mailbox belongs to. A digest tells repeats. What was
  // there before is in nobody's share; NULLs are not repeats of each other.
  `ALTER TABLE mailbox ADD COLUMN sender TEXT;
   ALTER TABLE mailbox ADD COLUMN digest BLOB;
   CREATE UNIQUE INDEX mailbox_digest ON mailbox (device, digest);
   CREATE TABLE mailbox_head (
     device INTEGER PRIMARY KEY,
     last_seq INTEGER NOT NULL,
     count INTEGER NOT NULL,
     bytes INTEGER NOT NULL,
     epoch INTEGER NOT NULL,
     node TEXT
   ) STRICT;
   CREATE TABLE mailbox_share (
     device INTEGER NOT NULL,
     sender TEXT NOT NULL,
     count INTEGER NOT NULL,
     bytes INTEGER NOT NULL,
     PRIMARY KEY (device, sender)
   ) WITHOUT ROWID, STRICT;
   CREATE TABLE mailbox_person (account INTEGER PRIMARY KEY, bytes INTEGER NOT NULL) STRICT;
   CREATE TABLE mailbox_provider (provider INTEGER PRIMARY KEY, bytes INTEGER NOT NULL) STRICT;
   INSERT INTO mailbox_head (device, last_seq, count, bytes, epoch)
     SELECT device, max(seq), count(*), sum(length(stanza)), 0 FROM mailbox GROUP BY device;
   INSERT INTO mailbox_person (account, bytes)
     SELECT device.account, sum(mailbox_head.bytes) FROM mailbox_head JOIN device ON device.row = mailbox_head.device
     GROUP BY device.account;
   INSERT INTO mailbox_provider (provider, bytes)
     SELECT account.provider, sum(mailbox_person.bytes) FROM mailbox_person
     JOIN account ON account.row = mailbox_person.account GROUP BY account.provider;`,

  // A provider's key set as it was fetched last: an outage of the provider outlives a restart of ours.
  `CREATE TABLE key_set (
     provider INTEGER PRIMARY KEY REFERENCES provider (number),
     places TEXT NOT NULL,
     body BLOB NOT NULL,
     fetched_at INTEGER NOT NULL
   ) STRICT;`,

  // What tells a device's live store from an older copy of it: the highest count that it has told.
  `ALTER TABLE device ADD COLUMN store_count INTEGER NOT NULL DEFAULT 0;`,

  // Named admins, known by the hash of a token; and why an operator did something.
  `CREATE TABLE admin (
     name TEXT PRIMARY KEY,
     role TEXT NOT NULL CHECK (role IN ('metrics', 'viewer', 'operator', 'owner')),
     token_digest BLOB NOT NULL UNIQUE,
     added_at INTEGER NOT NULL
   ) WITHOUT ROWID, STRICT;
   ALTER TABLE audit ADD COLUMN reason TEXT;
   CREATE INDEX audit_subject ON audit (subject, seq);`,

  // A tree of its own by device and number, where a stanza stays in its page up to the page's size; when it came and whether
  // it is silent, beside it. When earlier entries came nobody wrote down, and each is taken for loud. What a device leaves
  // behind goes in pieces: an orphan is a mailbox without a device, with whom its person admitted while there was one.
  `CREATE TABLE mailbox_entry (
     key INTEGER PRIMARY KEY,
     device INTEGER AS (key >> 32),
     seq INTEGER AS (key & 4294967295),
     accepted_at INTEGER,
     expires_at INTEGER NOT NULL,
     silent INTEGER NOT NULL,
     sender TEXT,
     digest BLOB,
     stanza BLOB NOT NULL
   ) STRICT;
   INSERT INTO mailbox_entry (key, expires_at, silent, sender, digest, stanza)
     SELECT (device << 32) | seq, expires_at, 0, sender, digest, stanza FROM mailbox ORDER BY device, seq;
   DROP TABLE mailbox;
   ALTER TABLE mailbox_entry RENAME TO mailbox;
   CREATE UNIQUE INDEX mailbox_digest ON mailbox (device, digest);
   CREATE INDEX mailbox_expiry ON mailbox (expires_at);
   ALTER TABLE mailbox_head ADD COLUMN loud INTEGER NOT NULL DEFAULT 0;
   UPDATE mailbox_head SET loud = count;
   CREATE TABLE mailbox_orphan (device INTEGER PRIMARY KEY, provider INTEGER, opt_ins TEXT) STRICT;`,

  // The audit log is a chain from now on; what is there already is chained as it stands.
  db => {
    db.exec('DROP TRIGGER audit_stays; ALTER TABLE audit ADD COLUMN digest BLOB;');
    chainEarlierEntries(db);
    db.exec(
      `CREATE TRIGGER audit_stays BEFORE UPDATE ON audit BEGIN SELECT raise(ABORT, 'the audit log only grows'); END;`,
    );
  },

  // Providers that applied: what they said, where they stand, what they were given; and each version of the agreement.
  `CREATE TABLE provider_application (
     id TEXT PRIMARY KEY,
     name TEXT NOT NULL,
     domain TEXT NOT NULL,
     issuer TEXT NOT NULL,
     terms TEXT NOT NULL,
     agreement INTEGER NOT NULL,
     stage TEXT NOT NULL CHECK (stage IN ('applied', 'refused', 'sandbox', 'live', 'withdrawn')),
     number INTEGER UNIQUE REFERENCES provider (number),
     grant_given TEXT,
     applied_at INTEGER NOT NULL
   ) WITHOUT ROWID, STRICT;
   CREATE INDEX provider_application_issuer ON provider_application (issuer);
   CREATE INDEX provider_application_stage ON provider_application (stage, applied_at);
   CREATE TABLE agreement (
     version INTEGER PRIMARY KEY AUTOINCREMENT,
     digest TEXT NOT NULL,
     text TEXT NOT NULL,
     since INTEGER NOT NULL
   ) STRICT;`,

  // What people reported, opened by them; a report goes with its reporter's account.
  `CREATE TABLE report (
     seq INTEGER PRIMARY KEY AUTOINCREMENT,
     id TEXT NOT NULL UNIQUE,
     digest BLOB NOT NULL UNIQUE,
     account INTEGER NOT NULL REFERENCES account (row),
     reporter TEXT NOT NULL,
     reported TEXT NOT NULL,
     category TEXT NOT NULL,
     comment TEXT,
     messages BLOB NOT NULL,
     count INTEGER NOT NULL,
     at INTEGER NOT NULL,
     decision TEXT CHECK (decision IN ('upheld', 'dismissed')),
     decided_by TEXT,
     decided_at INTEGER
   ) STRICT;
   CREATE INDEX report_account ON report (account);
   CREATE INDEX report_reported ON report (reported, at);
   CREATE INDEX report_at ON report (at);`,

  // What a person has decided about another, who is known by a hash of provider and identifier.
  `CREATE TABLE contact (
     account INTEGER NOT NULL REFERENCES account (row),
     person TEXT NOT NULL,
     provider INTEGER NOT NULL,
     state TEXT NOT NULL CHECK (state IN ('request', 'accepted', 'denied', 'blocked')),
     is_open INTEGER NOT NULL,
     loud INTEGER NOT NULL,
     silent INTEGER NOT NULL,
     interop_id TEXT,
     changed_at INTEGER NOT NULL,
     sequence INTEGER NOT NULL,
     PRIMARY KEY (account, person)
   ) WITHOUT ROWID, STRICT;
   CREATE INDEX contact_order ON contact (account, sequence);`,

  // The time that was believed last: what tells a clock that is wrong at a start.
  'CREATE TABLE clock (one INTEGER PRIMARY KEY CHECK (one = 1), seen_at INTEGER NOT NULL) STRICT;',
  // What a provider tells of its people: who is disabled, from when on proofs are good, and when what was applied last occurred.
  `ALTER TABLE account ADD COLUMN disabled INTEGER NOT NULL DEFAULT 0;
   ALTER TABLE account ADD COLUMN proofs_from INTEGER NOT NULL DEFAULT 0;
   ALTER TABLE account ADD COLUMN last_event_at INTEGER NOT NULL DEFAULT 0;
   CREATE INDEX contact_person ON contact (person);`,

  // What providers are to be told, and what they could not be told.
  `CREATE TABLE outgoing_event (
     seq INTEGER PRIMARY KEY AUTOINCREMENT,
     provider INTEGER NOT NULL,
     url TEXT NOT NULL,
     audience TEXT NOT NULL,
     token_id TEXT NOT NULL,
     subject TEXT NOT NULL,
     event TEXT NOT NULL,
     payload TEXT NOT NULL,
     occurred_at INTEGER NOT NULL,
     attempts INTEGER NOT NULL DEFAULT 0,
     next_at INTEGER NOT NULL,
     dead_at INTEGER,
     code TEXT
   ) STRICT;
   CREATE INDEX outgoing_event_subject ON outgoing_event (provider, subject, seq);
   CREATE INDEX outgoing_event_dead ON outgoing_event (dead_at, provider);`,

  // Blocks that came along with renames: they have a bound of their own.
  'ALTER TABLE contact ADD COLUMN carried INTEGER NOT NULL DEFAULT 0;',
  // When as much time will have gone by as was believed for leaps of the clock.
  'ALTER TABLE clock ADD COLUMN leaps_paid_at INTEGER NOT NULL DEFAULT 0;',

  // Who is held back by what others decided about them: a person, or without an account a provider by its number. And the
  // latest decisions about somebody are found without the rest.
  `CREATE TABLE restriction (
     subject TEXT PRIMARY KEY,
     account INTEGER UNIQUE REFERENCES account (row),
     level TEXT NOT NULL CHECK (level IN ('none', 'slowed', 'accepted-only', 'suspended')),
     since INTEGER NOT NULL,
     counted_from INTEGER NOT NULL
   ) WITHOUT ROWID, STRICT;
   DROP INDEX contact_person;
   CREATE INDEX contact_person ON contact (person, changed_at);
   CREATE INDEX contact_provider ON contact (provider, changed_at) WHERE loud > 0;`,

  // By which strangers come to a person: a link is known by the hash of its secret.
  `ALTER TABLE account ADD COLUMN link_only INTEGER NOT NULL DEFAULT 0;
   CREATE TABLE contact_link (
     digest BLOB PRIMARY KEY,
     account INTEGER NOT NULL REFERENCES account (row),
     uses_left INTEGER NOT NULL,
     expires_at INTEGER NOT NULL
   ) WITHOUT ROWID, STRICT;
   CREATE INDEX contact_link_account ON contact_link (account, expires_at);
   CREATE INDEX contact_link_expiry ON contact_link (expires_at);`,
];

/** The version of the tables that this program writes. */
export const schemaVersion = steps.length;

/** Brings the file to this version's tables, or, for tests, to those of an earlier one. Throws when a newer version wrote it. */
export function migrate(db: DatabaseSync, to: number = steps.length): void {
  const { user_version: version } = db.prepare('PRAGMA user_version').get() as { user_version: number };
  if (version > steps.length) {
    throw new StartError(
      'data-too-new',
      `the data folder was written by a newer version (${version}); this one knows up to ${steps.length}`,
    );
  }
  for (let i = version; i < to; i++) {
    db.exec('BEGIN IMMEDIATE');
    const step = steps[i]!;
    if (typeof step === 'string') db.exec(step);
    else step(db);
    db.exec(`PRAGMA user_version=${i + 1}`);
    db.exec('COMMIT');
  }
}
