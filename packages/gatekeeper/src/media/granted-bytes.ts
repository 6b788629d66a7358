// What passes through the proxy: exactly the granted number of bytes, as fast as the person's budget allows, for as long as they
// may have them.
// Knows nothing of grants, people or origins.
import { Transform, type TransformCallback } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';

const mebibyte = 1_048_576;
const bufferBytes = 262_144;
/** After this many bytes it is asked again whether the person may have them. */
const recheckBytes = 16 * mebibyte;

/** Why a body ends before its last byte. */
export class BodyCut extends Error {
  readonly code: 'origin-sent-more' | 'origin-sent-less' | 'not-allowed';
  constructor(code: BodyCut['code']) {
    super(code);
    this.code = code;
  }
}

/**
 * Anything but the granted number of bytes cuts the connection, so that nobody takes what came for the whole. `pay` takes a
 * MiB of the budget, or says how many seconds it takes until there is one.
 */
export function grantedBytes(bytes: number, pay: () => number, mayGoOn: () => Promise<boolean>): Transform {
  let leftBytes = bytes;
  let paidBytes = 0;
  let uncheckedBytes = 0;
  const payFor = async (wantedBytes: number): Promise<void> => {
    while (paidBytes < wantedBytes && !body.destroyed) {
      const waitSeconds = pay();
      if (waitSeconds === 0) paidBytes += mebibyte;
      else await sleep(waitSeconds * 1000);
    }
  };
  const passOn = (chunk: Buffer, done: TransformCallback): void => {
    const pass = (): void => {
      paidBytes -= chunk.length;
      done(null, chunk);
    };
    if (paidBytes >= chunk.length) pass();
    else void payFor(chunk.length).then(pass);
  };
  const body = new Transform({
    highWaterMark: bufferBytes,
    transform(chunk: Buffer, _encoding, done) {
      leftBytes -= chunk.length;
      uncheckedBytes += chunk.length;
      if (leftBytes < 0) return done(new BodyCut('origin-sent-more'));
      if (uncheckedBytes < recheckBytes) return passOn(chunk, done);
      uncheckedBytes = 0;
      void mayGoOn().then(
        may => {
          if (may) passOn(chunk, done);
          else body.destroy(new BodyCut('not-allowed'));
        },
        (error: Error) => body.destroy(error),
      );
    },
    flush: done => done(leftBytes > 0 ? new BodyCut('origin-sent-less') : null),
  });
  return body;
}
