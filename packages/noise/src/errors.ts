// What can go wrong in a Noise session, as values. Knows nothing of sockets; whoever gets an error closes the session.

/** One line per code: what happened, for the operator's log; a Noise peer is told nothing, its connection just closes. */
export const noiseErrors = {
  'message-too-long': { text: 'A Noise message is at most 65535 bytes.', logLevel: 'info' },
  'message-truncated': { text: 'The message is shorter than its pattern says.', logLevel: 'info' },
  'decryption-failed': {
    text: 'The message was not sealed with these keys, in this order, in this session.',
    logLevel: 'info',
  },
  'low-order-point': { text: 'The peer sent a public key that makes the shared secret zero.', logLevel: 'warn' },
  'unexpected-pattern': { text: 'The pattern byte is unknown, or does not answer what was sent.', logLevel: 'info' },
  'nonce-exhausted': { text: 'All 2^64 - 1 nonces of this key are used.', logLevel: 'error' },
  'nonce-refused': { text: 'A nonce may only be moved forward, to at most 2^64 - 1.', logLevel: 'error' },
  closed: { text: 'The session was closed, and its key is wiped.', logLevel: 'error' },
  'output-too-small': { text: 'The sealed message does not fit in the given buffer.', logLevel: 'error' },
  'out-of-turn': { text: 'The handshake is over, or it is the other side that must act now.', logLevel: 'error' },
  'key-missing': { text: 'The pattern needs a key that was not given.', logLevel: 'error' },
  'key-unexpected': {
    text: 'A key was given that the pattern has no use for, or learns from the peer.',
    logLevel: 'error',
  },
  'key-malformed': { text: 'A public key or pre-shared key is not 32 bytes long.', logLevel: 'error' },
  'unknown-pattern': { text: 'No such handshake pattern, or a modifier that does not apply to it.', logLevel: 'error' },
} as const satisfies Record<string, { readonly text: string; readonly logLevel: 'info' | 'warn' | 'error' }>;

export type NoiseErrorCode = keyof typeof noiseErrors;

export type NoiseError = { readonly kind: 'error'; readonly code: NoiseErrorCode };

// One frozen value per code: a refused frame costs no allocation, and `===` tells errors apart.
const values = new Map<NoiseErrorCode, NoiseError>(
  (Object.keys(noiseErrors) as NoiseErrorCode[]).map(code => [code, Object.freeze({ kind: 'error', code } as const)]),
);

export function noiseError(code: NoiseErrorCode): NoiseError {
  return values.get(code)!;
}

/** Tells an error from bytes, a count, a handshake or a step. */
export function isNoiseError(value: unknown): value is NoiseError {
  return typeof value === 'object' && value !== null && (value as { kind?: unknown }).kind === 'error';
}
