// Password hashes: Argon2id on the thread pool, a few at a time. Knows nothing of users or storage.
// Source: RFC 9106 (Argon2), the PHC string format; parameters: OWASP password storage (19 MiB, 2 passes, 1 lane).

import { argon2, randomBytes, timingSafeEqual } from 'node:crypto';

/** Named parameters; each stored hash carries its own, so these may rise later. */
export const passwordHashParameters = { memoryKiB: 19_456, passes: 2, parallelism: 1, tagBytes: 32, saltBytes: 16 };

/** The thread pool has four threads and also resolves names: hashing leaves it half. */
export const passwordHashLimits = { maxConcurrent: 2, maxWaiting: 64 };

export const passwordLimits = { minCharacters: 8, maxBytes: 512 };

export type PasswordHasher = {
  /** A PHC string, or `busy`. */
  readonly hash: (
    password: string,
  ) => Promise<{ readonly kind: 'hashed'; readonly phc: string } | { readonly kind: 'busy' }>;
  /** Without a stored hash the same work is done and the answer is `refused`. */
  readonly verify: (
    password: string,
    phc: string | undefined,
  ) => Promise<{ readonly kind: 'matches' | 'refused' | 'busy' }>;
};

/** True for a password that may be set: 8 characters to 512 bytes. */
export function isPassword(value: string): boolean {
  return (
    value.isWellFormed() &&
    Array.from(value).length >= passwordLimits.minCharacters &&
    Buffer.byteLength(value) <= passwordLimits.maxBytes
  );
}

export function createPasswordHasher(): PasswordHasher {
  const waiting: (() => void)[] = [];
  let running = 0;

  /** `undefined` when too many wait already. */
  async function inTurn<T>(work: () => Promise<T>): Promise<T | undefined> {
    if (running >= passwordHashLimits.maxConcurrent) {
      if (waiting.length >= passwordHashLimits.maxWaiting) return undefined;
      await new Promise<void>(resolve => waiting.push(resolve));
    } else running++;
    try {
      return await work();
    } finally {
      // The place is handed on, not given back, so that nobody slips in between.
      const next = waiting.shift();
      if (next === undefined) running--;
      else next();
    }
  }

  // What an unknown user's password is compared with: never equal, but as much work.
  const nobody = { ...passwordHashParameters, salt: randomBytes(16), tag: randomBytes(32) };

  return {
    hash: async password => {
      const { memoryKiB, passes, parallelism, tagBytes, saltBytes } = passwordHashParameters;
      const salt = randomBytes(saltBytes);
      const tag = await inTurn(() => derive(password, salt, { memoryKiB, passes, parallelism }, tagBytes));
      if (tag === undefined) return { kind: 'busy' };
      const parameters = `m=${memoryKiB},t=${passes},p=${parallelism}`;
      return { kind: 'hashed', phc: `$argon2id$v=19$${parameters}$${unpadded(salt)}$${unpadded(tag)}` };
    },
    verify: async (password, phc) => {
      const stored = phc === undefined ? undefined : parsePhc(phc);
      const { salt, tag, ...cost } = stored ?? nobody;
      const derived = await inTurn(() => derive(password, salt, cost, tag.length));
      if (derived === undefined) return { kind: 'busy' };
      const equal = timingSafeEqual(derived, tag);
      return { kind: equal && stored !== undefined ? 'matches' : 'refused' };
    },
  };
}

type Cost = { readonly memoryKiB: number; readonly passes: number; readonly parallelism: number };

/** Normal form C, so that one password typed on two keyboards is one (RFC 8265 section 4.2). */
function derive(password: string, salt: Buffer, cost: Cost, tagLength: number): Promise<Buffer> {
  const { memoryKiB: memory, passes, parallelism } = cost;
  const message = Buffer.from(password.normalize('NFC'), 'utf8');
  return new Promise((resolve, reject) => {
    argon2('argon2id', { message, nonce: salt, parallelism, tagLength, memory, passes }, (error, key) => {
      if (error === null) resolve(key);
      else reject(error);
    });
  });
}

function unpadded(bytes: Buffer): string {
  return bytes.toString('base64').replace(/=+$/, '');
}

/** `undefined` for a damaged string or a cost that would stop the server. */
function parsePhc(phc: string): (Cost & { readonly salt: Buffer; readonly tag: Buffer }) | undefined {
  const match =
    /^\$argon2id\$v=19\$m=([0-9]{1,7}),t=([0-9]{1,2}),p=([0-9])\$([A-Za-z0-9+/]{11,64})\$([A-Za-z0-9+/]{22,86})$/.exec(
      phc,
    );
  if (match === null) return undefined;
  const [, m = '', t = '', p = '', salt = '', tag = ''] = match;
  const cost = { memoryKiB: Number(m), passes: Number(t), parallelism: Number(p) };
  if (cost.memoryKiB < 8 * cost.parallelism || cost.memoryKiB > 262_144 || cost.passes < 1 || cost.parallelism < 1) {
    return undefined;
  }
  return { ...cost, salt: Buffer.from(salt, 'base64'), tag: Buffer.from(tag, 'base64') };
}
