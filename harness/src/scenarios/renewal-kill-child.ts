// A device that removes another and so renews the identity, in a process of its own, which its parent kills.
import { type ClientOptions, openClient } from '@drawbridge/client';

export type RenewalJob = {
  readonly options: Omit<ClientOptions, 'key' | 'passphrase'>;
  /** Base64. */
  readonly key: string;
  readonly remove: number;
};

const { options, key, remove } = JSON.parse(process.argv[2]!) as RenewalJob;
const client = await openClient({ ...options, key: Buffer.from(key, 'base64') });
await client.connect();
process.stdout.write('up\n');
await client.devices.remove(remove);
process.stdout.write('done\n');
// Until it is killed.
setInterval(() => {}, 60_000);
