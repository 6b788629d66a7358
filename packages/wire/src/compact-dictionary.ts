// Dictionary 1 of the compact codec: which names, namespaces and values have a token, in the order of their tokens.
// Published and frozen: a changed list is another dictionary with another number, agreed before the first stanza.
// Knows nothing of how tokens are written. Source: docs/protocol/07-compact-codec.md section 7.4, which prints it.

/** The number that both sides put into the handshake's prologue. */
export const compactDictionaryVersion = 1;

/** Namespaces; the index is the token's offset from `firstNamespaceToken`. */
export const dictionaryNamespaces: readonly string[] = [
  'jabber:client',
  'urn:xmpp:sm:3',
  'urn:ietf:params:xml:ns:xmpp-stanzas',
  'urn:drawbridge:e2ee:1',
  'urn:drawbridge:keys:1',
  'urn:drawbridge:directory:1',
  'urn:drawbridge:consent:1',
  'urn:drawbridge:devices:1',
  'urn:drawbridge:delivery:1',
  'urn:drawbridge:errors:1',
  'urn:xmpp:hints',
  'urn:xmpp:delay',
  'urn:xmpp:ping',
  'http://etherx.jabber.org/streams',
  'urn:ietf:params:xml:ns:xmpp-streams',
  'urn:ietf:params:xml:ns:xmpp-bind',
  'http://jabber.org/protocol/disco#info',
  'http://jabber.org/protocol/disco#items',
  'jabber:iq:roster',
  'urn:xmpp:blocking',
  'urn:xmpp:reporting:1',
  'urn:xmpp:csi:0',
  'urn:xmpp:extdisco:2',
];

/** Elements by namespace; tokens count through the whole table from `firstElementToken`. */
export const dictionaryElements: readonly (readonly [ns: string, names: readonly string[]])[] = [
  ['jabber:client', ['message', 'iq', 'presence', 'error', 'body', 'show', 'status', 'priority', 'thread', 'subject']],
  ['urn:xmpp:sm:3', ['r', 'a', 'enable', 'enabled', 'resume', 'resumed', 'failed']],
  [
    'urn:ietf:params:xml:ns:xmpp-stanzas',
    [
      'bad-request',
      'conflict',
      'feature-not-implemented',
      'forbidden',
      'gone',
      'internal-server-error',
      'item-not-found',
      'jid-malformed',
      'not-acceptable',
      'not-allowed',
      'not-authorized',
      'policy-violation',
      'recipient-unavailable',
      'redirect',
      'registration-required',
      'remote-server-not-found',
      'remote-server-timeout',
      'resource-constraint',
      'service-unavailable',
      'subscription-required',
      'undefined-condition',
      'unexpected-request',
      'text',
    ],
  ],
  ['urn:drawbridge:e2ee:1', ['envelope', 'ciphertext', 'device-list', 'missing', 'extra', 'stale']],
  [
    'urn:drawbridge:keys:1',
    [
      'publish',
      'count',
      'devices',
      'bundle',
      'low',
      'device',
      'identity',
      'signed-prekey',
      'last-resort-kem-prekey',
      'prekey',
      'kem-prekey',
      'public',
      'signature',
    ],
  ],
  ['urn:drawbridge:directory:1', ['lookup', 'identify']],
  ['urn:drawbridge:consent:1', ['consent', 'provider', 'opt-in', 'opt-out']],
  ['urn:drawbridge:devices:1', ['authorise', 'remove']],
  ['urn:drawbridge:delivery:1', ['silent']],
  ['urn:drawbridge:errors:1', ['envelope-required', 'retry-after', 'suite-not-admitted']],
  ['urn:xmpp:hints', ['no-store', 'store', 'no-copy', 'no-permanent-store']],
  ['urn:xmpp:delay', ['delay']],
  ['urn:xmpp:ping', ['ping']],
  ['http://etherx.jabber.org/streams', ['error', 'features']],
  [
    'urn:ietf:params:xml:ns:xmpp-streams',
    [
      'bad-format',
      'bad-namespace-prefix',
      'conflict',
      'connection-timeout',
      'host-gone',
      'host-unknown',
      'improper-addressing',
      'internal-server-error',
      'invalid-from',
      'invalid-namespace',
      'invalid-xml',
      'not-authorized',
      'not-well-formed',
      'policy-violation',
      'remote-connection-failed',
      'reset',
      'resource-constraint',
      'restricted-xml',
      'see-other-host',
      'system-shutdown',
      'undefined-condition',
      'unsupported-encoding',
      'unsupported-feature',
      'unsupported-stanza-type',
      'unsupported-version',
      'text',
    ],
  ],
  ['urn:ietf:params:xml:ns:xmpp-bind', ['bind', 'jid', 'resource']],
  ['http://jabber.org/protocol/disco#info', ['query', 'identity', 'feature']],
  ['http://jabber.org/protocol/disco#items', ['query', 'item']],
  ['jabber:iq:roster', ['query', 'item', 'group']],
  ['urn:xmpp:blocking', ['block', 'unblock', 'blocklist', 'item']],
  ['urn:xmpp:reporting:1', ['report', 'text']],
  ['urn:xmpp:csi:0', ['active', 'inactive']],
  ['urn:xmpp:extdisco:2', ['services', 'service', 'credentials']],
];

/** Attribute names; the index is the token's offset from `firstAttributeToken`. */
export const dictionaryAttributes: readonly string[] = [
  'to',
  'from',
  'id',
  'type',
  'xml:lang',
  'device',
  'registration',
  'kind',
  'suite',
  'from-device',
  'h',
  'previd',
  'resume',
  'max',
  'location',
  'stamp',
  'jid',
  'prekeys',
  'kem-prekeys',
  'provider',
  'identifier',
  'number',
  'name',
  'opted-in',
  'jkt',
  'seconds',
  'by',
  'code',
  'node',
  'var',
  'category',
  'ver',
  'subscription',
  'ask',
  'reason',
  'host',
  'port',
  'transport',
  'username',
  'password',
  'expires',
  'action',
  'restricted',
];

/** Whole attributes, name and value; the index is the token's offset from `firstWholeAttributeToken`. */
export const dictionaryWholeAttributes: readonly (readonly [name: string, value: string])[] = [
  ['type', 'chat'],
  ['type', 'normal'],
  ['type', 'headline'],
  ['type', 'groupchat'],
  ['type', 'error'],
  ['type', 'get'],
  ['type', 'set'],
  ['type', 'result'],
  ['type', 'auth'],
  ['type', 'cancel'],
  ['type', 'continue'],
  ['type', 'modify'],
  ['type', 'wait'],
  ['type', 'unavailable'],
  ['kind', 'prekey'],
  ['kind', 'session'],
  ['kind', 'plaintext-retry'],
  ['suite', 'signal-1'],
  ['xml:lang', 'en'],
  ['resume', 'true'],
  ['opted-in', 'true'],
  ['opted-in', 'false'],
];

/** Values, in text and in attributes; the index is the token's offset from `firstValueToken`. */
export const dictionaryValues: readonly string[] = [
  'true',
  'false',
  'en',
  'signal-1',
  'prekey',
  'session',
  'away',
  'chat',
  'dnd',
  'xa',
  'error',
  'client',
  'server',
  'im',
  'pc',
  'phone',
  'web',
  'bot',
  'both',
  'none',
  'from',
  'to',
  'remove',
  'stun',
  'turn',
  'turns',
  'udp',
  'tcp',
  'urn:xmpp:ping',
  'urn:xmpp:sm:3',
  'urn:xmpp:reporting:spam',
  'urn:xmpp:reporting:abuse',
  'http://jabber.org/protocol/disco#info',
  'http://jabber.org/protocol/disco#items',
];

export const firstElementToken = 0x02;
export const firstNamespaceToken = 0x01;
export const firstAttributeToken = 0x02;
export const firstWholeAttributeToken = 0x80;
export const firstValueToken = 0x90;
export const lastValueToken = 0xbf;

/** Encoding side: namespace → name → token. */
export const elementTokens: ReadonlyMap<string, ReadonlyMap<string, number>> = new Map(
  dictionaryElements.map(([ns]) => [ns, new Map<string, number>()]),
);
/** Decoding side: the name and the namespace of each element token; undefined for a byte that is not a token. */
export const elementNameOf: readonly (string | undefined)[] = Array.from({ length: 256 }, () => undefined);
export const elementNamespaceOf: readonly (string | undefined)[] = Array.from({ length: 256 }, () => undefined);

let next = firstElementToken;
for (const [ns, names] of dictionaryElements) {
  for (const name of names) {
    (elementTokens.get(ns) as Map<string, number>).set(name, next);
    (elementNameOf as (string | undefined)[])[next] = name;
    (elementNamespaceOf as (string | undefined)[])[next] = ns;
    next++;
  }
}

export const namespaceTokens: ReadonlyMap<string, number> = new Map(
  dictionaryNamespaces.map((ns, i) => [ns, firstNamespaceToken + i]),
);

const valueTokens: ReadonlyMap<string, number> = new Map(
  dictionaryValues.map((value, i) => [value, firstValueToken + i]),
);

/** No value of the dictionary is longer. */
export const longestValue = Math.max(...dictionaryValues.map(value => value.length));

/** For each length and first character whether a value has them: most strings that are none are told apart by this. */
const beginnings = Array.from({ length: longestValue + 1 }, () => new Uint8Array(128));
for (const value of dictionaryValues) beginnings[value.length]![value.charCodeAt(0)] = 1;

/** The token of a whole value, or undefined. */
export function valueToken(text: string): number | undefined {
  const { length } = text;
  if (length > longestValue || beginnings[length]![text.charCodeAt(0)] !== 1) return undefined;
  return valueTokens.get(text);
}

/** The token of an attribute's name, and the values with which the name makes one whole-attribute token. */
export type AttributeToken = { readonly token: number; readonly whole: ReadonlyMap<string, number> | undefined };

export const attributeTokens: ReadonlyMap<string, AttributeToken> = new Map(
  dictionaryAttributes.map((name, i) => {
    const whole = new Map<string, number>();
    dictionaryWholeAttributes.forEach(([owner, value], w) => {
      if (owner === name) whole.set(value, firstWholeAttributeToken + w);
    });
    return [name, { token: firstAttributeToken + i, whole: whole.size === 0 ? undefined : whole }];
  }),
);

function elementToken(ns: string, name: string): number {
  return elementTokens.get(ns)!.get(name)!;
}

/** The tokens of an enveloped message, which is written and read more often than all else together. */
export const messageTokens = {
  message: elementToken('jabber:client', 'message'),
  envelope: elementToken('urn:drawbridge:e2ee:1', 'envelope'),
  ciphertext: elementToken('urn:drawbridge:e2ee:1', 'ciphertext'),
  noStore: elementToken('urn:xmpp:hints', 'no-store'),
  silent: elementToken('urn:drawbridge:delivery:1', 'silent'),
  to: attributeTokens.get('to')!.token,
  from: attributeTokens.get('from')!.token,
  id: attributeTokens.get('id')!.token,
  device: attributeTokens.get('device')!.token,
  registration: attributeTokens.get('registration')!.token,
  fromDevice: attributeTokens.get('from-device')!.token,
  typeChat: attributeTokens.get('type')!.whole!.get('chat')!,
  typeNormal: attributeTokens.get('type')!.whole!.get('normal')!,
  suiteSignal1: attributeTokens.get('suite')!.whole!.get('signal-1')!,
  kindPrekey: attributeTokens.get('kind')!.whole!.get('prekey')!,
  kindSession: attributeTokens.get('kind')!.whole!.get('session')!,
  kindPlaintextRetry: attributeTokens.get('kind')!.whole!.get('plaintext-retry')!,
} as const;

/**
 * How elements of an enveloped message begin whose names are in no dictionary: written out, in the envelope's namespace. The
 * byte that says how many attributes and children follow is not in it.
 */
function openingOf(name: string): Uint8Array {
  const literal = 0x01;
  const letters = Array.from(name, letter => letter.charCodeAt(0));
  return Uint8Array.of(literal, namespaceTokens.get('urn:drawbridge:e2ee:1')!, name.length, ...letters);
}

export const commitmentOpening: Uint8Array = openingOf('commitment');
export const stampOpening: Uint8Array = openingOf('stamp');
