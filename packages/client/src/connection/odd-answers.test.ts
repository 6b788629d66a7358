// Every state of a client × every odd answer of a gatekeeper, on every carrier: whatever it says, the client neither spins nor
// waits for ever, its pauses grow to a minute, and the first right login is taken.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Element, element } from '@drawbridge/wire/element';
import { NS_BIND, NS_CLIENT, NS_SASL, NS_SM, NS_STREAM, NS_STREAMS, NS_TLS } from '@drawbridge/wire/namespaces';
import {
  bindSession,
  domain,
  jid,
  loginSteps,
  message,
  play,
  type Played,
  type PlayedTransport,
  settle,
} from '../testing/played-gatekeeper.ts';
import { connectionLimits } from './connection.ts';
import { reconnectionLimits } from './reconnection.ts';

/** A login takes no longer, whatever comes in it. */
const loginMs = 30_000;
const carriers = ['secured', 'starttls', 'authenticated'] as const;
type Answer = (transport: PlayedTransport) => void;

const says =
  (el: Element): Answer =>
  transport =>
    transport.element(el);
const bound = (jidText: string): Element =>
  element('iq', NS_CLIENT, { type: 'result', id: 'bind' }, [
    element('bind', NS_BIND, {}, [element('jid', NS_BIND, {}, [jidText])]),
  ]);
const streamError = (condition: string): Element => element('error', NS_STREAM, {}, [element(condition, NS_STREAMS)]);

const odd: Readonly<Record<string, Answer>> = {
  silence: () => undefined,
  'its end': ({ context }) => context.emit({ kind: 'ended' }),
  'a cut': ({ context }) => context.emit({ kind: 'disconnected' }),
  'undecodable bytes': ({ context }) => context.emit({ kind: 'undecodable' }),
  'a connection once more': ({ context }) => context.emit({ kind: 'connected' }),
  'TLS that nobody asked for': ({ context }) => context.emit({ kind: 'secured' }),
  'a header of another host': ({ context }) => context.emit({ kind: 'header', from: `not.${domain}`, version: '1.0' }),
  'a header of another version': ({ context }) => context.emit({ kind: 'header', from: domain, version: '2.0' }),
  'a stream error': says(streamError('internal-server-error')),
  'another host': says(streamError('see-other-host')),
  'no features': says(element('features', NS_STREAM)),
  'unknown features': says(element('features', NS_STREAM, {}, [element('x', 'urn:x')])),
  '<proceed/>': says(element('proceed', NS_TLS)),
  '<failure/> of TLS': says(element('failure', NS_TLS)),
  '<failure/> without a condition': says(element('failure', NS_SASL)),
  '<failure/> of a passing kind': says(element('failure', NS_SASL, {}, [element('temporary-auth-failure', NS_SASL)])),
  'a challenge': says(element('challenge', NS_SASL, {}, ['e30='])),
  'an empty <failed/>': says(element('failed', NS_SM)),
  '<failed/> with a count beyond all': says(element('failed', NS_SM, { h: '4294967295' })),
  '<resumed/> of another session': says(element('resumed', NS_SM, { previd: 'x', h: '0' })),
  '<resumed/> without a count': says(element('resumed', NS_SM, { previd: 's1' })),
  '<resumed/> with a count beyond all': says(element('resumed', NS_SM, { previd: 's1', h: '99' })),
  '<enable/>': says(element('enable', NS_SM)),
  '<enabled/> twice': transport => {
    for (let i = 0; i < 2; i++)
      if (!transport.closed) transport.element(element('enabled', NS_SM, { id: 's1', resume: 'true' }));
  },
  'a count beyond all': says(element('a', NS_SM, { h: '99' })),
  'a count that is none': says(element('a', NS_SM, { h: '-1' })),
  'an error to <bind/>': says(element('iq', NS_CLIENT, { type: 'error', id: 'bind' })),
  'a result of <bind/> without an address': says(element('iq', NS_CLIENT, { type: 'result', id: 'bind' })),
  'an address at another host': says(bound(`0-aaaaaaaaaaaaaaaaaaaaaaaaaa@not.${domain}/1`)),
  'an address that is none': says(bound('@')),
  'a stanza of another namespace': says(element('iq', 'urn:x', { type: 'result' })),
  'an element of nobody': says(element('x', 'urn:x')),
};

/** A session that is to be resumed was there before; then what the client waits for, and what led there. */
type State = { readonly name: string; readonly lead: (transport: PlayedTransport) => Promise<void> };

function statesOf(carrier: (typeof carriers)[number]): State[] {
  const steps = loginSteps[carrier];
  const login = steps.map(({ for: name }, count) => ({
    name,
    lead: async (transport: PlayedTransport) => {
      for (const { take } of steps.slice(0, count)) {
        take(transport);
        await settle();
      }
    },
  }));
  const session = (answer: Answer) => async (transport: PlayedTransport) => transport.login(answer);
  const failed = says(element('failed', NS_SM));
  return [
    ...login,
    { name: 'an answer to <resume/>', lead: session(() => undefined) },
    { name: 'an answer to <bind/>', lead: session(failed) },
    {
      name: 'an answer to <enable/>',
      lead: session(transport => {
        failed(transport);
        transport.element(bound(jid));
      }),
    },
  ];
}

/** Logs in, cuts, and gives the pause that follows. */
async function begun(carrier: (typeof carriers)[number]): Promise<{ played: Played; pause: () => number }> {
  const played = play(undefined, 0.999_999, carrier);
  const pause = (): number => {
    const { status } = played.connection;
    assert(status.kind === 'waiting', status.kind);
    played.clock.advance(status.retryInMs);
    return status.retryInMs;
  };
  played.connection.start();
  await played.last().login();
  return { played, pause };
}

/** The first right login, which binds or resumes as the client asks. */
async function rightLogin({ connection, last }: Played): Promise<void> {
  const transport = last();
  await transport.login(() => {
    if (transport.sent.some(({ name }) => name === 'resume')) transport.element(element('failed', NS_SM));
    bindSession(transport);
  });
  assert.deepEqual(connection.status, { kind: 'online', jid, resumed: false });
}

for (const carrier of carriers) {
  for (const { name: state, lead } of statesOf(carrier)) {
    for (const [name, answer] of Object.entries(odd)) {
      test(`${carrier}: waiting for ${state} × ${name}: it ends, pauses grow to a minute, and the next right login is taken`, async () => {
        const { played, pause } = await begun(carrier);
        played.last().context.emit({ kind: 'disconnected' });
        const pauses = [pause()];
        for (let i = 0; i < 9; i++) {
          const transport = played.last();
          await lead(transport);
          if (!transport.closed) answer(transport);
          if (!transport.closed) played.clock.advance(loginMs);
          assert(transport.closed, 'a login that leads to nothing ends');
          pauses.push(pause());
        }
        assert.deepEqual(pauses.slice(0, 3), [500, 1_000, 2_000]);
        const { maxPauseMs } = reconnectionLimits;
        assert.deepEqual(pauses.slice(-3), [maxPauseMs, maxPauseMs, maxPauseMs]);
        await rightLogin(played);
        // After the second answer that is none it is not asked for any more.
        const asked = played.transports.flatMap(({ sent }) => sent.filter(el => el.name === 'resume'));
        if (state === 'an answer to <resume/>') assert(asked.length <= 2, String(asked.length));
      });
    }
  }

  for (const isResumed of [false, true]) {
    for (const [name, answer] of Object.entries(odd)) {
      test(`${carrier}: online, ${isResumed ? 'resumed' : 'bound'} × ${name}: it goes on, or ends and comes back; short-lived streams are no good ones`, async () => {
        const { played, pause } = await begun(carrier);
        /** Of the session in force. */
        let acknowledged = 0;
        const login = async (): Promise<void> => {
          const transport = played.last();
          await transport.login(() => {
            const isAsked = transport.sent.some(el => el.name === 'resume');
            if (isAsked && isResumed)
              return transport.element(element('resumed', NS_SM, { previd: 's1', h: String(acknowledged) }));
            acknowledged = 0;
            if (isAsked) transport.element(element('failed', NS_SM));
            bindSession(transport);
          });
          assert.equal(played.connection.status.kind, 'online');
        };
        played.last().context.emit({ kind: 'disconnected' });
        const pauses = [pause()];
        for (let i = 0; i < 9; i++) {
          await login();
          const transport = played.last();
          answer(transport);
          if (!transport.closed) {
            // It was nothing, and the stream works.
            const handle = `sent ${i}`;
            assert.equal(played.connection.send(message(handle), handle), true);
            acknowledged++;
            transport.element(element('a', NS_SM, { h: String(acknowledged) }));
            assert.deepEqual(played.delivered.slice(-1), [handle]);
            transport.context.emit({ kind: 'disconnected' });
          }
          pauses.push(pause());
        }
        assert.deepEqual(pauses.slice(-2), [reconnectionLimits.maxPauseMs, reconnectionLimits.maxPauseMs]);
        // After a stream that lived they are short again.
        await login();
        played.clock.advance(connectionLimits.stableMs);
        if (!played.last().closed) played.last().context.emit({ kind: 'disconnected' });
        assert.equal(pause(), reconnectionLimits.firstPauseMs);
      });
    }
  }

  test(`${carrier}: a client that was replaced, or is closed while it waits for anything, does not come back`, async () => {
    for (const { lead } of statesOf(carrier)) {
      const { played, pause } = await begun(carrier);
      played.last().context.emit({ kind: 'disconnected' });
      pause();
      await lead(played.last());
      const closing = played.connection.close();
      played.clock.advance(loginMs);
      await closing;
      assert.equal(played.connection.status.kind, 'stopped');
      assert.equal(played.clock.waiting, 0);
    }
    // Taken over once it comes back, twice it does not.
    const { played, pause } = await begun(carrier);
    played.last().element(streamError('conflict'));
    pause();
    await rightLogin(played);
    played.last().element(streamError('conflict'));
    assert(played.connection.status.kind === 'stopped' && played.connection.status.error?.code === 'replaced');
    assert.equal(played.clock.waiting, 0);
  });
}
