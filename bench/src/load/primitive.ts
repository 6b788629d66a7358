// Question: how fast is this machine at the one thing that no login can do without? Figures of two machines, or of two
// hours on one, compare as multiples of it.
import { generateKeyPairSync, randomBytes, sign, verify } from 'node:crypto';

export type PrimitiveJob = { readonly kind: 'primitive'; readonly rounds: number };
export type PrimitiveResult = {
  /** CPU of one verification of an ES256 signature, as of a proof: milliseconds, the median of the rounds. */
  readonly verifyMs: number;
};

const inARound = 400;

export function primitive({ rounds }: PrimitiveJob): PrimitiveResult {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const data = randomBytes(400);
  const signature = sign('sha256', data, { key: privateKey, dsaEncoding: 'ieee-p1363' });
  const took: number[] = [];
  // The first round is for its code to be compiled.
  for (let round = 0; round <= rounds; round++) {
    const before = process.cpuUsage();
    for (let i = 0; i < inARound; i++) {
      if (!verify('sha256', data, { key: publicKey, dsaEncoding: 'ieee-p1363' }, signature))
        throw new Error('not verified');
    }
    const { user, system } = process.cpuUsage(before);
    if (round > 0) took.push((user + system) / 1_000 / inARound);
  }
  took.sort((a, b) => a - b);
  return { verifyMs: took[took.length >> 1]! };
}
