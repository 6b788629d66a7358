// What the outbox does with a message that no gatekeeper takes: it is set aside, and what is behind it goes on.
// Encryption is played (its sizes matter), the store is real. All the rest: harness/src/scenarios/sdk.test.ts.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { EncryptTarget, E2eeSuite } from '@drawbridge/e2ee/suite';
import { attribute, element } from '@drawbridge/wire/element';
import { NS_KEYS } from '@drawbridge/wire/namespaces';
import { systemClock } from '../clock.ts';
import { DeviceLists } from '../directory/device-lists.ts';
import type { Request } from '../directory/directory.ts';
import { openEncryptedStore } from '../store/encrypted-store.ts';
import type { EncryptedStore } from '../store/store.ts';
import { Outbox, type Sending } from './outbox.ts';

const folder = mkdtempSync(join(tmpdir(), 'drawbridge-outbox-'));
const person = '1-aaaaaaaaaaaaaaaaaaaaaaaaaa';
const own = { interopId: '0-bbbbbbbbbbbbbbbbbbbbbbbbbb', deviceId: 1 };
let store: EncryptedStore;

before(async () => {
  const opened = await openEncryptedStore({
    path: join(folder, 'store.db'),
    key: { kind: 'key', key: new Uint8Array(32) },
  });
  assert(opened.ok);
  store = opened.value;
});
after(() => {
  store.close();
  rmSync(folder, { recursive: true });
});

/** Ciphertexts are as long as their contents. */
const suite: Pick<E2eeSuite, 'name' | 'local' | 'encryptFor' | 'startSession' | 'readIdentity'> = {
  name: 'signal-1',
  local: own,
  async encryptFor(targets: readonly EncryptTarget[], commit) {
    const ciphertexts = targets.flatMap(({ to, devices, content }) =>
      devices.map(({ deviceId }) => ({
        deviceId,
        registrationId: 7,
        to,
        kind: 'session' as const,
        bytes: Uint8Array.from(content),
      })),
    );
    const identities = new Map(targets.map(({ to }) => [to, 'the key in force']));
    const encrypted = { ciphertexts, identities, changes: [] };
    commit(encrypted);
    return { ok: true, value: encrypted };
  },
  startSession: () => assert.fail('there are sessions with everybody'),
  readIdentity: () => assert.fail('there are sessions with everybody'),
};

function play(devices: number): { readonly outbox: Outbox; readonly sent: Sending[]; readonly ids: string[] } {
  const sent: Sending[] = [];
  const ids: string[] = [];
  const request: Request = async () =>
    element(
      'manifest',
      NS_KEYS,
      {},
      Array.from({ length: devices }, (_, i) => element('device', NS_KEYS, { id: String(i + 1), registration: '7' })),
    );
  const lists = new DeviceLists({
    store,
    suite: { local: own, readIdentity: async () => ({ ok: false, error: { code: 'unknown-identity' } }) },
    domain: 'citadel.example',
    clock: systemClock,
    request,
    ownIdentityKey: async () => new Uint8Array(33),
    emit: () => undefined,
  });
  const outbox = new Outbox({
    store,
    suite,
    domain: 'citadel.example',
    clock: systemClock,
    random: () => 0.5,
    request,
    lists,
    emit: () => undefined,
    send: (stanza, sending) => {
      sent.push(sending);
      ids.push(attribute(stanza, 'id')!);
      return true;
    },
  });
  return { outbox, sent, ids };
}

function add(outbox: Outbox, bytes: number): string {
  const payload = { kind: 'content', content: Buffer.alloc(bytes).toString('base64') } as const;
  const added = store.transaction(tx => outbox.add(tx, { to: person, payload, silent: false }));
  assert(added.ok);
  return added.value;
}

function waiting(): number {
  const count = store.transaction(tx => tx.count('outbox'));
  assert(count.ok);
  return count.value;
}

const settle = (): Promise<void> => new Promise(resolve => setTimeout(resolve, 20));

test('a message that is too large with a copy for each device is set aside; the next one leaves', async () => {
  for (const [devices, leaves] of [
    [4, true],
    [6, false],
  ] as const) {
    const { outbox, sent, ids } = play(devices);
    outbox.online(false);
    const large = add(outbox, 33_000);
    const small = add(outbox, 100);
    outbox.wake(person);
    while (sent.at(-1)?.id !== small) await settle();
    assert.deepEqual(ids, leaves ? [large, small] : [small]);
    outbox.delivered(sent);
    assert.equal(waiting(), 0);
    outbox.close();
  }
});

test('a message that was first in line at the end of two streams is set aside, also over a restart', async () => {
  const first = play(1);
  first.outbox.online(false);
  const bad = add(first.outbox, 100);
  const good = add(first.outbox, 100);
  first.outbox.wake(person);
  while (first.sent.length < 2) await settle();
  assert.equal(first.outbox.suspected(first.sent[0]!, 'policy-violation'), false);
  first.outbox.close();
  const second = play(1);
  second.outbox.online(false);
  while (second.sent.length < 2) await settle();
  assert.deepEqual(second.ids, [bad, good]);
  assert.equal(second.outbox.suspected(second.sent[0]!, 'policy-violation'), true);
  assert.equal(waiting(), 1);
  second.outbox.offline();
  second.outbox.online(false);
  while (second.sent.length < 3) await settle();
  assert.equal(second.ids.at(-1), good);
  second.outbox.delivered(second.sent);
  assert.equal(waiting(), 0);
  second.outbox.close();
});
