// The disk store against the port's contract; the S3 store is tried against a real server in harness/.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { createDiskMediaStore } from './media-store.ts';
import { testMediaStore } from '../testing/media-store-contract.ts';

const folders: string[] = [];
after(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

testMediaStore('disk', {
  partBytes: 1_048_576,
  open: async () => {
    const folder = mkdtempSync(join(tmpdir(), 'drawbridge-media-store-'));
    folders.push(folder);
    return { store: createDiskMediaStore(folder), reopen: async () => createDiskMediaStore(folder) };
  },
});
