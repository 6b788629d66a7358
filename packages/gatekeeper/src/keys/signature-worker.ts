// The worker that checks XEdDSA signatures, so that a hundred of them hold up nobody's messages. Knows nothing of who asks.
import { parentPort } from 'node:worker_threads';
import type { PackedJob } from './signature-checks.ts';
import { signatureCheck } from './signed-key.ts';

const port = parentPort!;

port.on('message', ({ bytes, lengths }: PackedJob) => {
  let at = 0;
  const parts = lengths.map(length => bytes.subarray(at, (at += length)));
  const [identityKey, ...signed] = parts;
  const isSigned = signatureCheck(identityKey!);
  const results: boolean[] = [];
  for (let i = 0; i < signed.length; i += 2) results.push(isSigned?.(signed[i]!, signed[i + 1]!) === true);
  port.postMessage(results);
});
