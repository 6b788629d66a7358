// What a gatekeeper says to the client's stream machine, for the tests that play one: logins and single elements.
// Knows nothing of what is tested.
import { type Element, element } from '@drawbridge/wire/element';
import { NS_BIND, NS_CLIENT, NS_SASL, NS_SM, NS_STREAM, NS_STREAMS, NS_TLS } from '@drawbridge/wire/namespaces';
import type { ClientStream, ClientStreamEffect, ClientStreamInput } from '../client-stream.ts';

export type Input = ClientStreamInput<string>;
export type Effect = ClientStreamEffect<string>;

export const domain = 'citadel.example';
export const jid = `0-aaaaaaaaaaaaaaaaaaaaaaaaaa@${domain}/1`;
export const header: Input = { kind: 'header', from: domain, version: '1.0' };
export const peer = (el: Element): Input => ({ kind: 'element', element: el });
export const features = (...children: Element[]): Input => peer(element('features', NS_STREAM, {}, children));
export const tlsFeatures = features(element('starttls', NS_TLS, {}, [element('required', NS_TLS)]));
export const saslFeatures = features(
  element('mechanisms', NS_SASL, {}, [element('mechanism', NS_SASL, {}, ['OAUTHBEARER'])]),
);
export const bindFeatures = features(element('bind', NS_BIND), element('sm', NS_SM));
export const bound = peer(
  element('iq', NS_CLIENT, { type: 'result', id: 'bind' }, [
    element('bind', NS_BIND, {}, [element('jid', NS_BIND, {}, [jid])]),
  ]),
);
export const enabled = peer(element('enabled', NS_SM, { id: 's1', resume: 'true', max: '300' }));
export const resumed = (h: number): Input => peer(element('resumed', NS_SM, { previd: 's1', h: String(h) }));
export const message = (id: string): Element => element('message', NS_CLIENT, { from: 'x@citadel.example/1', id });
export const send = (handle: string): Input => ({ kind: 'send', stanza: message(handle), handle });
export const acknowledge = (h: number): Input => peer(element('a', NS_SM, { h: String(h) }));
export const request = peer(element('r', NS_SM));
export const streamError = (condition: string): Input =>
  peer(element('error', NS_STREAM, {}, [element(condition, NS_STREAMS)]));

export const toSasl: readonly Input[] = [{ kind: 'connected' }, header, saslFeatures];
export const toSuccess: readonly Input[] = [
  ...toSasl,
  { kind: 'proof', token: 'a.b.c' },
  peer(element('success', NS_SASL)),
  header,
];
export const toEstablished: readonly Input[] = [...toSuccess, bindFeatures, bound, enabled];

export function play(stream: ClientStream<string>, inputs: readonly Input[], nowMs = 0): Effect[] {
  return inputs.flatMap(input => stream.handle(input, nowMs));
}
