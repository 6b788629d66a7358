// The gatekeeper's login machine: every state with every input, whole conversations as clients in the wild lead them,
// and what must never lead anywhere.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { attribute, type Element, element } from '@drawbridge/wire/element';
import { NS_BIND, NS_CLIENT, NS_SASL, NS_SM, NS_TLS } from '@drawbridge/wire/namespaces';
import * as fc from 'fast-check';
import { parseCount } from './handled-count.ts';
import { encodeOauthBearer } from './oauthbearer.ts';
import {
  maxSaslAttempts,
  type NegotiationConfig,
  type NegotiationEffect,
  type NegotiationInput,
  ServerNegotiation,
} from './server-negotiation.ts';

type Input = NegotiationInput;

const domain = 'citadel.example';
const bareJid = `1-aaaaaaaaaaaaaaaaaaaaaaaaaa@${domain}`;
const headerOf = (to: string | undefined, version: string | undefined): Input => ({
  kind: 'header',
  to,
  version,
  streamId: 'x',
});
const header = (to: string = domain): Input => headerOf(to, '1.0');
const peer = (el: Element): Input => ({ kind: 'element', element: el });
const sasl = (name: string, text?: string, attrs = {}): Input =>
  peer(element(name, NS_SASL, attrs, text === undefined ? [] : [text]));
const initial = (authorizationId?: string): string =>
  Buffer.from(
    encodeOauthBearer({ token: 'a.b.c', ...(authorizationId === undefined ? {} : { authorizationId }) }),
  ).toString('base64');
const auth = (text: string = initial()): Input => sasl('auth', text, { mechanism: 'OAUTHBEARER' });
const admitted = { kind: 'admitted', bareJid, identifier: 'anna', deviceId: 7 } as const satisfies Input;
const bindIq = (id: string | undefined = 'b1', resource?: string): Input => {
  const wanted = resource === undefined ? [] : [element('resource', NS_BIND, {}, [resource])];
  return peer(element('iq', NS_CLIENT, { type: 'set', id }, [element('bind', NS_BIND, {}, wanted)]));
};
const resume = (h = '3'): Input => peer(element('resume', NS_SM, { previd: 's1', h }));

const inputs = {
  header: header(),
  'header without to': headerOf(undefined, '1.0'),
  'header of another host': header('other.example'),
  'header without version': headerOf(domain, undefined),
  starttls: peer(element('starttls', NS_TLS)),
  secured: { kind: 'secured' },
  auth: auth(),
  'auth, other mechanism': sasl('auth', initial(), { mechanism: 'PLAIN' }),
  'auth, not base64': auth('?'),
  'auth, not OAUTHBEARER': auth('bm8='),
  'auth without text': sasl('auth', undefined, { mechanism: 'OAUTHBEARER' }),
  response: sasl('response', 'AQ=='),
  abort: sasl('abort'),
  admitted,
  refused: { kind: 'refused' },
  'not-judged': { kind: 'not-judged' },
  bind: bindIq(),
  'bind without id': peer(element('iq', NS_CLIENT, { type: 'set' }, [element('bind', NS_BIND)])),
  'another iq': peer(element('iq', NS_CLIENT, { type: 'get', id: '1' }, [element('query', 'jabber:iq:roster')])),
  message: peer(element('message', NS_CLIENT)),
  enable: peer(element('enable', NS_SM)),
  resume: resume(),
  'resume, bad count': resume('-1'),
  resumed: { kind: 'resumed', previousId: 's1', handled: 5 },
  'resume-refused': { kind: 'resume-refused' },
  'unknown element': peer(element('x', 'urn:x')),
  deadline: { kind: 'deadline' },
} satisfies Record<string, Input>;
type InputName = keyof typeof inputs;

const toSasl: InputName[] = ['header'];
const toBind: InputName[] = [...toSasl, 'auth', 'admitted', 'header'];
const states: Record<string, { carrier: NegotiationConfig['carrier']; path: InputName[] }> = {
  'in the clear': { carrier: 'starttls', path: [] },
  'starttls offered': { carrier: 'starttls', path: ['header'] },
  securing: { carrier: 'starttls', path: ['header', 'starttls'] },
  secured: { carrier: 'starttls', path: ['header', 'starttls', 'secured'] },
  'sasl offered': { carrier: 'secured', path: toSasl },
  verifying: { carrier: 'secured', path: [...toSasl, 'auth'] },
  challenged: { carrier: 'secured', path: [...toSasl, 'auth', 'refused'] },
  'header again': { carrier: 'secured', path: [...toSasl, 'auth', 'admitted'] },
  'bind offered': { carrier: 'secured', path: toBind },
  resuming: { carrier: 'secured', path: [...toBind, 'resume'] },
  bound: { carrier: 'secured', path: [...toBind, 'bind'] },
  closed: { carrier: 'secured', path: ['deadline'] },
  'compact, before its proof': { carrier: 'authenticated', path: [] },
  'compact, admitted': { carrier: 'authenticated', path: ['admitted'] },
};

/** An element in a word: its name, and what its first child is or says. */
function word(el: Element): string {
  const child = el.children[0];
  if (el.name === 'features') return `features(${el.children.map(each => (each as Element).name).join(' ')})`;
  if (typeof child === 'string') return `${el.name} ${child}`;
  const h = attribute(el, 'h');
  const detail = h ?? (child as Element | undefined)?.name;
  return detail === undefined ? el.name : `${el.name} ${detail}`;
}

/** Effects as a person would read a trace. */
function words(effects: readonly NegotiationEffect[]): string {
  return effects
    .map(effect => {
      switch (effect.kind) {
        case 'send-header':
          return 'header';
        case 'send':
          return `<${word(effect.element)}>`;
        case 'close':
          return `close ${effect.condition}`;
        case 'verify-proof':
          return `verify ${effect.token}`;
        case 'resume':
          return `resume ${effect.previousId} ${effect.handled}`;
        case 'established':
          return effect.resumed ? 'established, resumed' : 'established';
        default:
          return effect.kind;
      }
    })
    .join(', ');
}

function begin(carrier: NegotiationConfig['carrier'], path: readonly Input[] = []): ServerNegotiation {
  const negotiation = new ServerNegotiation({ domain, carrier });
  for (const input of path) negotiation.receive(input);
  return negotiation;
}

function play(negotiation: ServerNegotiation, conversation: readonly (readonly [Input, string])[]): void {
  for (const [input, expected] of conversation) assert.equal(words(negotiation.receive(input)), expected);
}

const challenge = '<challenge eyJzdGF0dXMiOiJpbnZhbGlkX3Rva2VuIn0=>';
const saslFeatures = 'header, <features(mechanisms)>';
const bindFeatures = 'header, <features(bind session sm)>';

const isHeader = (name: InputName): boolean => name.startsWith('header');
const isOutcome = (name: InputName): boolean =>
  ['secured', 'admitted', 'refused', 'not-judged', 'resumed', 'resume-refused', 'deadline'].includes(name);

/** What a state does with a header, with elements, and what else is particular to it. */
type Row = { readonly header: string; readonly element: string; readonly but?: Partial<Record<InputName, string>> };
const wrongHeaders: Partial<Record<InputName, string>> = {
  'header without to': 'header, close improper-addressing',
  'header of another host': 'header, close host-unknown',
  'header without version': 'header, close unsupported-version',
};
const silent: Row = { header: '', element: '', but: { secured: '', deadline: '' } };
const table: Record<string, Row> = {
  'in the clear': { header: 'header, <features(starttls)>', element: 'close not-authorized', but: wrongHeaders },
  'starttls offered': {
    header: 'close invalid-xml',
    element: 'close policy-violation',
    but: { starttls: '<proceed>, start-tls' },
  },
  securing: { header: 'close invalid-xml', element: 'close policy-violation', but: { secured: 'restart' } },
  secured: { header: saslFeatures, element: 'close not-authorized', but: wrongHeaders },
  'sasl offered': {
    header: 'close invalid-xml',
    element: 'close not-authorized',
    but: {
      auth: 'verify a.b.c',
      'auth, other mechanism': '<failure invalid-mechanism>',
      'auth, not base64': '<failure incorrect-encoding>',
      'auth, not OAUTHBEARER': '<failure malformed-request>',
      'auth without text': '<failure malformed-request>',
      response: '<failure malformed-request>',
      abort: '<failure aborted>',
    },
  },
  verifying: {
    header: 'close invalid-xml',
    element: 'close policy-violation',
    but: { admitted: '<success>, restart', refused: challenge, 'not-judged': '<failure temporary-auth-failure>' },
  },
  challenged: {
    header: 'close invalid-xml',
    element: 'close not-authorized',
    but: { response: '<failure not-authorized>', abort: '<failure aborted>' },
  },
  'header again': { header: bindFeatures, element: 'close not-authorized', but: wrongHeaders },
  'bind offered': {
    header: 'close invalid-xml',
    element: 'close not-authorized',
    but: {
      bind: '<iq bind>, established',
      enable: '<failed unexpected-request>',
      resume: 'resume s1 3',
      'resume, bad count': '<failed bad-request>',
    },
  },
  resuming: {
    header: 'close invalid-xml',
    element: 'close policy-violation',
    but: { resumed: '<resumed 5>, established, resumed', 'resume-refused': '<failed item-not-found>' },
  },
  bound: silent,
  closed: silent,
  // The compact listener gives no headers to the machine.
  'compact, before its proof': { header: saslFeatures, element: 'close not-authorized', but: wrongHeaders },
  'compact, admitted': {
    header: 'close invalid-xml',
    element: 'close not-authorized',
    but: {
      bind: '<iq bind>, established',
      enable: '<failed unexpected-request>',
      resume: 'resume s1 3',
      'resume, bad count': '<failed bad-request>',
    },
  },
};

for (const [state, row] of Object.entries(table)) {
  test(`every input: ${state}`, () => {
    const { carrier, path } = states[state]!;
    for (const name of Object.keys(inputs) as InputName[]) {
      const outcome = { secured: 'close internal-server-error', deadline: 'close connection-timeout' } as Record<
        string,
        string
      >;
      const ofElement = isOutcome(name) ? (outcome[name] ?? '') : row.element;
      const usual = isHeader(name) ? row.header : ofElement;
      const expected = row.but?.[name] ?? usual;
      const negotiation = begin(
        carrier,
        path.map(each => inputs[each]),
      );
      assert.equal(words(negotiation.receive(inputs[name])), expected, name);
      if (!expected.includes('close')) continue;
      // Closed is closed, whatever comes.
      for (const input of Object.values(inputs)) assert.deepEqual(negotiation.receive(input), []);
    }
  });
}

test('TCP with STARTTLS, from the first header to the bound resource', () => {
  play(begin('starttls'), [
    [header(), 'header, <features(starttls)>'],
    [inputs.starttls, '<proceed>, start-tls'],
    [inputs.secured, 'restart'],
    [header(), saslFeatures],
    [auth(), 'verify a.b.c'],
    [admitted, '<success>, restart'],
    [header(), bindFeatures],
    [bindIq(), '<iq bind>, established'],
  ]);
});

test('direct TLS and WebSocket, a refused resumption, then binding', () => {
  play(begin('secured'), [
    [header('CITADEL.example'), saslFeatures],
    [auth(), 'verify a.b.c'],
    [admitted, '<success>, restart'],
    [header(), bindFeatures],
    [resume('4294967295'), 'resume s1 4294967295'],
    [inputs['resume-refused'], '<failed item-not-found>'],
    [bindIq(), '<iq bind>, established'],
  ]);
});

test('the bound resource is the device, whatever was asked for', () => {
  for (const wanted of [undefined, '7', '8', 'phone']) {
    const negotiation = begin('secured', [header(), auth(), admitted, header()]);
    const [answer] = negotiation.receive(bindIq('b', wanted));
    assert(answer?.kind === 'send');
    const jid = element('jid', NS_BIND, {}, [`${bareJid}/7`]);
    assert.deepEqual(
      answer.element,
      element('iq', NS_CLIENT, { type: 'result', id: 'b' }, [element('bind', NS_BIND, {}, [jid])]),
    );
  }
});

test('three SASL attempts, of whatever kind, then the stream closes', () => {
  const attempts: Record<string, readonly Input[]> = {
    'refused, answered with %x01 as RFC 7628 says': [auth(), { kind: 'refused' }, sasl('response', 'AQ==')],
    'refused, answered with an empty response': [auth(), { kind: 'refused' }, sasl('response')],
    'refused, answered with the token again, as strophe does': [
      auth(),
      { kind: 'refused' },
      sasl('response', initial()),
    ],
    'refused, aborted': [auth(), { kind: 'refused' }, sasl('abort')],
    malformed: [auth('bm8=')],
    'another mechanism': [sasl('auth', initial(), { mechanism: 'SCRAM-SHA-256' })],
    'aborted at once': [sasl('abort')],
  };
  for (const [name, attempt] of Object.entries(attempts)) {
    const negotiation = begin('secured', [header()]);
    for (let i = 1; i <= maxSaslAttempts; i++) {
      const last = attempt.map(input => words(negotiation.receive(input))).at(-1)!;
      assert.match(last, /^<failure [a-z-]+>/, name);
      assert.equal(last.includes('close policy-violation'), i === maxSaslAttempts, `${name}, attempt ${i}`);
    }
    assert.deepEqual(negotiation.receive(auth()), [], name);
  }
});

test('two failures and then the right token is a login', () => {
  play(begin('secured', [header()]), [
    [auth(), 'verify a.b.c'],
    [{ kind: 'refused' }, challenge],
    [sasl('response', initial()), '<failure not-authorized>'],
    [auth('bm8='), '<failure malformed-request>'],
    [auth(), 'verify a.b.c'],
    [admitted, '<success>, restart'],
  ]);
});

test('three refused requests for stream management before binding, then the stream closes', () => {
  const negotiation = begin('secured', [header(), auth(), admitted, header()]);
  play(negotiation, [
    [inputs.enable, '<failed unexpected-request>'],
    [resume(), 'resume s1 3'],
    [inputs['resume-refused'], '<failed item-not-found>'],
    [inputs.enable, '<failed unexpected-request>, close policy-violation'],
  ]);
});

test('an authorization identity must name the account', () => {
  const cases: [string | undefined, boolean][] = [
    [undefined, true],
    [bareJid, true],
    ['anna', true],
    [`anna@${domain}`, true],
    ['', false],
    ['berta', false],
    ['Anna', false],
    [`anna@${domain}/7`, false],
    [`${bareJid}/7`, false],
    ['anna@other.example', false],
    [`1-bbbbbbbbbbbbbbbbbbbbbbbbbb@${domain}`, false],
  ];
  for (const [wanted, isTaken] of cases) {
    // `a=` with nothing behind it is no GS2 header: nobody is named by it.
    const expected = wanted === '' ? '<failure malformed-request>' : 'verify a.b.c';
    const text =
      wanted === '' ? Buffer.from('n,a=,\u0001auth=Bearer a.b.c\u0001\u0001').toString('base64') : initial(wanted);
    const negotiation = begin('secured', [header()]);
    assert.equal(words(negotiation.receive(auth(text))), expected);
    if (wanted === '') continue;
    assert.equal(words(negotiation.receive(admitted)), isTaken ? '<success>, restart' : challenge, String(wanted));
    // The one who named another is not remembered as anybody.
    if (!isTaken) assert.equal(words(negotiation.receive(bindIq())), 'close not-authorized');
  }
});

test('an identity with the characters that GS2 escapes is read as it is', () => {
  const identifier = 'a=b,c';
  const negotiation = begin('secured', [header(), auth(initial(identifier))]);
  assert.equal(words(negotiation.receive({ ...admitted, identifier })), '<success>, restart');
});

test('elements that do not wait for an answer close the stream, and what was under way leads nowhere', () => {
  for (const path of [
    [header(), auth()],
    [header(), auth(), admitted, header(), resume()],
  ] satisfies Input[][]) {
    const negotiation = begin('secured', path);
    assert.equal(words(negotiation.receive(bindIq())), 'close policy-violation');
    for (const outcome of [admitted, inputs.resumed]) assert.deepEqual(negotiation.receive(outcome), []);
  }
});

test('compact: the proof comes with the handshake, binding or resumption follows without headers', () => {
  play(begin('authenticated'), [
    [admitted, ''],
    [bindIq(), '<iq bind>, established'],
  ]);
  play(begin('authenticated'), [
    [admitted, ''],
    [resume('0'), 'resume s1 0'],
    [inputs.resumed, '<resumed 5>, established, resumed'],
  ]);
});

test('nobody is bound or resumed without a proof, whatever is said in whatever order', () => {
  const fromPeer = (Object.keys(inputs) as InputName[]).filter(name => !isOutcome(name));
  fc.assert(
    fc.property(
      fc.constantFrom<NegotiationConfig['carrier']>('starttls', 'secured', 'authenticated'),
      fc.array(fc.constantFrom<InputName>(...fromPeer, 'secured', 'refused', 'resume-refused'), { maxLength: 12 }),
      (carrier, path) => {
        const negotiation = begin(carrier);
        for (const name of path) {
          for (const effect of negotiation.receive(inputs[name])) {
            assert(effect.kind !== 'established' && effect.kind !== 'resume');
          }
        }
      },
    ),
    { numRuns: 2_000 },
  );
});

test('nothing but STARTTLS leads on in the clear', () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...(Object.keys(inputs) as InputName[])), { maxLength: 8 }), path => {
      const negotiation = begin('starttls');
      for (const name of path) {
        if (name === 'secured') return;
        for (const effect of negotiation.receive(inputs[name])) assert(effect.kind !== 'verify-proof');
      }
    }),
    { numRuns: 2_000 },
  );
});

test('counts are decimal, without signs or leading zeros, below 2^32', () => {
  const cases: [string | undefined, number | undefined][] = [
    ['0', 0],
    ['7', 7],
    ['4294967295', 4_294_967_295],
    ['4294967296', undefined],
    ['99999999999', undefined],
    ['00', undefined],
    ['01', undefined],
    ['-1', undefined],
    ['+1', undefined],
    ['1.0', undefined],
    ['1e3', undefined],
    ['0x10', undefined],
    [' 1', undefined],
    ['', undefined],
    [undefined, undefined],
    ['١', undefined],
  ];
  for (const [text, count] of cases) assert.equal(parseCount(text), count, String(text));
});
