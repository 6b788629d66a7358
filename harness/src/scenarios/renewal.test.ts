// A person removes a device that is not in their hand: the identity is renewed, whoever compared it is told, and whatever
// stops the device on the way, it is one identity or the other. Real SDKs, a real gatekeeper.
import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { cpSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Client, ClientEvent, Message, ProofSource } from '@drawbridge/client';
import { ProviderSession } from '@drawbridge/client/account/provider-session';
import { type SdkNetwork, startSdkNetwork } from './sdk-network.ts';

let network: SdkNetwork;
before(async () => {
  network = await startSdkNetwork();
});
after(() => network.close());

type Seen = { readonly texts: string[]; readonly events: ClientEvent[] };

/** Everything that this client is told from now on. */
function watch(client: Client): Seen {
  const seen: Seen = { texts: [], events: [] };
  const take = ({ text }: Message): void => void seen.texts.push(text);
  void (async () => {
    for await (const message of client.messages()) take(message);
  })();
  void (async () => {
    for await (const event of client.events()) seen.events.push(event);
  })();
  return seen;
}

async function until(isSo: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const endMs = performance.now() + 60_000;
  while (!(await isSo())) {
    if (performance.now() > endMs) assert.fail(`it never came: ${what}`);
    await new Promise(resolve => setTimeout(resolve, 10));
  }
}

async function person(identifier: string, at: 'citadel' | 'skylark', proofSource?: ProofSource): Promise<Client> {
  const client = await network.open(identifier, at, proofSource === undefined ? {} : { proofSource });
  await client.account.enlist();
  await client.connect();
  if (at === 'citadel') await client.account.optIn('skylark.example');
  return client;
}

async function furtherDevice(client: Client, identifier: string, device: string): Promise<Client> {
  const further = await network.open(identifier, 'skylark', { device });
  const { code } = await further.devices.beginLink();
  const link = await further.devices.openLink(await (await client.devices.readLink(code)).confirm());
  await link.confirm();
  await further.connect();
  return further;
}

/** Anna of skylark with two devices, and Bob of citadel who has compared her safety number. */
async function friends(name: string, proofSource?: ProofSource) {
  const bob = await person(`bob-${name}`, 'citadel');
  const anna = await person(`anna-${name}`, 'skylark', proofSource);
  const toBob = { provider: 'citadel.example', identifier: `bob-${name}` };
  const toAnna = { provider: 'skylark.example', identifier: `anna-${name}` };
  const [ofBob, ofAnna] = [watch(bob), watch(anna)];
  await anna.send(toBob, { text: 'hello' });
  await until(() => ofBob.texts.includes('hello'), 'the first message');
  await bob.send(toAnna, { text: 'hello yourself' });
  await until(() => ofAnna.texts.includes('hello yourself'), 'the answer');
  await bob.identities.setVerified(toAnna, (await bob.identities.get(toAnna)).identityKey);
  await anna.identities.setVerified(toBob, (await anna.identities.get(toBob)).identityKey);
  const stolen = await furtherDevice(anna, `anna-${name}`, '-stolen');
  return { anna, bob, stolen, ofAnna, ofBob, toAnna, toBob };
}

const changed = (seen: Seen) =>
  seen.events.find(event => event.kind === 'identity' && event.identity.kind === 'identity-changed');

const notices = (client: Client) => client.notices.list().map(({ change }) => change);

/** Runs `at` when a request for this path has come to a server of this process, or `after` its answer was written. */
function onRequest(
  path: RegExp,
  at: 'http.server.request.start' | 'http.server.response.finish',
  run: (socket: Socket) => void,
) {
  const look = (message: unknown): void => {
    const { request, socket } = message as { request: IncomingMessage; socket: Socket };
    if (path.test(request.url ?? '')) run(socket);
  };
  subscribe(at, look);
  return () => unsubscribe(at, look);
}

test('a device that is removed is nobody’s any more, and contacts who had compared the key are asked', async () => {
  const { anna, bob, stolen, ofAnna, ofBob, toAnna, toBob } = await friends('robbed');
  const tablet = await furtherDevice(anna, 'anna-robbed', '-tablet');
  const before = (await bob.identities.safetyNumber(toAnna)).digits;
  const ofStolen = watch(stolen);
  let written: Promise<unknown> | undefined;
  // While the identity is renewed, Anna has no stream: what is written to her waits, and what she writes waits too.
  const stop = onRequest(/\/identity$/, 'http.server.request.start', () => {
    written ??= anna.send(toBob, { text: 'written in between' });
  });
  const { linkAgain } = await anna.devices.remove(2);
  stop();
  await written;
  assert.deepEqual(linkAgain, [3]);
  assert.equal(anna.me!.deviceId, 1);
  assert.deepEqual(
    (await anna.devices.list()).map(each => each.deviceId),
    [1],
  );
  assert(notices(anna).some(change => change.kind === 'identity-renewed' && change.linkAgain.join() === '3'));
  assert(ofAnna.events.some(event => event.kind === 'devices' && event.change.kind === 'identity-renewed'));

  // The thief has the folder, its keys, and the password.
  await until(
    () => ofStolen.events.some(event => event.kind === 'status' && event.status.kind !== 'online'),
    'its stream ends',
  );
  await assert.rejects(stolen.account.status(), { code: 'proof-refused' });
  await assert.rejects(stolen.account.withdraw(), { code: 'proof-refused' });
  await assert.rejects(tablet.account.status(), { code: 'proof-refused' });

  // Bob had compared: nothing is shown and nothing is sent before he says so.
  await until(() => changed(ofBob) !== undefined, 'Bob is told that the key changed');
  assert(notices(bob).some(change => change.kind === 'identity-changed' && change.needsAcceptance));
  assert(!ofBob.texts.includes('written in between'));
  const asked = await bob.send(toAnna, { text: 'is it you?' });
  const stateOf = async (id: string) =>
    (await bob.chats.messages({ limit: 100 })).find(each => each.message.id === id)?.message.state;
  await until(async () => (await stateOf(asked.id)) === 'held', 'it is held');
  const { pending } = await bob.identities.get(toAnna);
  await bob.identities.accept(toAnna, pending!.identityKey);
  await until(() => ofBob.texts.includes('written in between'), 'what Anna wrote');
  await until(() => ofAnna.texts.includes('is it you?'), 'what Bob wrote');
  const number = (await bob.identities.safetyNumber(toAnna)).digits;
  assert.notEqual(number, before);
  assert.equal(number, (await anna.identities.safetyNumber(toBob)).digits);
  assert.equal((await anna.identities.get(toBob)).verified, true, 'Bob has the key that Anna compared');
  assert(!ofStolen.texts.includes('is it you?'));
  for (const client of [anna, bob, stolen, tablet]) await client.close();
});

test('what contacts had sent under the identity before is read under the new one', async () => {
  const account = { url: network.provider, identifier: 'anna-mailed', password: 'the password of anna-mailed' };
  const session = new ProviderSession(account, { ca: readFileSync(network.ca, 'utf8') });
  await session.signUp();
  let meanwhile = async (): Promise<void> => {};
  const { anna, bob, stolen, ofAnna, toAnna } = await friends('mailed', async request => {
    if (request.transport === 'http') await meanwhile();
    return await session.fetchProof(request);
  });
  // Anna has no stream any more: the mail is accepted, and kept, before the gatekeeper hears of the fresh key.
  let isRenewing = false;
  const events = watch(anna).events;
  meanwhile = async () => {
    if (!isRenewing) return;
    meanwhile = async () => {};
    await until(() => events.some(event => event.kind === 'status' && event.status.kind === 'stopped'), 'no stream');
    const { id } = await bob.send(toAnna, { text: 'on its way' });
    const isSent = async () =>
      (await bob.chats.messages({ limit: 9 })).some(({ message }) => message.id === id && message.state === 'sent');
    await until(isSent, 'it is accepted');
  };
  const stop = onRequest(/^\/v1\/enlistments\/[^/]*$/, 'http.server.response.finish', () => {
    // The list of devices was the last thing that she asked before.
    isRenewing = true;
  });
  await anna.devices.remove(2);
  stop();
  await until(() => ofAnna.texts.includes('on its way'), 'what was on its way');
  for (const client of [anna, bob, stolen]) await client.close();
});

// Each is a moment in which the process of the remaining device may end.
const moments = ['no proof was given', 'the gatekeeper never got it', 'its answer was lost'] as const;
for (const moment of moments) {
  test(`a renewal that ends when ${moment} is taken up by the next start`, async () => {
    const name = `killed-${moments.indexOf(moment)}`;
    const { anna, bob, stolen, ofBob, toAnna, toBob } = await friends(name);
    const folder = join(network.folder, 'people', `anna-${name}`);
    const before = (await bob.identities.get(toAnna)).fingerprint;
    if (moment === 'its answer was lost') {
      // The folder as a process leaves it that ends here; what the running one does afterwards is thrown away.
      const stop = onRequest(/\/identity$/, 'http.server.response.finish', () => {
        cpSync(folder, `${folder}-killed`, { recursive: true });
      });
      await anna.devices.remove(2);
      stop();
      await anna.close();
      rmSync(folder, { recursive: true });
      renameSync(`${folder}-killed`, folder);
    } else {
      let isDeaf = moment === 'the gatekeeper never got it';
      const path = moment === 'no proof was given' ? /^\/v1\/ownership-proofs$/ : /\/identity$/;
      const stops = [
        // The list of devices was the last thing that she asked before.
        onRequest(/^\/v1\/enlistments\/[^/]*$/, 'http.server.response.finish', () => {
          isDeaf = true;
        }),
        onRequest(path, 'http.server.request.start', socket => {
          if (isDeaf) socket.destroy();
        }),
      ];
      try {
        await assert.rejects(anna.devices.remove(2), { code: 'unreachable' });
        assert.equal(anna.status.kind, 'waiting');
        await assert.rejects(anna.connect(), { code: 'unreachable' });
      } finally {
        for (const stop of stops) stop();
      }
      await anna.close();
    }
    // The stolen device is out already.
    await assert.rejects(stolen.account.status(), { code: 'proof-refused' });
    const again = await network.open(`anna-${name}`, 'skylark');
    const ofAgain = watch(again);
    await again.connect();
    assert(notices(again).some(change => change.kind === 'identity-renewed'));
    await again.send(toBob, { text: 'it is me' });
    await until(() => changed(ofBob) !== undefined, 'Bob is told that the key changed');
    const { pending } = await bob.identities.get(toAnna);
    assert.notEqual(pending!.fingerprint, before);
    await bob.identities.accept(toAnna, pending!.identityKey);
    await until(() => ofBob.texts.includes('it is me'), 'what Anna wrote');
    await bob.send(toAnna, { text: 'good' });
    await until(() => ofAgain.texts.includes('good'), 'what Bob wrote');
    assert.equal(
      (await bob.identities.safetyNumber(toAnna)).digits,
      (await again.identities.safetyNumber(toBob)).digits,
    );
    for (const client of [again, bob, stolen]) await client.close();
  });
}

test('a renewal that fails goes on by itself in the process that began it', async () => {
  const { anna, bob, stolen, ofAnna } = await friends('patient');
  let isDeaf = false;
  const stops = [
    onRequest(/^\/v1\/enlistments\/[^/]*$/, 'http.server.response.finish', () => {
      isDeaf = true;
    }),
    onRequest(/\/identity$/, 'http.server.request.start', socket => {
      if (isDeaf) socket.destroy();
    }),
  ];
  await assert.rejects(anna.devices.remove(2), { code: 'unreachable' });
  for (const stop of stops) stop();
  await until(() => anna.status.kind === 'online', 'a stream under the fresh identity');
  assert(ofAnna.events.some(event => event.kind === 'devices' && event.change.kind === 'identity-renewed'));
  for (const client of [anna, bob, stolen]) await client.close();
});

test('a process that ends after any write of a renewal goes on with it', { timeout: 300_000 }, async () => {
  const { anna, bob, stolen, ofBob, toAnna, toBob } = await friends('killed-anywhere');
  const folder = join(network.folder, 'people', 'anna-killed-anywhere');
  // What lies on the disk after each write, from the first question for a proof: until then nothing was written but the keys
  // that are kept aside.
  let isBegun = false;
  let last = '';
  const left: string[] = [];
  const look = (): void => {
    const now = readdirSync(folder)
      .map(name => statSync(join(folder, name), { bigint: true }))
      .map(({ size, mtimeNs }) => `${size} ${mtimeNs}`)
      .join();
    if (!isBegun || now === last) return;
    last = now;
    left.push(`${folder}-${left.length}`);
    cpSync(folder, left.at(-1)!, { recursive: true });
  };
  let isListed = false;
  const stops = [
    onRequest(/^\/v1\/enlistments\/[^/]*$/, 'http.server.response.finish', () => {
      isListed = true;
    }),
    onRequest(/^\/v1\/ownership-proofs$/, 'http.server.request.start', () => {
      isBegun ||= isListed;
    }),
  ];
  let isDone = false;
  const removal = anna.devices.remove(2).finally(() => {
    isDone = true;
  });
  while (!isDone) {
    look();
    await new Promise(resolve => setImmediate(resolve));
  }
  await removal;
  for (const stop of stops) stop();
  await anna.close();
  assert(left.length >= 2, 'before and after the gatekeeper’s answer at least');
  for (const [at, copy] of left.entries()) {
    rmSync(folder, { recursive: true });
    renameSync(copy, folder);
    const again = await network.open('anna-killed-anywhere', 'skylark');
    await again.connect();
    assert(
      notices(again).some(change => change.kind === 'identity-renewed'),
      `after write ${at}`,
    );
    await again.send(toBob, { text: `after write ${at}` });
    if (at === 0) {
      await until(() => changed(ofBob) !== undefined, 'Bob is asked');
      const { pending } = await bob.identities.get(toAnna);
      await bob.identities.accept(toAnna, pending!.identityKey);
    }
    await until(() => ofBob.texts.includes(`after write ${at}`), `what Anna says after write ${at}`);
    assert.equal(
      (await bob.identities.safetyNumber(toAnna)).digits,
      (await again.identities.safetyNumber(toBob)).digits,
    );
    await again.close();
  }
  for (const client of [bob, stolen]) await client.close();
});
