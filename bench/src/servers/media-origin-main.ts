// Our media origin in a process of its own, with TLS and files on disk. Its argument is JSON. Sends its parent `ready`.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { createMediaOrigin, type MediaOrigin } from '@drawbridge/provider/media-origin';

export type MediaOriginJob = {
  readonly folder: string;
  readonly port: number;
  readonly certFile: string;
  readonly keyFile: string;
};

const { folder, port, certFile, keyFile } = JSON.parse(process.argv[2] ?? '') as MediaOriginJob;
const origin: MediaOrigin = createMediaOrigin({
  folder,
  url: `https://localhost:${port}/media`,
  path: '/media',
  authenticate: async () => 'bench',
  nowMs: Date.now,
  log: () => {},
  limits: { bytesPerUser: Number.MAX_SAFE_INTEGER },
});
createServer({ cert: readFileSync(certFile), key: readFileSync(keyFile) }, (request, response) =>
  origin.handler(request, response),
).listen(port, '127.0.0.1', () => process.send?.('ready'));
process.once('disconnect', () => process.exit());
