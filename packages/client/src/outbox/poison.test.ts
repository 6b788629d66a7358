// Nobody stops an outbox: a message that can't be made ready is set aside with a word, what is behind it leaves; a disk that is
// full is waited for, however long, and nothing is given up for it. Encryption is played, the store is real and fails where a
// test says.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, test } from 'node:test';
import type { E2eeSuite, EncryptTarget } from '@drawbridge/e2ee/suite';
import { element } from '@drawbridge/wire/element';
import { NS_KEYS } from '@drawbridge/wire/namespaces';
import type { Clock } from '../clock.ts';
import { DeviceLists } from '../directory/device-lists.ts';
import type { Request } from '../directory/directory.ts';
import { Authoring } from '../history/authoring.ts';
import { listMessages } from '../history/history.ts';
import { listNotices } from '../notices/notice-records.ts';
import { listOutbox } from '../store/outbox-records.ts';
import { StoreFault } from '../store/store-errors.ts';
import { openEncryptedStore } from '../store/encrypted-store.ts';
import type { EncryptedStore } from '../store/store.ts';
import { type Fault, faultyStore } from '../testing/faulty-store.ts';
import { outboxLimits } from './limits.ts';
import { Outbox, type Sending } from './outbox.ts';

const folder = mkdtempSync(join(tmpdir(), 'drawbridge-outbox-poison-'));
after(() => rmSync(folder, { recursive: true }));
const person = '1-aaaaaaaaaaaaaaaaaaaaaaaaaa';
const own = { interopId: '0-bbbbbbbbbbbbbbbbbbbbbbbbbb', deviceId: 1 };

const tooLargeBytes = 20_000;

/** Pauses are over at once, and counted. */
function countingClock(): Clock & { pauses: number } {
  const clock = {
    pauses: 0,
    nowMs: () => 1_800_000_000_000,
    after(ms: number, run: () => void) {
      if (ms === outboxLimits.storePauseMs) clock.pauses++;
      const timer = setImmediate(run);
      return () => clearImmediate(timer);
    },
  };
  return clock;
}

type Desk = {
  readonly outbox: Outbox;
  readonly store: EncryptedStore;
  readonly clock: Clock & { pauses: number };
  readonly sent: Sending[];
  readonly say: (text: string) => string;
  readonly state: (id: string) => string | undefined;
  fault: Fault;
  /** What encryption meets, once. */
  encryption: StoreFault | undefined;
  ended: number;
};

async function openDesk(name: string): Promise<Desk> {
  const opened = await openEncryptedStore({
    path: join(folder, `${name}.db`),
    key: { kind: 'key', key: new Uint8Array(32) },
  });
  assert(opened.ok);
  const faults: Pick<Desk, 'fault' | 'encryption' | 'ended'> = {
    fault: () => undefined,
    encryption: undefined,
    ended: 0,
  };
  const store = faultyStore(opened.value, (...access) => desk.fault(...access));
  const clock = countingClock();
  const sent: Sending[] = [];
  const suite: Pick<E2eeSuite, 'name' | 'local' | 'encryptFor' | 'startSession' | 'endSessions' | 'readIdentity'> = {
    name: 'signal-1',
    local: own,
    async encryptFor(targets: readonly EncryptTarget[], commit) {
      const cause = desk.encryption;
      desk.encryption = undefined;
      if (targets.some(({ content }) => content.length > tooLargeBytes))
        return { ok: false, error: { code: 'content-too-large', maxBytes: tooLargeBytes } };
      if (cause !== undefined) return { ok: false, error: { code: 'store-failed', cause } };
      const ciphertexts = targets.flatMap(({ to, devices: listed, content }) =>
        listed.map(({ deviceId }) => ({ deviceId, registrationId: 7, to, kind: 'session' as const, bytes: content })),
      );
      const identities = new Map(targets.map(({ to }) => [to, 'the key in force']));
      try {
        await commit({ ciphertexts, identities, changes: [] });
      } catch (error) {
        return { ok: false, error: { code: 'commit-failed', cause: error } };
      }
      return { ok: true, value: { ciphertexts, identities, changes: [] } };
    },
    async endSessions() {
      desk.ended++;
      return { ok: true, value: undefined };
    },
    startSession: () => assert.fail('there are sessions with everybody'),
    readIdentity: () => assert.fail('there are sessions with everybody'),
  };
  const device = element('device', NS_KEYS, { id: '1', registration: '7' });
  const request: Request = async () => element('manifest', NS_KEYS, {}, [device]);
  const base = { store, clock, domain: 'citadel.example', request, emit: () => {} };
  const readIdentity = async () => ({ ok: false, error: { code: 'unknown-identity' } }) as const;
  const lists = new DeviceLists({
    ...base,
    suite: { local: own, readIdentity },
    ownIdentityKey: async () => new Uint8Array(33),
  });
  const outbox = new Outbox({
    isStamped: () => false,
    ...base,
    suite,
    random: () => 0.5,
    lists,
    send: (_stanza, sending) => {
      sent.push(sending);
      return true;
    },
  });
  const authoring = new Authoring({ store, own: own.interopId, clock, outbox, emit: () => {} });
  const desk: Desk = {
    ...faults,
    outbox,
    store,
    clock,
    sent,
    say(text) {
      const content = authoring.content({ kind: 'text', text });
      const id = Buffer.from(content.messageId).toString('hex');
      authoring.announce(
        authoring.transaction(tx => authoring.say(tx, person, content, id)),
        person,
      );
      return id;
    },
    state(id) {
      const rows = opened.value.transaction(tx => listMessages(tx, own.interopId, { chat: person, limit: 100 }));
      assert(rows.ok);
      return rows.value.find(({ message }) => message.id === id)?.message.state;
    },
  };
  return desk;
}

const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve));

async function until(isSo: () => boolean): Promise<void> {
  for (let i = 0; !isSo(); i++) {
    assert(i < 20_000, 'it never came');
    await turn();
  }
}

const toPerson = ({ sent }: Desk): Sending[] => sent.filter(({ to }) => to === person);

test('a disk that is full is waited for longer than anything else, and nothing is given up', async () => {
  const desk = await openDesk('full');
  const id = desk.say('patience');
  const next = desk.say('behind it');
  desk.fault = access => (access === 'write' ? 'disk-full' : undefined);
  desk.outbox.online(false);
  await until(() => desk.clock.pauses > 3 * outboxLimits.maxWaits);
  assert.deepEqual(toPerson(desk), []);
  assert.equal(desk.state(id), 'queued');
  desk.fault = () => undefined;
  await until(() => toPerson(desk).length === 2);
  // The gatekeeper takes them over while it is full again: they leave the outbox when there is room.
  desk.fault = access => (access === 'write' ? 'disk-full' : undefined);
  desk.outbox.delivered(toPerson(desk));
  const { pauses } = desk.clock;
  await until(() => desk.clock.pauses > pauses + 5);
  assert.equal(desk.state(id), 'queued');
  desk.fault = () => undefined;
  await until(() => desk.state(id) === 'sent' && desk.state(next) === 'sent');
  assert.equal(toPerson(desk).length, 2, 'nothing was sent twice');
  desk.outbox.close();
});

test('a refusal that can not be noted on a full disk asks again after a pause, and not at once', async () => {
  const desk = await openDesk('refused');
  const id = desk.say('no');
  desk.outbox.online(false);
  await until(() => toPerson(desk).length === 1);
  desk.fault = access => (access === 'write' ? 'disk-full' : undefined);
  const error = { type: 'cancel', condition: 'service-unavailable', application: undefined, text: undefined } as const;
  const stanzaId = toPerson(desk)[0]!.id;
  assert.equal(desk.outbox.refused(stanzaId, error), true);
  assert.equal(toPerson(desk).length, 1);
  desk.fault = () => undefined;
  await until(() => toPerson(desk).length === 2);
  desk.outbox.refused(stanzaId, error);
  await until(() => desk.state(id) === 'failed');
  desk.outbox.close();
});

test('a message that can not be encrypted does not spin on a full disk, and is set aside when there is room', async () => {
  const desk = await openDesk('large');
  const large = desk.say('x'.repeat(32_000));
  const small = desk.say('small');
  desk.outbox.online(false);
  desk.fault = (access, table) => (access === 'write' && table === 'message' ? 'disk-full' : undefined);
  await until(() => desk.clock.pauses > 5);
  desk.fault = () => undefined;
  await until(() => desk.state(large) === 'failed' && toPerson(desk).length === 1);
  assert.equal(desk.state(small), 'queued');
  desk.outbox.close();
});

test('a commit that is refused for one message fails that message, and the next one leaves', async () => {
  const desk = await openDesk('row');
  const bad = desk.say('bad');
  desk.say('good');
  let refusals = 1;
  desk.fault = (access, table) =>
    access === 'write' && table === 'sent' && refusals-- > 0 ? 'value-too-large' : undefined;
  desk.outbox.online(false);
  await until(() => toPerson(desk).length === 1);
  assert.equal(desk.state(bad), 'failed');
  desk.outbox.close();
});

test('a session that can not be read is begun again, and the message leaves', async () => {
  const desk = await openDesk('session');
  desk.say('in a new one');
  desk.encryption = new StoreFault('corrupt-row', { table: 'session' });
  desk.outbox.online(false);
  await until(() => toPerson(desk).length === 1);
  assert.equal(desk.ended, 1);
  desk.outbox.close();
});

/** As a disk does it: the row with this key can't be opened any more. */
function damage(path: string, which: string): void {
  const db = new DatabaseSync(path);
  assert.equal(db.prepare(`UPDATE row SET value = zeroblob(256) WHERE sequence = (${which})`).run().changes, 1);
  db.close();
}

test('a row that the disk has damaged fails its message, is told, and is overtaken', async () => {
  const first = await openDesk('damaged');
  const [bad, unparsed, good] = ['damaged', 'unparsed', 'behind them'].map(first.say);
  first.outbox.close();
  const rows = first.store.transaction(tx => {
    const listed = listOutbox(tx, { to: person, limit: 9 });
    tx.put('outbox', listed[1]!.id, Buffer.from('{'), person);
    return listed.length;
  });
  assert.deepEqual(rows, { ok: true, value: 3 });
  first.store.close();
  damage(join(folder, 'damaged.db'), 'SELECT min(sequence) FROM row WHERE kind = 13');
  const desk = await openDesk('damaged');
  desk.outbox.online(false);
  await until(() => toPerson(desk).length === 1);
  assert.deepEqual([desk.state(bad!), desk.state(unparsed!), desk.state(good!)], ['failed', 'failed', 'queued']);
  desk.outbox.delivered(toPerson(desk));
  await until(() => desk.state(good!) === 'sent');
  const notices = desk.store.transaction(listNotices);
  assert(notices.ok);
  assert.deepEqual(
    notices.value.map(({ change }) => change.kind),
    ['unsent-damaged'],
  );
  desk.outbox.close();
});
