// Who may use the page: the launch secret of an address that this process printed is exchanged, once, for a cookie and a
// token. Both are needed: a cookie is sent to every port of this machine's address, where another user may listen; a token
// is kept by the browser for exactly this port, and is useless without the cookie, which no script can read.
// Knows nothing of HTTP. Everything here ends with the process.
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';

export const launchLimits = {
  secretBytes: 32,
  /** A launch address that nobody opens is worth nothing after a while. */
  secretLifeMs: 600_000,
  /** Browsers that hold a session of one process; the oldest goes. */
  maxSessions: 8,
} as const;

export type Session = { readonly cookie: string; readonly token: string };

type Kept = { readonly cookie: Buffer; readonly token: Buffer };

export class Launch {
  readonly #nowMs: () => number;
  readonly #sessions: Kept[] = [];
  #secret: { readonly hash: Buffer; readonly endsAtMs: number } | undefined;
  /** Cookies of one address are seen by all its ports: each process has its own name. */
  readonly cookieName = `drawbridge-${randomBytes(8).toString('hex')}`;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** A fresh secret; the one before is worth nothing from now on. */
  newSecret(): string {
    const secret = random();
    this.#secret = { hash: hashOf(secret), endsAtMs: this.#nowMs() + launchLimits.secretLifeMs };
    return secret;
  }

  /** Undefined: it is wrong, was used, or is too old. */
  exchange(secret: string): Session | undefined {
    const wanted = this.#secret;
    if (wanted === undefined || !timingSafeEqual(wanted.hash, hashOf(secret))) return undefined;
    this.#secret = undefined;
    if (this.#nowMs() >= wanted.endsAtMs) return undefined;
    const session = { cookie: random(), token: random() };
    this.#sessions.push({ cookie: hashOf(session.cookie), token: hashOf(session.token) });
    if (this.#sessions.length > launchLimits.maxSessions) this.#sessions.shift();
    return session;
  }

  /** One half alone: for requests whose address stands for the other. */
  knowsCookie(cookie: string): boolean {
    const hash = hashOf(cookie);
    return this.#sessions.some(kept => timingSafeEqual(kept.cookie, hash));
  }

  admits({ cookie, token }: Session): boolean {
    const [cookieHash, tokenHash] = [hashOf(cookie), hashOf(token)];
    return this.#sessions.some(
      kept => timingSafeEqual(kept.cookie, cookieHash) && timingSafeEqual(kept.token, tokenHash),
    );
  }
}

function random(): string {
  return randomBytes(launchLimits.secretBytes).toString('base64url');
}

/** Equal lengths for the comparison, and nothing kept that opens anything. */
function hashOf(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
