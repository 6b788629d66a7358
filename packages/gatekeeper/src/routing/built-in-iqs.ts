// IQs that XMPP itself asks of a server: ping, session, roster, service discovery. Pure; knows nothing of accounts.
// Source: XEP-0199, XEP-0030, RFC 6121 section 2, RFC 3921 section 3.
import { attribute, type Element, element } from '@drawbridge/wire/element';
import {
  NS_DISCO_INFO,
  NS_DISCO_ITEMS,
  NS_E2EE,
  NS_KEYS,
  NS_PING,
  NS_ROSTER,
  NS_SESSION,
} from '@drawbridge/wire/namespaces';
import type { IqAnswer } from './iq.ts';

export function builtInAnswer(type: 'get' | 'set', payload: Element): IqAnswer {
  switch (payload.ns) {
    case NS_PING:
      return payload.name === 'ping' && type === 'get'
        ? { kind: 'result' }
        : { kind: 'error', condition: 'bad-request' };
    case NS_SESSION:
      return { kind: 'result' };
    case NS_ROSTER:
      return type === 'get' && payload.name === 'query'
        ? { kind: 'result', payload: element('query', NS_ROSTER) }
        : { kind: 'error', condition: 'not-allowed', type: 'cancel' };
    case NS_DISCO_INFO:
      if (type !== 'get' || payload.name !== 'query') break;
      if (attribute(payload, 'node') !== undefined) return { kind: 'error', condition: 'item-not-found' };
      return { kind: 'result', payload: discoInfo };
    case NS_DISCO_ITEMS:
      if (type !== 'get' || payload.name !== 'query') break;
      return { kind: 'result', payload: element('query', NS_DISCO_ITEMS) };
  }
  return { kind: 'error', condition: 'service-unavailable', type: 'cancel' };
}

const discoInfo = element('query', NS_DISCO_INFO, {}, [
  element('identity', NS_DISCO_INFO, { category: 'server', type: 'im', name: 'Drawbridge' }),
  ...[NS_DISCO_INFO, NS_DISCO_ITEMS, NS_PING, NS_E2EE, NS_KEYS].map(feature =>
    element('feature', NS_DISCO_INFO, { var: feature }),
  ),
]);
