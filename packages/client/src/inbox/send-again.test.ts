// Somebody asks for a stanza again: whose request is answered, with what, and whose is not.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { makeDecryptionError } from '@drawbridge/e2ee/retry';
import type { Standing } from '../history/chat-state.ts';
import { keepSent } from '../outbox/kept-sent.ts';
import { repeatId } from '../outbox/rows.ts';
import { readUnread, type UnreadRecord, writeUnread } from '../store/inbox-records.ts';
import { readChat, writeChat } from '../store/message-records.ts';
import { readSent } from '../store/outbox-records.ts';
import type { Transaction } from '../store/store.ts';
import { meet, playedDevice } from '../testing/played-device.ts';
import type { InboxContext } from './inbox-context.ts';
import { type Incoming, newFollowup } from './incoming.ts';
import { sendAgain } from './send-again.ts';

const folder = mkdtempSync(join(tmpdir(), 'drawbridge-send-again-'));
const nowMs = 1_800_000_000_000;
const annasId = `0-${'a'.repeat(26)}`;
const bobsId = `1-${'b'.repeat(26)}`;
const carlasId = `1-${'c'.repeat(26)}`;
const anna = await playedDevice(folder, annasId, () => nowMs);
const bob = await playedDevice(folder, bobsId, () => nowMs);
after(() => {
  anna.store.close();
  bob.store.close();
  rmSync(folder, { recursive: true });
});
await meet(anna, bob);

/** What Bob could not read. */
const ciphertext = await (async () => {
  const devices = [{ deviceId: 1, registrationId: bob.bundle.registrationId }];
  const encrypted = await anna.suite.encryptFor([{ to: bobsId, devices, content: randomBytes(40) }], staged =>
    assert(anna.store.transaction(tx => tx.apply(staged.changes)).ok),
  );
  assert(encrypted.ok);
  return encrypted.value.ciphertexts[0]!;
})();

type Asked = Partial<{
  /** The device of Anna's that the request is about. */
  deviceId: number;
  /** The stanza that the request holds, when it is not the one that it names. */
  about: string;
  error: Uint8Array;
  standing: Standing;
  /** Whom the stanza was for; nobody: it is not remembered. */
  to: string | undefined;
  hasRoom: boolean;
  /** Bob had been asked in that stanza for one of his. */
  unread: Omit<UnreadRecord, 'request'>;
}>;

/** Bob asks for a stanza. `added`: what leaves for it; `given`: whether its author sees that it was not read. */
function asked(how: Asked) {
  const stanzaId = randomBytes(16).toString('base64url');
  const added: unknown[] = [];
  let given = 0;
  const outbox = {
    hasRoom: () => how.hasRoom ?? true,
    add: (_: Transaction, row: { to: string; toDevice?: number; payload: { content?: string } }, id: string) => {
      added.push([row.to, row.toDevice, row.payload.content, id === repeatId(stanzaId, 1)]);
      return id;
    },
    unreadable: () => {
      given++;
      return [];
    },
  };
  const context = { outbox, clock: { nowMs: () => nowMs }, suite: anna.suite } as unknown as InboxContext;
  const { kind, bytes } = ciphertext;
  const from = { interopId: annasId, deviceId: how.deviceId ?? 1 };
  const error = makeDecryptionError({ from, kind, bytes, stanzaId: how.about ?? stanzaId });
  assert(error.ok);
  const { to = 'to' in how ? undefined : bobsId } = how;
  const result = anna.store.transaction(tx => {
    writeChat(tx, chatAs(readChat(tx, bobsId), how.standing ?? 'none'));
    const addressed = { identity: 'bobs key', devices: [1] };
    if (to !== undefined) keepSent(tx, stanzaId, { to, content: 'said', sentAtMs: nowMs, addressed });
    if (how.unread !== undefined) writeUnread(tx, { ...how.unread, request: stanzaId });
    const incoming = { ciphertext: { from: { interopId: bobsId, deviceId: 1 } } } as Incoming;
    const request = { stanzaId, decryptionError: how.error ?? error.value, identity: 'bobs key' };
    sendAgain(context, tx, incoming, request, newFollowup());
    const times = readSent(tx, stanzaId, nowMs)?.askedBy?.[1] ?? 0;
    const unread = how.unread && readUnread(tx, how.unread.from, how.unread.stanzaId);
    return { added, given, times, repeats: unread?.requestRepeats };
  });
  assert(result.ok, result.ok ? '' : result.error.message);
  return result.value;
}

function chatAs(chat: ReturnType<typeof readChat>, standing: Standing): ReturnType<typeof readChat> {
  const { contact: _, ...rest } = chat;
  return standing === 'none' ? rest : { ...rest, contact: standing };
}

const nothing = { added: [], given: 0, times: 0, repeats: undefined };
const again = { added: [[bobsId, 1, 'said', true]], given: 0, times: 1, repeats: undefined };

test('what was for somebody is sent again to the device that asks', () => {
  assert.deepEqual(asked({}), again);
  assert.deepEqual(asked({ standing: 'accepted' }), again);
});

test('a request that is not about this stanza of this device is answered by nothing', () => {
  assert.deepEqual(asked({ deviceId: 2 }), nothing);
  assert.deepEqual(asked({ about: 'another' }), nothing);
  assert.deepEqual(asked({ error: randomBytes(60) }), nothing);
});

test('whoever waits for a decision, or was refused, gets nothing again and learns nothing, also of what is not remembered', () => {
  for (const standing of ['request', 'denied', 'blocked'] as const) {
    assert.deepEqual(asked({ standing }), nothing, standing);
    assert.deepEqual(asked({ standing, to: undefined }), nothing, standing);
  }
});

test('what was for somebody else is not sent to whoever asks, and does not count as unread', () => {
  assert.deepEqual(asked({ to: carlasId }), nothing);
});

test('an outbox without room sends nothing again, and counts nothing', () => {
  assert.deepEqual(asked({ hasRoom: false }), nothing);
});

test('what is not remembered any more has not been read: its author sees it', () => {
  assert.deepEqual(asked({ to: undefined }), { ...nothing, given: 1 });
});

test('a request of this device that was not read is made again, and no message counts as unread for it', () => {
  const from = `${bobsId}/1`;
  const unread = { from, stanzaId: 'bobs', sinceMs: nowMs, requestContent: 'asks', requestRepeats: 0 };
  const made = { added: [[bobsId, 1, 'asks', true]], given: 0, times: 0, repeats: 1 };
  assert.deepEqual(asked({ to: undefined, unread }), made);
  // Three times, as any other stanza; then it is left to Bob to send it again.
  for (const [requestRepeats, repeats] of [
    [2, 3],
    [3, 4],
  ] as const) {
    const last = asked({ to: undefined, unread: { ...unread, requestRepeats } });
    assert.deepEqual([last.added.length, last.given, last.repeats], [Number(repeats === 3), 0, repeats]);
  }
  // Not for another device: it was not asked.
  const elsewhere = asked({ to: undefined, unread: { ...unread, from: `${bobsId}/2`, stanzaId: 'elsewhere' } });
  assert.deepEqual([elsewhere.added, elsewhere.given], [[], 1]);
  assert.deepEqual(asked({ to: undefined, unread, hasRoom: false }).added, []);
});
