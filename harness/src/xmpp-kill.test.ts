// The gatekeeper is killed (kill -9) while raw clients send: what the sender saw counted in `<a h/>` is there afterwards,
// in order, for a recipient that was away and for one that was connected and acknowledged nothing.
import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { attribute } from '@drawbridge/wire/element';
import { ciphertextFor } from './raw-network.ts';
import type { ChildPerson, ChildReport } from './raw-network-child.ts';
import { RawXmpp, type RawTarget } from './raw-xmpp.ts';

type Running = {
  readonly target: RawTarget;
  readonly anna: ChildPerson;
  readonly bob: ChildPerson;
  readonly login: (who: ChildPerson) => Promise<RawXmpp>;
  readonly kill: () => Promise<void>;
};

async function start(t: TestContext, folder: string): Promise<Running> {
  const file = fileURLToPath(new URL('./raw-network-child.ts', import.meta.url));
  const child: ChildProcess = fork(file, [folder], { execArgv: ['--conditions=drawbridge-source'] });
  const reportOf = async (): Promise<ChildReport> => {
    const { promise, resolve, reject } = Promise.withResolvers<ChildReport>();
    const ended = (): void => reject(new Error('the gatekeeper ended'));
    child.once('message', resolve);
    child.once('exit', ended);
    return await promise.finally(() => child.off('exit', ended));
  };
  const kill = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise(resolve => child.once('exit', resolve));
    child.kill('SIGKILL');
    await gone;
  };
  t.after(kill);
  const ready = await reportOf();
  assert(ready.kind === 'ready');
  const [anna, bob] = ready.people as [ChildPerson, ChildPerson];
  return {
    target: ready.target,
    anna,
    bob,
    kill,
    async login(who) {
      child.send(who.identifier);
      const answer = await reportOf();
      assert(answer.kind === 'proof');
      return await RawXmpp.login(ready.target, 'direct', answer.proof);
    },
  };
}

const message = (bob: ChildPerson, id: number): string =>
  `<message xmlns='jabber:client' to='${bob.bareJid}' id='${id}' type='chat'>` +
  `<envelope xmlns='urn:drawbridge:e2ee:1' suite='signal-1' from-device='1'>${ciphertextFor(1, 300)}</envelope></message>`;

test('what was acknowledged before kill -9 is delivered after it', { timeout: 120_000 }, async t => {
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-kill-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  let next = 0;
  for (let round = 0; round < 6; round++) {
    const gatekeeper = await start(t, folder);
    const bobIsThere = round % 2 === 1;
    const to = bobIsThere ? await gatekeeper.login(gatekeeper.bob) : undefined;
    const from = await gatekeeper.login(gatekeeper.anna);
    const first = next;
    let acknowledged = 0;
    const giveUpAtMs = performance.now() + 200 + round * 60;
    try {
      while (performance.now() < giveUpAtMs) {
        for (let i = 0; i < 20; i++) from.send(message(gatekeeper.bob, next++));
        acknowledged = await from.acknowledged();
        if (acknowledged > 40 && performance.now() > giveUpAtMs - 20) {
          // In the midst of a batch that nobody has acknowledged yet.
          for (let i = 0; i < 20; i++) from.send(message(gatekeeper.bob, next++));
          from.request();
        }
      }
    } finally {
      await gatekeeper.kill();
    }
    // A last count may have left before the process was killed: it counts.
    for (const el of from.inbox) if (el.name === 'a') acknowledged = Math.max(acknowledged, Number(attribute(el, 'h')));
    assert(acknowledged > 40, `${acknowledged} acknowledged in round ${round}`);
    to?.cut();

    const again = await start(t, folder);
    const bob = await again.login(again.bob);
    const expected = Array.from({ length: acknowledged }, (_, i) => String(first + i));
    await bob.until('what was acknowledged', () => {
      const ids = bob.inbox.filter(el => el.name === 'message').length;
      bob.acknowledge();
      return ids >= expected.length;
    });
    const received = (await bob.messages(expected.length)).map(el => attribute(el, 'id'));
    assert.deepEqual(received, expected, `round ${round}`);
    // What was not acknowledged may be there too; it is taken, so that the next round begins with nothing.
    for (let quiet = 0; quiet < 3; quiet++) {
      await bob.ping();
      if (bob.inbox.some(el => el.name === 'message')) quiet = 0;
      bob.inbox.length = 0;
      bob.acknowledge();
      await new Promise(resolve => setTimeout(resolve, 60));
    }
    await bob.end();
    await again.kill();
  }
});
