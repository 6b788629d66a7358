// A storage worker that is ready and ends at its first command, as by a defect: for tests.
import { parentPort } from 'node:worker_threads';

parentPort!.once('message', (message: unknown) => {
  if (message === 'close') parentPort!.close();
  else process.exit(1);
});
parentPort!.postMessage({ kind: 'ready' });
