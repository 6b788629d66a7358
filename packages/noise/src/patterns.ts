// Handshake patterns as data: which keys are known before, and which tokens each message carries.
// Knows nothing of keys or state; the handshake machine interprets the table.
// Source: Noise Protocol Framework revision 34, sections 7, 9, 10.2 and 18.1 (deferred patterns), in canonical form.

export type Token = 'e' | 's' | 'ee' | 'es' | 'se' | 'ss' | 'psk';
export type KeyToken = 'e' | 's';

export type HandshakePattern = {
  /** As in the protocol name, modifiers included: `XXfallback`, `NNpsk0+psk2`. */
  readonly name: string;
  /** Public keys of each side that the other knows before the first message. */
  readonly initiatorPre: readonly KeyToken[];
  readonly responderPre: readonly KeyToken[];
  /** The initiator sends the first message, then they take turns. */
  readonly messages: readonly (readonly Token[])[];
  /** One message and then transport messages of the initiator only (section 7.4). */
  readonly oneWay: boolean;
  /** Number of pre-shared keys, each used once, in the order of their tokens (section 9). */
  readonly psks: number;
};

// Known of the initiator, known of the responder, then the messages in turn.
const basePatterns: Readonly<Record<string, readonly [string, string, ...string[]]>> = {
  N: ['', 's', 'e es'],
  K: ['s', 's', 'e es ss'],
  X: ['', 's', 'e es s ss'],

  NN: ['', '', 'e', 'e ee'],
  NK: ['', 's', 'e es', 'e ee'],
  NX: ['', '', 'e', 'e ee s es'],
  KN: ['s', '', 'e', 'e ee se'],
  KK: ['s', 's', 'e es ss', 'e ee se'],
  KX: ['s', '', 'e', 'e ee se s es'],
  XN: ['', '', 'e', 'e ee', 's se'],
  XK: ['', 's', 'e es', 'e ee', 's se'],
  XX: ['', '', 'e', 'e ee s es', 's se'],
  IN: ['', '', 'e s', 'e ee se'],
  IK: ['', 's', 'e es s ss', 'e ee se'],
  IX: ['', '', 'e s', 'e ee se s es'],

  NK1: ['', 's', 'e', 'e ee es'],
  NX1: ['', '', 'e', 'e ee s', 'es'],
  X1N: ['', '', 'e', 'e ee', 's', 'se'],
  X1K: ['', 's', 'e es', 'e ee', 's', 'se'],
  XK1: ['', 's', 'e', 'e ee es', 's se'],
  X1K1: ['', 's', 'e', 'e ee es', 's', 'se'],
  X1X: ['', '', 'e', 'e ee s es', 's', 'se'],
  XX1: ['', '', 'e', 'e ee s', 'es s se'],
  X1X1: ['', '', 'e', 'e ee s', 'es s', 'se'],
  K1N: ['s', '', 'e', 'e ee', 'se'],
  K1K: ['s', 's', 'e es', 'e ee', 'se'],
  KK1: ['s', 's', 'e', 'e ee se es'],
  K1K1: ['s', 's', 'e', 'e ee es', 'se'],
  K1X: ['s', '', 'e', 'e ee s es', 'se'],
  KX1: ['s', '', 'e', 'e ee se s', 'es'],
  K1X1: ['s', '', 'e', 'e ee s', 'se es'],
  I1N: ['', '', 'e s', 'e ee', 'se'],
  I1K: ['', 's', 'e es s', 'e ee', 'se'],
  IK1: ['', 's', 'e s', 'e ee se es'],
  I1K1: ['', 's', 'e s', 'e ee es', 'se'],
  I1X: ['', '', 'e s', 'e ee s es', 'se'],
  IX1: ['', '', 'e s', 'e ee se s', 'es'],
  I1X1: ['', '', 'e s', 'e ee s', 'se es'],
};

/** The names of all patterns without modifiers. */
export const basePatternNames: readonly string[] = Object.keys(basePatterns);

const maximumNameLength = 64;

/**
 * Reads the pattern part of a protocol name, with its modifiers, which apply from left to right (section 8).
 *
 * `fallback` turns the first message into a pre-message and the responder into the initiator (section 10.2);
 * `pskN` adds a `psk` token before message 1 (N = 0) or after message N (section 9.4).
 * Undefined for an unknown pattern or modifier, one that does not apply, and one that is repeated or out of order.
 */
export function parsePattern(name: string): HandshakePattern | undefined {
  if (name.length > maximumNameLength) return undefined;
  const match = /^([A-Z0-9]+)([a-z][a-z0-9+]*)?$/.exec(name);
  if (match === null || !Object.hasOwn(basePatterns, match[1]!)) return undefined;
  const [initiatorPre, responderPre, ...messages] = basePatterns[match[1]!]!;
  let pattern: HandshakePattern = {
    name,
    initiatorPre: tokensOf(initiatorPre) as readonly KeyToken[],
    responderPre: tokensOf(responderPre) as readonly KeyToken[],
    messages: messages.map(tokensOf),
    oneWay: messages.length === 1,
    psks: 0,
  };
  let lastPsk = -1;
  for (const modifier of match[2]?.split('+') ?? []) {
    const place = /^psk([0-9])$/.exec(modifier)?.[1];
    let modified: HandshakePattern | undefined;
    if (place !== undefined && Number(place) > lastPsk) {
      lastPsk = Number(place);
      modified = withPsk(pattern, lastPsk);
    } else if (modifier === 'fallback') {
      modified = withFallback(pattern);
    }
    if (modified === undefined) return undefined;
    pattern = modified;
  }
  return pattern;
}

function tokensOf(tokens: string): readonly Token[] {
  return tokens === '' ? [] : (tokens.split(' ') as Token[]);
}

function withPsk(pattern: HandshakePattern, place: number): HandshakePattern | undefined {
  if (place > pattern.messages.length) return undefined;
  const messages = pattern.messages.map((tokens, i): readonly Token[] => {
    if (place === 0 && i === 0) return ['psk', ...tokens];
    return place === i + 1 ? [...tokens, 'psk'] : tokens;
  });
  return { ...pattern, messages, psks: pattern.psks + 1 };
}

function withFallback(pattern: HandshakePattern): HandshakePattern | undefined {
  const [first, ...rest] = pattern.messages;
  if (first === undefined || rest.length === 0) return undefined;
  const known = first.filter((token): token is KeyToken => token === 'e' || token === 's');
  if (known.length !== first.length) return undefined;
  // Roles change, so the pre-messages change sides, and the two mixed DH tokens change names (section 7.2).
  return {
    ...pattern,
    initiatorPre: pattern.responderPre,
    responderPre: [...pattern.initiatorPre, ...known],
    messages: rest.map(tokens => tokens.map(swapMixed)),
  };
}

function swapMixed(token: Token): Token {
  if (token === 'es') return 'se';
  return token === 'se' ? 'es' : token;
}
