// What a person decides on this device: the gatekeeper is told first, then their other devices; by name nobody is looked up.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeContent } from '@drawbridge/e2ee/content';
import { attribute, type Element, element } from '@drawbridge/wire/element';
import { NS_CLIENT, NS_CONSENT } from '@drawbridge/wire/namespaces';
import { writeContact } from '../directory/contact-records.ts';
import type { People } from '../directory/people.ts';
import { readUserName } from '../directory/user-name.ts';
import { ClientError } from '../errors.ts';
import type { ClientEvent } from '../events.ts';
import { Authoring } from '../history/authoring.ts';
import { standingOf } from '../history/standing.ts';
import type { Outbox } from '../outbox/outbox.ts';
import { readChat } from '../store/message-records.ts';
import { PlayedClock } from '../testing/played-clock.ts';
import { testStore } from '../testing/test-store.ts';
import { DecisionBook } from './decision-book.ts';
import { OwnDecisions } from './own-decisions.ts';

const domain = 'citadel.example';
const own = `0-${'a'.repeat(26)}`;
const doras = `1-${'d'.repeat(26)}`;
const dora = { provider: 'skylark.example', identifier: 'dora' };

/** A device; `asked`: what the gatekeeper was told; `told`: what the person's other devices are. */
async function desk(refuses = false) {
  const { store, inStore, remove } = await testStore('own-decisions');
  const asked: Element[] = [];
  const told: unknown[] = [];
  const events: ClientEvent[] = [];
  const clock = new PlayedClock();
  const emit = (event: ClientEvent): void => void events.push(event);
  const request = async (_: 'get' | 'set', payload: Element): Promise<Element | undefined> => {
    asked.push(payload);
    if (refuses) throw new ClientError('request-refused');
    return undefined;
  };
  const outbox = {
    hasRoom: () => true,
    wake: () => {},
    add: (_: unknown, { payload }: { payload: { content: string } }) => {
      const content = decodeContent(Buffer.from(payload.content, 'base64'));
      assert(content.ok && content.value.body.kind === 'device-sync');
      told.push(...(content.value.body.decisions ?? []).map(({ chat, state }) => `${chat} ${state}`));
      return 'row';
    },
    bound: (_: unknown, _to: string, content: Uint8Array) => content,
  } as unknown as Outbox;
  const authoring = new Authoring({ store, own, clock, outbox, emit });
  const people = { other: () => assert.fail('by name nobody is looked up') } as unknown as People;
  const decisions = new OwnDecisions({ authoring, outbox, people, request, domain });
  const book = new DecisionBook({ store, domain, request, outbox, authoring, clock, deliveryReceipts: true, emit });
  const standing = (): string => standingOf(inStore(tx => readChat(tx, doras)));
  const close = (): void => {
    book.close();
    remove();
  };
  return { inStore, asked, told, events, decisions, book, standing, close };
}

const words = (asked: readonly Element[]): string[] =>
  asked.map(el => [el.name, ...['jid', 'provider', 'identifier'].map(name => attribute(el, name) ?? '-')].join(' '));
const named = 'block - skylark.example dora';

test('a block by the name of somebody who is known is one of that person, on all devices', async () => {
  const at = await desk();
  at.inStore(tx => writeContact(tx, doras, readUserName(dora.provider, dora.identifier)!));
  await at.decisions.decide('block', dora);
  assert.deepEqual([words(at.asked), at.told, at.standing()], [[named], [`${doras} blocked`], 'blocked']);
  at.close();
});

test('a block by a name that leads to nobody who is known goes to the gatekeeper, by that name; its word is kept to when it tells who that is', async () => {
  const at = await desk();
  await at.decisions.decide('block', dora);
  assert.deepEqual([words(at.asked), at.told, at.events], [[named], [], []]);
  assert.equal(
    at.inStore(tx => tx.count('chat')),
    0,
    'nobody is noted',
  );
  const tell = (state: string): void => {
    const contact = element('contact', NS_CONSENT, { jid: `${doras}@${domain}`, state });
    assert(at.book.hear(element('message', NS_CLIENT, { from: domain }, [contact])));
  };
  tell('blocked');
  assert.equal(at.standing(), 'blocked');
  for (const state of ['accepted', 'request', 'none']) tell(state);
  assert.equal(at.standing(), 'blocked', 'only one of the person’s devices lifts it');
  at.inStore(tx => writeContact(tx, doras, readUserName(dora.provider, dora.identifier)!));
  await at.decisions.decide('unblock', dora);
  assert.deepEqual([at.told, at.standing()], [[`${doras} none`], 'none']);
  at.close();
});

test('what the gatekeeper refuses is not decided; a name that nobody can have is not asked about', async () => {
  const at = await desk(true);
  at.inStore(tx => writeContact(tx, doras, readUserName(dora.provider, dora.identifier)!));
  await assert.rejects(at.decisions.decide('block', dora), { code: 'request-refused' });
  assert.deepEqual([at.told, at.standing(), at.asked.length], [[], 'none', 1]);
  await assert.rejects(at.decisions.decide('block', { provider: 'not a name', identifier: 'dora' }), {
    code: 'invalid-argument',
  });
  assert.equal(at.asked.length, 1);
  at.close();
});
