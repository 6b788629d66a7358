// What 10 thousand, 1 million and 100 million people need: `node --conditions=drawbridge-source bench/src/capacity.ts URL`, with
// the address of an empty PostgreSQL database on this machine. Measures what a stored message costs there, takes everything else
// from bench/results, multiplies by what people are assumed to do, and writes bench/results/capacity.json.
// Expectation: 30 µs in the node and 100 µs in PostgreSQL for a message written and removed in groups.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import pg from 'pg';
import { mailboxRow, unbounded } from '@drawbridge/gatekeeper/testing/mailbox-contract';
import { openPostgresStores } from '@drawbridge/gatekeeper/storage/postgres/postgres-stores';
import type { EnlistArgs } from '@drawbridge/gatekeeper/enlistment/account-store';

const results = new URL('../results/', import.meta.url);
const people = 1_000;
const rounds = 20;
/** A short text's envelope for one device, stored. */
const stanzaBytes = 700;
const ticksPerSecond = 100;

/** What people do; say so where others do otherwise. */
const assumed = {
  devicesPerPerson: 1.3,
  /** Of all devices, at the busiest moment. */
  connectedShare: 0.25,
  messagesPerPersonAndDay: 50,
  /** The busiest second, as a multiple of the mean. */
  peak: 3,
  /** Of each message: the recipient's devices and the sender's others. */
  copies: 1.6,
  /** Copies for a device that has no stream. */
  awayShare: 0.5,
  loginsPerDeviceAndDay: 10,
  /** Messages that wait for a person, in the mean. */
  waitingPerPerson: 20,
  /** The highest use of a core that leaves room. */
  use: 0.5,
  /** What one node of four cores may hold: half of `limits.streams`. */
  streamsPerNode: 100_000,
};

type Medians = Readonly<Record<string, number>>;

function medians(suite: string, name: string): Medians {
  const { rows } = JSON.parse(readFileSync(new URL(`${suite}.json`, results), 'utf8')) as {
    rows: { case: string; subject: string; medians: Medians }[];
  };
  const row = rows.find(each => each.case === name && each.subject === 'drawbridge');
  if (row === undefined) throw new Error(`bench/results/${suite}.json has no case ${name}: run that suite first`);
  return row.medians;
}

/** Of the server that has this process as a session: all its processes, those that have ended, too. */
function serverCpuMs(session: number): number {
  const fields = (pid: number): string[] =>
    readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /, '')
      .split(' ');
  const parent = Number(fields(session)[1]);
  let ticks = 0;
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    if (!Number.isInteger(pid)) continue;
    try {
      const its = fields(pid);
      if (pid === parent) ticks += Number(its[13]) + Number(its[14]);
      if (pid === parent || Number(its[1]) === parent) ticks += Number(its[11]) + Number(its[12]);
    } catch {
      // It has ended meanwhile, and counts in its parent.
    }
  }
  return (ticks * 1_000) / ticksPerSecond;
}

function person(i: number): EnlistArgs {
  const bytes = (length: number): Uint8Array => Buffer.alloc(length, String(i).padStart(8, '0'));
  const signed = { id: 1, publicKey: bytes(33), signature: bytes(64) };
  return {
    interopId: `1-${String(i).padStart(26, 'a')}`,
    provider: 1,
    identifier: `person ${i}`,
    device: {
      registrationId: 1,
      thumbprint: String(i).padStart(43, 'A'),
      identityKey: bytes(33),
      signedPrekey: signed,
      lastResortKemPrekey: signed,
      prekeys: [],
      kemPrekeys: [],
    },
    replace: false,
    maxDevices: 2,
    maxEnlistments: people * 2,
    nowMs: 0,
    judgeMs: 0,
  };
}

async function measureStorage(url: string) {
  const { stores, close } = await openPostgresStores(url);
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const one = async (text: string): Promise<number> =>
    Number(Object.values((await client.query(text)).rows[0] as object)[0]);
  const session = await one('SELECT pg_backend_pid()');
  await stores.providers.register([{ number: 1, name: 'skylark.example' }], 0);
  await stores.accounts.enlistMany(Array.from({ length: people }, (_, i) => person(i)));
  const devices: number[] = [];
  for (let i = 0; i < people; i++)
    devices.push((await stores.accounts.findByIdentifier(1, `person ${i}`))!.devices[0]!.row);
  const sizeText = "SELECT pg_total_relation_size('mailbox')";
  const walText = "SELECT pg_current_wal_lsn() - '0/0'";
  const [size, wal, server, node] = [await one(sizeText), await one(walText), serverCpuMs(session), process.cpuUsage()];
  const began = performance.now();
  for (let round = 0; round < rounds; round++) {
    await Promise.all(
      devices.map((device, i) =>
        stores.mailboxes.append(
          [mailboxRow(device, round, stanzaBytes, { sender: `1-${String((i + round) % people).padStart(26, 'a')}` })],
          unbounded,
        ),
      ),
    );
  }
  const appendedMs = performance.now() - began;
  const stored = people * rounds;
  const sizeAfter = await one(sizeText);
  for (const device of devices) {
    const claim = await stores.mailboxes.claim(device, 'node');
    if (claim.kind !== 'claimed') throw new Error('a device is gone');
    await stores.mailboxes.page(device, claim.epoch, 0, 256, 1_000_000);
    await stores.mailboxes.remove([{ device, epoch: claim.epoch, first: 1, last: rounds }]);
  }
  const { user, system } = process.cpuUsage(node);
  const measured = {
    stored,
    appendsPerSecond: Math.round((stored / appendedMs) * 1_000),
    nodeCpuUs: round((user + system) / stored),
    serverCpuUs: round(((serverCpuMs(session) - server) * 1_000) / stored),
    walBytes: Math.round(((await one(walText)) - wal) / stored),
    diskBytes: Math.round((sizeAfter - size) / stored),
  };
  await client.end();
  await close();
  return measured;
}

const round = (value: number): number => Number(value.toPrecision(3));

function needs(users: number, storage: Awaited<ReturnType<typeof measureStorage>>) {
  const chat = medians('chat', 'receipts-tls');
  const login = medians('login', 'login-tls');
  const idle = medians('idle', 'idle-tls-5000');
  const devices = users * assumed.devicesPerPerson;
  const streams = devices * assumed.connectedShare;
  const messages = (users * assumed.messagesPerPersonAndDay * assumed.peak) / 86_400;
  const logins = (devices * assumed.loginsPerDeviceAndDay * assumed.peak) / 86_400;
  const routing = (messages * chat['cpuMsPerMessage']!) / 1_000;
  const shaking = (logins * login['cpuMsPerLogin']!) / 1_000;
  const nodesFor = (stored: number): number =>
    Math.max(
      1,
      Math.ceil(streams / assumed.streamsPerNode),
      Math.ceil((routing + shaking + (stored * storage.nodeCpuUs) / 1e6) / (4 * assumed.use)),
    );
  /** With more nodes more copies cross, and each that crosses is a row: until the numbers stand. */
  let nodes = 1;
  let stored = 0;
  for (let i = 0; i < 20; i++) {
    const crossing = (1 - assumed.awayShare) * (1 - 1 / nodes);
    stored = messages * assumed.copies * (assumed.awayShare + crossing);
    nodes = nodesFor(stored);
  }
  return {
    users,
    streams: Math.round(streams),
    messagesPerSecond: round(messages),
    storedPerSecond: round(stored),
    nodes,
    nodeCores: round((routing + shaking + (stored * storage.nodeCpuUs) / 1e6) / assumed.use),
    nodeMemoryGiB: round(nodes * 0.29 + (streams * idle['kibPerStream']!) / 1_048_576),
    databaseCores: round((stored * storage.serverCpuUs) / 1e6 / assumed.use),
    walMiBPerSecond: round((stored * storage.walBytes) / 1_048_576),
    waitingGiB: round((users * assumed.waitingPerPerson * storage.diskBytes) / 2 ** 30),
    networkMbitPerSecond: round((messages * (chat['bytesSent']! + chat['bytesReceived']!) * 8) / 1e6),
  };
}

const [url] = process.argv.slice(2);
if (url === undefined) throw new Error('name an empty PostgreSQL database: postgresql://…');
const storage = await measureStorage(url);
const sizes = [10_000, 1_000_000, 100_000_000].map(users => needs(users, storage));
const written = { machine: { cores: availableParallelism(), node: process.version }, assumed, storage, sizes };
writeFileSync(new URL('capacity.json', results), `${JSON.stringify(written, undefined, 1)}\n`);
console.log(storage);
console.table(sizes);
