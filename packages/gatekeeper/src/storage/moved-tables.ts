// What goes where when an embedded store moves to PostgreSQL: each table's columns, and the question whose answers are its rows.
// `moved` gives each device a new number, with its account in its number. Knows no connections.

export type ColumnType = 'bigint' | 'integer' | 'smallint' | 'text' | 'bytea' | 'boolean';

export type MovedTable = {
  readonly name: string;
  /** What names a row. */
  readonly keys: readonly string[];
  readonly columns: Readonly<Record<string, ColumnType>>;
  /** On the embedded store; gives the columns by their names. */
  readonly source: string;
};

/** Device numbers before and after the move. Mail of a device that is gone has no account any more: it gets a number of its own. */
export const numberDevices = `
CREATE TEMP TABLE moved (old INTEGER PRIMARY KEY, account INTEGER NOT NULL, made INTEGER NOT NULL, device INTEGER NOT NULL);
INSERT INTO moved (old, account, made, device)
  SELECT row, account, made, account * 1048576 + made FROM (
    SELECT row, account, row_number() OVER (PARTITION BY account ORDER BY row) AS made FROM device
  );
INSERT INTO moved (old, account, made, device)
  SELECT device, account, 1, account * 1048576 + 1 FROM (
    SELECT device, (SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'account') + row_number() OVER (ORDER BY device)
      AS account
    FROM (SELECT device FROM mailbox_orphan UNION SELECT device FROM mailbox UNION SELECT device FROM mailbox_share)
    WHERE device NOT IN (SELECT row FROM device)
  );`;

/** Both stores number their rows by `seq`, which goes on after the last one that was ever given. */
export const numberedTables = ['given_key', 'retired_identity', 'report', 'outgoing_event'] as const;

/** In the order in which they refer to one another. */
export const movedTables: readonly MovedTable[] = [
  {
    name: 'provider',
    keys: ['number'],
    columns: { number: 'integer', name: 'text', status: 'text', changed_at: 'bigint', enlistments: 'bigint' },
    source: 'SELECT * FROM provider ORDER BY number',
  },
  {
    name: 'key_set',
    keys: ['provider'],
    columns: { provider: 'integer', places: 'text', body: 'bytea', fetched_at: 'bigint' },
    source: 'SELECT * FROM key_set ORDER BY provider',
  },
  {
    name: 'account',
    keys: ['row'],
    columns: {
      row: 'bigint',
      interop_id: 'text',
      provider: 'integer',
      identifier: 'text',
      identity_key: 'bytea',
      status: 'text',
      last_device_id: 'integer',
      devices_made: 'integer',
      enlisted_at: 'bigint',
      version: 'bigint',
      disabled: 'boolean',
      link_only: 'boolean',
      proofs_from: 'bigint',
      last_event_at: 'bigint',
    },
    source: `SELECT account.*, (SELECT count(*) FROM device WHERE device.account = account.row) AS devices_made
      FROM account ORDER BY row`,
  },
  {
    name: 'device',
    keys: ['account', 'row'],
    columns: {
      account: 'bigint',
      row: 'bigint',
      id: 'integer',
      registration_id: 'bigint',
      thumbprint: 'text',
      enlisted_at: 'bigint',
      signed_prekey_id: 'bigint',
      signed_prekey: 'bytea',
      signed_prekey_signature: 'bytea',
      last_resort_id: 'bigint',
      last_resort: 'bytea',
      last_resort_signature: 'bytea',
      listed: 'boolean',
      store_count: 'bigint',
    },
    source: `SELECT device.account, moved.device AS row, id, registration_id, thumbprint, enlisted_at, signed_prekey_id,
        signed_prekey, signed_prekey_signature, last_resort_id, last_resort, last_resort_signature, listed, store_count
      FROM device JOIN moved ON moved.old = device.row ORDER BY device.row`,
  },
  {
    name: 'one_time_key',
    keys: ['account', 'device', 'kind', 'id'],
    columns: {
      account: 'bigint',
      device: 'bigint',
      kind: 'smallint',
      id: 'bigint',
      public_key: 'bytea',
      signature: 'bytea',
    },
    source: `SELECT account, moved.device, kind, id, public_key, signature
      FROM one_time_key JOIN moved ON moved.old = one_time_key.device`,
  },
  {
    name: 'given_key',
    keys: ['account', 'device', 'digest'],
    columns: { account: 'bigint', device: 'bigint', digest: 'bytea', seq: 'bigint' },
    source: 'SELECT account, moved.device, digest, seq FROM given_key JOIN moved ON moved.old = given_key.device',
  },
  {
    name: 'opt_in',
    keys: ['account', 'provider'],
    columns: { account: 'bigint', provider: 'integer' },
    source: 'SELECT * FROM opt_in',
  },
  {
    name: 'device_authorisation',
    keys: ['account', 'thumbprint'],
    columns: { account: 'bigint', thumbprint: 'text', expires_at: 'bigint' },
    source: 'SELECT * FROM device_authorisation',
  },
  {
    name: 'device_manifest',
    keys: ['account'],
    columns: { account: 'bigint', epoch: 'bigint', text: 'text', signature: 'bytea' },
    source: 'SELECT * FROM device_manifest',
  },
  {
    name: 'retired_identity',
    keys: ['account', 'digest'],
    columns: { account: 'bigint', digest: 'bytea', seq: 'bigint' },
    source: 'SELECT * FROM retired_identity',
  },
  {
    name: 'wake_up',
    keys: ['account'],
    columns: { account: 'bigint', token_id: 'text', requested_at: 'bigint' },
    source: 'SELECT * FROM wake_up',
  },
  { name: 'proof_id', keys: ['id'], columns: { id: 'bytea', expires_at: 'bigint' }, source: 'SELECT * FROM proof_id' },
  {
    name: 'admin',
    keys: ['name'],
    columns: { name: 'text', role: 'text', token_digest: 'bytea', added_at: 'bigint' },
    source: 'SELECT * FROM admin',
  },
  {
    name: 'audit',
    keys: ['seq'],
    columns: {
      seq: 'bigint',
      at: 'bigint',
      actor: 'text',
      action: 'text',
      subject: 'text',
      reason: 'text',
      digest: 'text',
    },
    source: 'SELECT seq, at, actor, action, subject, reason, lower(hex(digest)) AS digest FROM audit ORDER BY seq',
  },
  {
    name: 'provider_application',
    keys: ['id'],
    columns: {
      id: 'text',
      name: 'text',
      domain: 'text',
      issuer: 'text',
      terms: 'text',
      agreement: 'integer',
      stage: 'text',
      number: 'integer',
      grant_given: 'text',
      applied_at: 'bigint',
    },
    source: 'SELECT * FROM provider_application',
  },
  {
    name: 'agreement',
    keys: ['version'],
    columns: { version: 'integer', digest: 'text', text: 'text', since: 'bigint' },
    source: 'SELECT * FROM agreement ORDER BY version',
  },
  {
    name: 'report',
    keys: ['seq'],
    columns: {
      seq: 'bigint',
      id: 'text',
      digest: 'bytea',
      account: 'bigint',
      reporter: 'text',
      reported: 'text',
      category: 'text',
      comment: 'text',
      messages: 'bytea',
      count: 'integer',
      at: 'bigint',
      decision: 'text',
      decided_by: 'text',
      decided_at: 'bigint',
    },
    source: 'SELECT * FROM report ORDER BY seq',
  },
  {
    name: 'contact',
    keys: ['account', 'person'],
    columns: {
      account: 'bigint',
      person: 'text',
      provider: 'integer',
      state: 'text',
      is_open: 'boolean',
      loud: 'integer',
      silent: 'integer',
      interop_id: 'text',
      changed_at: 'bigint',
      sequence: 'bigint',
      carried: 'boolean',
    },
    source: 'SELECT * FROM contact',
  },
  {
    name: 'contact_link',
    keys: ['digest'],
    columns: { digest: 'bytea', account: 'bigint', uses_left: 'integer', expires_at: 'bigint' },
    source: 'SELECT * FROM contact_link',
  },
  {
    name: 'restriction',
    keys: ['subject'],
    columns: { subject: 'text', account: 'bigint', level: 'text', since: 'bigint', counted_from: 'bigint' },
    source: 'SELECT * FROM restriction',
  },
  {
    name: 'mailbox',
    keys: ['account', 'device', 'seq'],
    columns: {
      account: 'bigint',
      device: 'bigint',
      seq: 'bigint',
      accepted_at: 'bigint',
      expires_at: 'bigint',
      silent: 'boolean',
      sender: 'text',
      digest: 'bytea',
      stanza: 'bytea',
    },
    source: `SELECT account, moved.device, seq, accepted_at, expires_at, silent, sender, digest, stanza
      FROM mailbox JOIN moved ON moved.old = mailbox.key >> 32 ORDER BY key`,
  },
  {
    name: 'mailbox_head',
    keys: ['account', 'device'],
    // Whose stream had it is over.
    columns: {
      account: 'bigint',
      device: 'bigint',
      provider: 'integer',
      last_seq: 'bigint',
      count: 'bigint',
      loud: 'bigint',
      bytes: 'bigint',
      epoch: 'bigint',
    },
    source: `SELECT account.row AS account, moved.device, provider, coalesce(last_seq, 0) AS last_seq, coalesce(count, 0) AS count,
        coalesce(loud, 0) AS loud, coalesce(bytes, 0) AS bytes, coalesce(epoch, 0) AS epoch
      FROM device JOIN moved ON moved.old = device.row JOIN account ON account.row = device.account
        LEFT JOIN mailbox_head ON mailbox_head.device = device.row`,
  },
  {
    name: 'mailbox_share',
    keys: ['account', 'device', 'sender'],
    columns: { account: 'bigint', device: 'bigint', sender: 'text', count: 'bigint', bytes: 'bigint' },
    source: `SELECT account, moved.device, sender, count, bytes
      FROM mailbox_share JOIN moved ON moved.old = mailbox_share.device`,
  },
  {
    name: 'mailbox_person',
    keys: ['account'],
    columns: { account: 'bigint', bytes: 'bigint' },
    source: `SELECT row AS account, coalesce(bytes, 0) AS bytes
      FROM account LEFT JOIN mailbox_person ON mailbox_person.account = account.row`,
  },
  {
    name: 'mailbox_orphan',
    keys: ['account', 'device'],
    columns: { account: 'bigint', device: 'bigint', provider: 'integer', opt_ins: 'text' },
    source: `SELECT account, moved.device, provider, opt_ins
      FROM mailbox_orphan JOIN moved ON moved.old = mailbox_orphan.device`,
  },
  {
    name: 'outgoing_event',
    keys: ['seq'],
    columns: {
      seq: 'bigint',
      provider: 'integer',
      url: 'text',
      audience: 'text',
      token_id: 'text',
      subject: 'text',
      event: 'text',
      payload: 'text',
      occurred_at: 'bigint',
      attempts: 'integer',
      next_at: 'bigint',
      dead_at: 'bigint',
      code: 'text',
    },
    source: 'SELECT * FROM outgoing_event ORDER BY seq',
  },
  {
    name: 'clock',
    keys: ['one'],
    columns: { one: 'boolean', seen_at: 'bigint', leaps_paid_at: 'bigint' },
    source: 'SELECT * FROM clock',
  },
];
