// The tables on PostgreSQL, and the steps from older versions of them. Every table of a person's begins its key with the
// account, so that an engine that splits tables keeps a person together. Knows nothing of the rules by which rows change.
import { StartError } from '../../start-error.ts';
import type { Database, Sql } from './database.ts';

type Step = {
  readonly text: string;
  /** The oldest program that can go on beside these tables, while nodes are replaced one by one: the version of its tables. */
  readonly fitFrom: number;
};

/** Each step runs once, in order, in a transaction. Never edit a released step: add one. */
const steps: readonly Step[] = [
  {
    fitFrom: 1,
    text: `
CREATE SEQUENCE account_row;
CREATE TABLE provider (
  number integer PRIMARY KEY,
  name text NOT NULL UNIQUE,
  status text NOT NULL CHECK (status IN ('live', 'suspended')),
  changed_at bigint NOT NULL,
  enlistments bigint NOT NULL DEFAULT 0
);
CREATE TABLE key_set (
  provider integer PRIMARY KEY REFERENCES provider (number),
  places text NOT NULL,
  body bytea NOT NULL,
  fetched_at bigint NOT NULL
);
CREATE TABLE account (
  row bigint PRIMARY KEY,
  interop_id text NOT NULL UNIQUE,
  provider integer NOT NULL,
  identifier text NOT NULL,
  identity_key bytea NOT NULL UNIQUE,
  status text NOT NULL CHECK (status IN ('active', 'suspended')),
  last_device_id integer NOT NULL,
  devices_made integer NOT NULL DEFAULT 0,
  enlisted_at bigint NOT NULL,
  version bigint NOT NULL DEFAULT 1,
  UNIQUE (provider, identifier)
);
CREATE TABLE device (
  account bigint NOT NULL,
  row bigint NOT NULL,
  id integer NOT NULL CHECK (id BETWEEN 1 AND 127),
  registration_id bigint NOT NULL,
  thumbprint text NOT NULL,
  enlisted_at bigint NOT NULL,
  signed_prekey_id bigint NOT NULL,
  signed_prekey bytea NOT NULL,
  signed_prekey_signature bytea NOT NULL,
  last_resort_id bigint NOT NULL,
  last_resort bytea NOT NULL,
  last_resort_signature bytea NOT NULL,
  listed boolean NOT NULL DEFAULT true,
  store_count bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (account, row),
  UNIQUE (account, id),
  UNIQUE (account, thumbprint)
);
CREATE TABLE one_time_key (
  account bigint NOT NULL,
  device bigint NOT NULL,
  kind smallint NOT NULL CHECK (kind IN (0, 1)),
  id bigint NOT NULL,
  public_key bytea NOT NULL,
  signature bytea,
  PRIMARY KEY (account, device, kind, id)
);
CREATE TABLE given_key (
  account bigint NOT NULL,
  device bigint NOT NULL,
  digest bytea NOT NULL,
  seq bigint GENERATED ALWAYS AS IDENTITY,
  PRIMARY KEY (account, device, digest)
);
CREATE TABLE opt_in (
  account bigint NOT NULL,
  provider integer NOT NULL,
  PRIMARY KEY (account, provider)
);
CREATE TABLE device_authorisation (
  account bigint NOT NULL,
  thumbprint text NOT NULL,
  expires_at bigint NOT NULL,
  PRIMARY KEY (account, thumbprint)
);
CREATE INDEX device_authorisation_expiry ON device_authorisation (expires_at);
CREATE TABLE device_manifest (
  account bigint PRIMARY KEY,
  epoch bigint NOT NULL,
  text text NOT NULL,
  signature bytea NOT NULL
);
CREATE TABLE retired_identity (
  account bigint NOT NULL,
  digest bytea NOT NULL,
  seq bigint GENERATED ALWAYS AS IDENTITY,
  PRIMARY KEY (account, digest)
);
CREATE TABLE wake_up (
  account bigint PRIMARY KEY,
  token_id text NOT NULL,
  requested_at bigint NOT NULL
);
CREATE TABLE proof_id (
  id bytea PRIMARY KEY,
  expires_at bigint NOT NULL
);
CREATE INDEX proof_id_expiry ON proof_id (expires_at);
CREATE TABLE admin (
  name text COLLATE "C" PRIMARY KEY,
  role text NOT NULL CHECK (role IN ('metrics', 'viewer', 'operator', 'owner')),
  token_digest bytea NOT NULL UNIQUE,
  added_at bigint NOT NULL
);
CREATE TABLE audit (
  seq bigint PRIMARY KEY,
  at bigint NOT NULL,
  actor text NOT NULL,
  action text NOT NULL,
  subject text NOT NULL,
  reason text,
  digest text NOT NULL
);
CREATE INDEX audit_subject ON audit (subject, seq);
CREATE TABLE audit_head (one boolean PRIMARY KEY CHECK (one), last_seq bigint NOT NULL);
INSERT INTO audit_head VALUES (true, 0);
CREATE FUNCTION audit_only_grows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the audit log only grows';
END
$$;
CREATE TRIGGER audit_keeps BEFORE DELETE OR UPDATE ON audit FOR EACH ROW EXECUTE FUNCTION audit_only_grows();
CREATE TABLE mailbox (
  account bigint NOT NULL,
  device bigint NOT NULL,
  seq bigint NOT NULL,
  accepted_at bigint,
  expires_at bigint NOT NULL,
  silent boolean NOT NULL,
  sender text,
  digest bytea,
  stanza bytea NOT NULL,
  PRIMARY KEY (account, device, seq),
  UNIQUE (account, device, digest)
);
ALTER TABLE mailbox ALTER COLUMN stanza SET STORAGE EXTERNAL;
CREATE INDEX mailbox_expiry ON mailbox (expires_at, device, seq);
CREATE TABLE mailbox_head (
  account bigint NOT NULL,
  device bigint NOT NULL,
  provider integer NOT NULL,
  last_seq bigint NOT NULL DEFAULT 0,
  count bigint NOT NULL DEFAULT 0,
  loud bigint NOT NULL DEFAULT 0,
  bytes bigint NOT NULL DEFAULT 0,
  epoch bigint NOT NULL DEFAULT 0,
  node text,
  PRIMARY KEY (account, device)
);
CREATE INDEX mailbox_head_node ON mailbox_head (node) WHERE node IS NOT NULL;
CREATE TABLE mailbox_share (
  account bigint NOT NULL,
  device bigint NOT NULL,
  sender text NOT NULL,
  count bigint NOT NULL,
  bytes bigint NOT NULL,
  PRIMARY KEY (account, device, sender)
);
CREATE TABLE mailbox_person (account bigint PRIMARY KEY, bytes bigint NOT NULL DEFAULT 0);
CREATE TABLE mailbox_provider (
  provider integer NOT NULL,
  slice smallint NOT NULL,
  bytes bigint NOT NULL,
  PRIMARY KEY (provider, slice)
);
CREATE TABLE mailbox_orphan (
  account bigint NOT NULL,
  device bigint NOT NULL,
  provider integer,
  opt_ins text,
  PRIMARY KEY (account, device)
);
CREATE TABLE node (name text PRIMARY KEY, seen_at timestamptz NOT NULL);
CREATE TABLE heartbeat (node text PRIMARY KEY, at bigint NOT NULL);`,
  },
  {
    fitFrom: 1,
    text: `
CREATE TABLE provider_application (
  id text PRIMARY KEY,
  name text NOT NULL,
  domain text NOT NULL,
  issuer text NOT NULL,
  terms text NOT NULL,
  agreement integer NOT NULL,
  stage text NOT NULL CHECK (stage IN ('applied', 'refused', 'sandbox', 'live', 'withdrawn')),
  number integer UNIQUE REFERENCES provider (number),
  grant_given text,
  applied_at bigint NOT NULL
);
CREATE INDEX provider_application_issuer ON provider_application (issuer);
CREATE INDEX provider_application_stage ON provider_application (stage, applied_at);
CREATE TABLE agreement (version integer PRIMARY KEY, digest text NOT NULL, text text NOT NULL, since bigint NOT NULL);`,
  },
  {
    fitFrom: 1,
    text: `
CREATE TABLE report (
  seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id text NOT NULL UNIQUE,
  digest bytea NOT NULL UNIQUE,
  account bigint NOT NULL,
  reporter text NOT NULL,
  reported text NOT NULL,
  category text NOT NULL,
  comment text,
  messages bytea NOT NULL,
  count integer NOT NULL,
  at bigint NOT NULL,
  decision text CHECK (decision IN ('upheld', 'dismissed')),
  decided_by text,
  decided_at bigint
);
CREATE INDEX report_account ON report (account);
CREATE INDEX report_reported ON report (reported, at);
CREATE INDEX report_at ON report (at);`,
  },
  {
    fitFrom: 1,
    text: `
CREATE TABLE contact (
  account bigint NOT NULL REFERENCES account (row),
  person text NOT NULL,
  provider integer NOT NULL,
  state text NOT NULL CHECK (state IN ('request', 'accepted', 'denied', 'blocked')),
  is_open boolean NOT NULL,
  loud integer NOT NULL,
  silent integer NOT NULL,
  interop_id text,
  changed_at bigint NOT NULL,
  sequence bigint NOT NULL,
  PRIMARY KEY (account, person)
);
CREATE INDEX contact_order ON contact (account, sequence);`,
  },
  { fitFrom: 1, text: 'CREATE TABLE clock (one boolean PRIMARY KEY CHECK (one), seen_at bigint NOT NULL);' },
  {
    fitFrom: 1,
    text: `
ALTER TABLE account ADD COLUMN disabled boolean NOT NULL DEFAULT false;
ALTER TABLE account ADD COLUMN proofs_from bigint NOT NULL DEFAULT 0;
ALTER TABLE account ADD COLUMN last_event_at bigint NOT NULL DEFAULT 0;
CREATE INDEX contact_person ON contact (person);`,
  },
  {
    // What waits for a node's streams is read by device.
    fitFrom: 1,
    text: `
DROP INDEX mailbox_head_node;
CREATE INDEX mailbox_head_node ON mailbox_head (node, device) WHERE node IS NOT NULL;`,
  },
  {
    fitFrom: 1,
    text: `
CREATE TABLE outgoing_event (
  seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  provider integer NOT NULL,
  url text NOT NULL,
  audience text NOT NULL,
  token_id text NOT NULL,
  subject text NOT NULL,
  event text NOT NULL,
  payload text NOT NULL,
  occurred_at bigint NOT NULL,
  attempts integer NOT NULL DEFAULT 0,
  next_at bigint NOT NULL,
  dead_at bigint,
  code text
);
CREATE INDEX outgoing_event_subject ON outgoing_event (provider, subject, seq);
CREATE INDEX outgoing_event_dead ON outgoing_event (dead_at, provider);`,
  },
  { fitFrom: 1, text: 'ALTER TABLE contact ADD COLUMN carried boolean NOT NULL DEFAULT false;' },
  { fitFrom: 1, text: 'ALTER TABLE clock ADD COLUMN leaps_paid_at bigint NOT NULL DEFAULT 0;' },
  {
    // The latest decisions about somebody are found without the rest. An earlier program that removes an account leaves its
    // restriction to the sweep.
    fitFrom: 1,
    text: `
CREATE TABLE restriction (
  subject text PRIMARY KEY,
  account bigint UNIQUE,
  level text NOT NULL CHECK (level IN ('none', 'slowed', 'accepted-only', 'suspended')),
  since bigint NOT NULL,
  counted_from bigint NOT NULL
);
DROP INDEX contact_person;
CREATE INDEX contact_person ON contact (person, changed_at);
CREATE INDEX contact_provider ON contact (provider, changed_at) WHERE loud > 0;`,
  },
  {
    // An earlier program that removes an account leaves its links to the sweep.
    fitFrom: 1,
    text: `
ALTER TABLE account ADD COLUMN link_only boolean NOT NULL DEFAULT false;
CREATE TABLE contact_link (
  digest bytea PRIMARY KEY,
  account bigint NOT NULL,
  uses_left integer NOT NULL,
  expires_at bigint NOT NULL
);
CREATE INDEX contact_link_account ON contact_link (account, expires_at);
CREATE INDEX contact_link_expiry ON contact_link (expires_at);`,
  },
];

/** The version of the tables that this program writes. */
export const schemaVersion = steps.length;

/**
 * Brings the database to this version's tables; several nodes that start at once wait for one another. Throws a StartError
 * when a newer version wrote them that this program can't go on beside.
 */
export async function migrate(database: Database): Promise<void> {
  await database.transaction(async sql => {
    await sql.change(`CREATE TABLE IF NOT EXISTS drawbridge_schema (
      one boolean PRIMARY KEY CHECK (one), version integer NOT NULL, fit_from integer NOT NULL)`);
    await sql.change('INSERT INTO drawbridge_schema VALUES (true, 0, 0) ON CONFLICT DO NOTHING');
  });
  await database.transaction(async sql => {
    const [found] = await sql.rows<{ version: number; fit_from: number }>(
      'SELECT version, fit_from FROM drawbridge_schema FOR UPDATE',
    );
    const { version, fit_from: fitFrom } = found!;
    if (version > steps.length && fitFrom > steps.length) {
      throw new StartError(
        'data-too-new',
        `the PostgreSQL database was written by a newer version (${version}); this one knows up to ${steps.length}: install that version`,
      );
    }
    await runSteps(sql, version);
  });
}

async function runSteps(sql: Sql, from: number): Promise<void> {
  for (let i = from; i < steps.length; i++) {
    const { text, fitFrom } = steps[i]!;
    await sql.change(text);
    await sql.change('UPDATE drawbridge_schema SET version = $1, fit_from = $2', [i + 1, fitFrom]);
  }
}
