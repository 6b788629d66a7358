// A media origin on an S3-compatible bucket in a process of its own, to be killed. Its argument is JSON: the store's options,
// the folder, the port. Sends its parent `ready`.
import { createServer } from 'node:http';
import { createMediaOrigin, type MediaOrigin } from '@drawbridge/provider/media-origin';
import type { S3StoreOptions } from '@drawbridge/provider/media-origin/s3/options';
import { openS3MediaStore } from '@drawbridge/provider/media-origin/s3-store';

export type OriginJob = { readonly store: S3StoreOptions; readonly folder: string; readonly port: number };

const { store, folder, port } = JSON.parse(process.argv[2] ?? '') as OriginJob;
const origin: MediaOrigin = createMediaOrigin({
  folder,
  store: openS3MediaStore(store),
  url: `http://127.0.0.1:${port}/media`,
  path: '/media',
  authenticate: async () => 'anna',
  nowMs: Date.now,
  log: () => {},
});
createServer((request, response) => origin.handler(request, response)).listen(port, '127.0.0.1', () =>
  process.send?.('ready'),
);
process.once('disconnect', () => process.exit());
