// A provider tells a gatekeeper over HTTP: signed, in order, again until it is taken, and what was refused is kept to be seen.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { verifySecurityEvent } from '@drawbridge/identity/security-event';
import { providerEvents } from '@drawbridge/identity/security-event-kinds';
import { createProvider, type Provider } from '../provider.ts';

const issuer = 'https://skylark.example';

async function open(t: TestContext) {
  const tokens: string[] = [];
  let answer = (response: ServerResponse): unknown => response.writeHead(202).end();
  const server = createServer((request, response) => {
    void request.toArray().then((chunks: Buffer[]) => {
      tokens.push(Buffer.concat(chunks).toString());
      answer(response);
    });
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const gatekeeper = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-events-'));
  let provider: Provider | undefined;
  const start = async (nowMs = Date.now, judgeMs: (() => number) | 'its own' = nowMs): Promise<Provider> => {
    await provider?.close();
    provider = await createProvider({
      nowMs,
      ...(judgeMs !== 'its own' && { expiry: { stampMs: nowMs, judgeMs } }),
      issuer,
      gatekeepers: [{ issuer: gatekeeper }],
      dataFolder: folder,
      egress: { allow: { addresses: ['127.0.0.1'], plainHttpOrigins: [gatekeeper] } },
    });
    return provider;
  };
  t.after(async () => {
    await provider?.close();
    server.closeAllConnections();
    server.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const read = async (token: string) => {
    const verdict = await verifySecurityEvent(token, {
      ...{ issuer, audience: gatekeeper, keys: provider!.keySource, nowMs: Date.now() },
      accepts: providerEvents,
      provider: issuer,
    });
    assert(verdict.kind === 'verified', JSON.stringify(verdict));
    return verdict.event;
  };
  return { tokens, start, read, gatekeeper, answerWith: (next: typeof answer) => void (answer = next) };
}

async function until(done: () => boolean): Promise<void> {
  for (let i = 0; i < 500 && !done(); i++) await new Promise(resolve => setTimeout(resolve, 20));
  assert(done(), 'in time');
}

test('what happened is told in order, and says what it is', async t => {
  const { tokens, start, read, gatekeeper } = await open(t);
  const provider = await start();
  await provider.sendEvent({ kind: 'account-disabled', identifier: 'mia', reason: 'hijacking' });
  await provider.sendEvent({ kind: 'identifier-changed', identifier: 'mia', newIdentifier: 'mia.new' });
  await provider.sendEvent({ kind: 'credential-compromise', identifier: 'mia', credential: 'password' });
  await provider.sendEvent({ kind: 'keys-compromised', reason: 'a laptop' }, [gatekeeper]);
  await until(() => tokens.length === 4 && provider.events.report().waiting.get(gatekeeper) === 0);
  const events = await Promise.all(tokens.map(read));
  assert.deepEqual(
    events.filter(({ subject }) => subject === 'mia').map(({ payload }) => payload),
    [{ reason: 'hijacking' }, { 'new-value': 'mia.new' }, { credential_type: 'password' }],
  );
  const [keys] = events.filter(({ subject }) => subject === issuer);
  assert.deepEqual([keys?.event, keys?.payload], ['urn:drawbridge:event:keys-compromised', { reason: 'a laptop' }]);
});

test('what no gatekeeper would take is refused at once, and nothing is kept', async t => {
  const { tokens, start, gatekeeper } = await open(t);
  const provider = await start();
  const refused = { name: 'Error', code: 'notice-refused' };
  await assert.rejects(provider.sendEvent({ kind: 'account-purged', identifier: 'a\n' }), refused);
  const renamed = { kind: 'identifier-changed', identifier: 'mia', newIdentifier: '' } as const;
  await assert.rejects(provider.sendEvent(renamed), refused);
  await assert.rejects(provider.sendEvent({ kind: 'keys-compromised', reason: 'a'.repeat(501) }), refused);
  await assert.rejects(provider.sendEvent({ kind: 'keys-rotated' }, ['https://fortress.example']), {
    code: 'gatekeeper-unknown',
  });
  assert.equal(provider.events.report().waiting.get(gatekeeper), 0);
  assert.deepEqual(tokens, []);
});

test('a gatekeeper that is down is told after a restart, under the same id', async t => {
  const { tokens, start, read, gatekeeper, answerWith } = await open(t);
  answerWith(response => response.writeHead(503).end());
  const provider = await start();
  await provider.sendEvent({ kind: 'account-purged', identifier: 'mia' });
  await until(() => tokens.length === 1);
  answerWith(response => response.writeHead(202).end());
  const again = await start();
  await until(() => tokens.length === 2 && again.events.report().waiting.get(gatekeeper) === 0);
  const [first, second] = await Promise.all(tokens.map(read));
  assert.deepEqual([second?.jti, second?.occurredAtMs], [first?.jti, first?.occurredAtMs]);
});

test('what is refused is kept to be seen and told again; a suspension, and keys that are not at hand there, are waited for', async t => {
  const { tokens, start, gatekeeper, answerWith } = await open(t);
  const refuse = (err: string) => (response: ServerResponse) =>
    response.writeHead(400, { 'content-type': 'application/json' }).end(JSON.stringify({ err, description: 'no' }));
  answerWith(refuse('invalid_request'));
  const provider = await start();
  await provider.sendEvent({ kind: 'account-purged', identifier: 'mia' });
  await until(() => provider.events.report().dead.length === 1);
  const [dead] = provider.events.report().dead;
  assert.deepEqual([dead?.subject, dead?.reason], ['mia', 'invalid_request']);
  answerWith(refuse('access_denied'));
  assert.equal(await provider.events.retryDead(), 1);
  await until(() => tokens.length === 2);
  answerWith(refuse('authentication_failed'));
  await until(() => tokens.length === 3);
  assert.deepEqual(provider.events.report().dead, []);
  answerWith(response => response.writeHead(202).end());
  await until(() => provider.events.report().waiting.get(gatekeeper) === 0);
});

test('what happens under a new name waits for the rename, and a name is free before it is given', async t => {
  const { tokens, start, read, gatekeeper, answerWith } = await open(t);
  const held: ServerResponse[] = [];
  answerWith(response => held.push(response));
  const provider = await start();
  await provider.sendEvent({ kind: 'identifier-changed', identifier: 'mia', newIdentifier: 'mia.old' });
  await provider.sendEvent({ kind: 'identifier-changed', identifier: 'noa', newIdentifier: 'mia' });
  await provider.sendEvent({ kind: 'account-disabled', identifier: 'mia' });
  await provider.sendEvent({ kind: 'credential-compromise', identifier: 'mia.old', credential: 'password' });
  await provider.sendEvent({ kind: 'account-disabled', identifier: 'ben' });
  const rounds: string[][] = [];
  for (const count of [2, 4, 5]) {
    await until(() => tokens.length === count);
    // What would go ahead has had the time to.
    await new Promise(resolve => setTimeout(resolve, 200));
    const events = await Promise.all(tokens.slice(rounds.flat().length).map(read));
    rounds.push(events.map(({ subject, payload }) => `${subject} ${JSON.stringify(payload)}`).toSorted());
    for (const response of held.splice(0)) response.writeHead(202).end();
  }
  await until(() => provider.events.report().waiting.get(gatekeeper) === 0);
  assert.deepEqual(rounds, [
    ['ben {}', 'mia {"new-value":"mia.old"}'],
    ['mia.old {"credential_type":"password"}', 'noa {"new-value":"mia"}'],
    ['mia {}'],
  ]);
});

test('a clock that is set back by a minute makes nothing older than what was told before; by more, it is the clock', async t => {
  const { tokens, start, read } = await open(t);
  let wrongByMs = 0;
  const provider = await start(() => Date.now() + wrongByMs);
  const tell = async (kind: 'account-enabled' | 'account-disabled'): Promise<number> => {
    const count = tokens.length;
    await provider.sendEvent({ kind, identifier: 'mia' });
    await until(() => tokens.length > count);
    return (await read(tokens.at(-1)!)).occurredAtMs;
  };
  const enabledMs = await tell('account-enabled');
  wrongByMs = -50_000;
  assert.equal(await tell('account-disabled'), enabledMs);
  wrongByMs = -500_000;
  assert.ok((await tell('account-disabled')) < enabledMs - 400_000);
});

test('what waits is given up when its time was believed to go by, not when the clock says so', async t => {
  const { tokens, start, gatekeeper, answerWith } = await open(t);
  answerWith(response => response.writeHead(503).end());
  let aheadMs = 0;
  let believedMs = 0;
  const provider = await start(
    () => Date.now() + aheadMs,
    () => Date.now() + believedMs,
  );
  const standing = () => {
    const { waiting, dead } = provider.events.report();
    return [waiting.get(gatekeeper), dead.length];
  };
  await provider.sendEvent({ kind: 'account-disabled', identifier: 'mia' });
  await until(() => tokens.length === 1);
  aheadMs = 64 * 365 * 86_400_000;
  await until(() => tokens.length === 2);
  await new Promise(resolve => setTimeout(resolve, 200));
  assert.deepEqual(standing(), [1, 0]);
  believedMs = 72 * 3_600_000 + 1;
  await until(() => standing()[1] === 1);
  assert.deepEqual(standing(), [0, 1]);
});

test('by a clock that is not believed gatekeepers are told the time that is, ahead or behind', async t => {
  const { tokens, start, read } = await open(t);
  const dayMs = 86_400_000;
  let wrongMs = 0;
  const provider = await start(() => Date.now() + wrongMs, 'its own');
  for (const [i, ms] of [400 * dayMs, -400 * dayMs].entries()) {
    wrongMs = ms;
    await provider.sendEvent({ kind: 'account-disabled', identifier: 'mia' });
    await until(() => tokens.length === i + 1);
    // Its token is young, or it would not be read.
    const { occurredAtMs } = await read(tokens[i]!);
    assert.ok(Math.abs(occurredAtMs - Date.now()) < 60_000);
  }
});
