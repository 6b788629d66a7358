// One SDK client in a process of its own, which its parent kills: sends numbered messages, or reads them.
// Knows where it was from its folder alone.
import { type ClientOptions, openClient } from '@drawbridge/client';

export type CrashJob = {
  readonly options: ClientOptions;
  readonly role: 'send' | 'read';
  readonly to: { readonly provider: string; readonly identifier: string };
  readonly count: number;
};

const job = JSON.parse(process.argv[2]!) as CrashJob;
const client = await openClient({ ...job.options, passphrase: 'crash' });
await client.account.enlist();
await client.connect();
process.stdout.write('up\n');
if (job.role === 'read') {
  for await (const _ of client.messages()) process.stdout.write('read\n');
} else {
  const [last] = await client.chats.messages({ limit: 1 });
  for (let i = last === undefined ? 0 : Number(last.message.text) + 1; i < job.count; i++) {
    await client.send(job.to, { text: String(i) });
    // Slowly enough that every kill finds something under way.
    await new Promise(resolve => setTimeout(resolve, 4));
  }
  process.stdout.write('all queued\n');
}
