import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Element, element } from './element.ts';
import { NS_CLIENT, NS_ERRORS, NS_PING, NS_STANZAS, NS_STREAM, NS_STREAMS } from './namespaces.ts';
import {
  type StanzaErrorCondition,
  errorReply,
  parseStanzaError,
  stanzaErrorElement,
  stanzaErrorTypes,
} from './stanza-error.ts';
import {
  iqGet,
  iqResult,
  iqSet,
  messageType,
  parseIq,
  parsePresence,
  stanzaRefusalElement,
  stanzaRefusals,
} from './stanza.ts';
import { parseStreamError, streamErrorConditions, streamErrorElement } from './stream-error.ts';

const ping = element('ping', NS_PING);

test('requests, results and errors are read by the rules of RFC 6120 section 8.2.3', () => {
  const addressed = {
    id: '1',
    to: { local: '', domain: 'b.example', resource: '' },
    from: { local: 'a', domain: 'b.example', resource: '1' },
  };
  const attrs = { id: '1', to: 'b.example', from: 'a@b.example/1' };
  const error = stanzaErrorElement('item-not-found');
  assert.deepEqual(parseIq(element('iq', NS_CLIENT, { ...attrs, type: 'get' }, [ping])), {
    kind: 'request',
    type: 'get',
    payload: ping,
    ...addressed,
  });
  assert.deepEqual(parseIq(element('iq', NS_CLIENT, { ...attrs, type: 'set' }, ['\n', ping, '\n'])), {
    kind: 'request',
    type: 'set',
    payload: ping,
    ...addressed,
  });
  assert.deepEqual(parseIq(element('iq', NS_CLIENT, { ...attrs, type: 'result' })), {
    kind: 'result',
    payload: undefined,
    ...addressed,
  });
  assert.deepEqual(parseIq(element('iq', NS_CLIENT, { ...attrs, type: 'result' }, [ping])), {
    kind: 'result',
    payload: ping,
    ...addressed,
  });
  assert.deepEqual(parseIq(element('iq', NS_CLIENT, { ...attrs, type: 'error' }, [ping, error])), {
    kind: 'error',
    error: { condition: 'item-not-found', type: 'cancel', text: undefined, application: undefined },
    ...addressed,
  });
});

test('what is no IQ is refused with a code', () => {
  const cases: [Element, string][] = [
    [element('iq', 'jabber:server', { id: '1', type: 'get' }, [ping]), 'not-an-iq'],
    [element('message', NS_CLIENT, { id: '1', type: 'get' }, [ping]), 'not-an-iq'],
    [element('iq', NS_CLIENT, { type: 'get' }, [ping]), 'id-missing'],
    [element('iq', NS_CLIENT, { id: '', type: 'get' }, [ping]), 'id-refused'],
    [element('iq', NS_CLIENT, { id: '<', type: 'get' }, [ping]), 'id-refused'],
    [element('iq', NS_CLIENT, { id: '1' }, [ping]), 'type-refused'],
    [element('iq', NS_CLIENT, { id: '1', type: 'chat' }, [ping]), 'type-refused'],
    [element('iq', NS_CLIENT, { id: '1', type: 'get' }), 'payload-count'],
    [element('iq', NS_CLIENT, { id: '1', type: 'set' }, ['text']), 'payload-count'],
    [element('iq', NS_CLIENT, { id: '1', type: 'get' }, [ping, ping]), 'payload-count'],
    [element('iq', NS_CLIENT, { id: '1', type: 'result' }, [ping, ping]), 'payload-count'],
    [element('iq', NS_CLIENT, { id: '1', type: 'error' }, [ping]), 'payload-count'],
    [element('iq', NS_CLIENT, { id: '1', type: 'get', to: '@' }, [ping]), 'jid-malformed'],
    [element('iq', NS_CLIENT, { id: '1', type: 'get', from: '' }, [ping]), 'jid-malformed'],
  ];
  for (const [el, code] of cases) assert.deepEqual(parseIq(el), { kind: 'refused', code });
  assert.deepEqual(stanzaRefusalElement('jid-malformed'), stanzaErrorElement('jid-malformed', { type: 'modify' }));
  assert.equal(stanzaRefusals['payload-count'].condition, 'bad-request');
});

test('IQs that are built are read', () => {
  const request = element('iq', NS_CLIENT, { type: 'get', id: '1', to: 'b.example', from: 'a@b.example/1' }, [ping]);
  assert.deepEqual(
    iqResult(request),
    element('iq', NS_CLIENT, { type: 'result', from: 'b.example', to: 'a@b.example/1', id: '1' }),
  );
  assert.equal(parseIq(iqResult(request, ping)).kind, 'result');
  assert.equal(parseIq(iqGet('1', ping)).kind, 'request');
  assert.equal(parseIq(iqSet('1', ping, 'b.example')).kind, 'request');
});

test('presence and the types of messages', () => {
  assert.deepEqual(parsePresence(element('presence', NS_CLIENT)), {
    kind: 'presence',
    type: 'available',
    to: undefined,
    from: undefined,
  });
  const directed = parsePresence(element('presence', NS_CLIENT, { type: 'subscribe', to: 'A@b' }));
  assert.ok(directed.kind === 'presence' && directed.to?.local === 'a');
  assert.deepEqual(parsePresence(element('presence', NS_CLIENT, { type: 'available' })), {
    kind: 'refused',
    code: 'type-refused',
  });
  assert.deepEqual(parsePresence(element('presence', NS_CLIENT, { to: '' })), {
    kind: 'refused',
    code: 'jid-malformed',
  });
  assert.deepEqual(parsePresence(element('presence', NS_STREAM)), { kind: 'refused', code: 'not-presence' });
  assert.equal(messageType(element('message', NS_CLIENT)), 'normal');
  assert.equal(messageType(element('message', NS_CLIENT, { type: 'toString' })), 'normal');
  assert.equal(messageType(element('message', NS_CLIENT, { type: 'error' })), 'error');
});

test('every stanza error is read as it was written', () => {
  const application = element('retry-after', NS_ERRORS, { seconds: '3' });
  for (const condition of Object.keys(stanzaErrorTypes) as StanzaErrorCondition[]) {
    const plain = element('iq', NS_CLIENT, { type: 'error' }, [stanzaErrorElement(condition)]);
    assert.deepEqual(parseStanzaError(plain), {
      condition,
      type: stanzaErrorTypes[condition],
      text: undefined,
      application: undefined,
    });
    const full = element('iq', NS_CLIENT, { type: 'error' }, [
      stanzaErrorElement(condition, { type: 'wait', text: 'Later.', application }),
    ]);
    assert.deepEqual(parseStanzaError(full), { condition, type: 'wait', text: 'Later.', application });
  }
});

test('a strange error is still an error', () => {
  const read = (el: Element): unknown => parseStanzaError(element('iq', NS_CLIENT, { type: 'error' }, [el]));
  const expected = { condition: 'undefined-condition', type: 'cancel', text: undefined, application: undefined };
  assert.deepEqual(read(element('error', NS_CLIENT)), expected);
  assert.deepEqual(
    read(element('error', NS_CLIENT, { type: 'x' }, ['text', element('toString', NS_STANZAS)])),
    expected,
  );
  assert.equal(read(element('error', NS_STANZAS)), undefined);
});

test('an answer swaps the addresses and repeats no payload; errors and results get none', () => {
  const error = stanzaErrorElement('service-unavailable');
  const message = element('message', NS_CLIENT, { to: 'x@b', from: 'a@b/1', id: 'm', type: 'chat' }, ['secret']);
  assert.deepEqual(
    errorReply(message, undefined, error),
    element('message', NS_CLIENT, { type: 'error', from: 'x@b', to: 'a@b/1', id: 'm' }, [error]),
  );
  assert.deepEqual(
    errorReply(element('iq', NS_CLIENT, { id: '1', type: 'get' }), 'b', error),
    element('iq', NS_CLIENT, { type: 'error', from: 'b', id: '1' }, [error]),
  );
  for (const name of ['message', 'presence', 'iq'])
    assert.equal(errorReply(element(name, NS_CLIENT, { type: 'error' }), 'b', error), undefined);
  assert.equal(errorReply(element('iq', NS_CLIENT, { id: '1', type: 'result' }), 'b', error), undefined);
});

test('every stream error is read as it was written', () => {
  const application = element('x', NS_ERRORS);
  for (const condition of streamErrorConditions) {
    assert.deepEqual(parseStreamError(streamErrorElement(condition)), {
      condition,
      text: undefined,
      application: undefined,
    });
    assert.deepEqual(parseStreamError(streamErrorElement(condition, { text: 'Bye.', application })), {
      condition,
      text: 'Bye.',
      application,
    });
  }
  assert.equal(parseStreamError(element('error', NS_CLIENT)), undefined);
  assert.equal(
    parseStreamError(element('error', NS_STREAM, {}, [element('x', NS_STREAMS)]))?.condition,
    'undefined-condition',
  );
});
