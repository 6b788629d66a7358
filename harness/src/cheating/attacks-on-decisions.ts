// Attacks that end before a person, who decides: what of it happens before they do, and what after.
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { attribute, type Element } from '@drawbridge/wire/element';
import type { ClientEvent } from '@drawbridge/client';
import type { Attack } from './attack.ts';
import { type CheatingNetwork, type Person, until } from './network.ts';
import { flipped } from './stanzas.ts';

const isAskedAgain = (event: ClientEvent) =>
  (event.kind === 'message' && event.message.notice?.kind === 'asked-again') || undefined;

/**
 * A message to Bob, from this full JID, is kept back while he renews his identity, and spoiled when it comes: his device, an
 * honest one, asks for it under the fresh key.
 */
export async function keptBack(
  network: CheatingNetwork,
  author: string,
  bob: Person,
  say: () => Promise<unknown>,
): Promise<void> {
  const second = await network.furtherDevice(bob);
  await second.client.disconnect();
  let kept: Element | undefined;
  network.gatekeeper.lies.deliver = (el, who) => {
    if (who !== bob.jid || attribute(el, 'from') !== author) return [el];
    kept ??= el;
    return attribute(el, 'id') === attribute(kept, 'id') ? [] : [el];
  };
  await say();
  await until(() => kept !== undefined, 'it is on its way');
  await bob.client.devices.remove(second.client.me!.deviceId);
  // What is sent again has the same id.
  network.gatekeeper.lies = {};
  network.gatekeeper.give(bob.jid, flipped(kept!));
  await second.client.close();
  rmSync(join(network.folder, 'people', `${second.name.identifier}-second`), { recursive: true });
}

export const decisions: readonly Attack[] = [
  {
    name: 'a message is spoiled while its reader renews the identity: it goes to the fresh key when a person says so',
    permitted: ['told'],
    async play(network) {
      const anna = await network.person('anna');
      const bob = await network.person('bob');
      await anna.say(bob, 'hello');
      await bob.sees('hello');
      await bob.say(anna, 'hello Anna');
      await anna.sees('hello Anna');
      await anna.verify(bob);
      const before = await anna.client.identities.get({ interopId: bob.id });
      await keptBack(network, anna.jid, bob, () => anna.say(bob, 'kept back'));
      await anna.told(
        event => (event.kind === 'identity' && event.identity.kind === 'identity-changed') || undefined,
        'Bob has another key',
      );
      const { pending } = await anna.client.identities.get({ interopId: bob.id });
      await anna.client.identities.accept({ interopId: bob.id }, pending!.identityKey);
      await anna.told(isAskedAgain, 'Bob asks for what was not sent to this key');
      await anna.say(bob, 'behind it');
      await bob.sees('behind it');
      assert(!bob.shown.some(({ text }) => text === 'kept back'), 'not before Anna says so');
      const [request] = anna.client.resends.list();
      assert.equal(request?.fingerprint, pending!.fingerprint);
      const rows = await anna.client.chats.messages({ chat: { interopId: bob.id }, limit: 50 });
      assert.equal(rows.find(({ message }) => message.id === request.messageId)?.message.text, 'kept back');
      // A request under the earlier key is nobody's any more.
      const former = { ...request, fingerprint: before.fingerprint };
      await assert.rejects(anna.client.resends.release(former), { code: 'untrusted-identity' });
      await anna.client.resends.release(request);
      await bob.sees('kept back');
      assert.deepEqual(anna.client.resends.list(), []);
      await assert.rejects(anna.client.resends.release(request), { code: 'unknown-message' });
      return 'told';
    },
  },
];
