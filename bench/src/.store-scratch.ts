import { openSqliteStore } from '@drawbridge/gatekeeper/storage/sqlite/store';
import { createSqliteMailbox, createStanzaCodec } from '@drawbridge/gatekeeper/mailbox/sqlite-mailbox';
import { Mailboxes, defaultMailboxLimits } from '@drawbridge/gatekeeper/mailbox/mailbox';
import { parseXmlDocument } from '@drawbridge/wire/xml-decoder';
import { xmlLimitsAfterLogin } from '@drawbridge/wire/limits';
import { rmSync } from 'node:fs';
rmSync('/tmp/mb/s.db', { force: true });
rmSync('/tmp/mb/s.db-wal', { force: true });
rmSync('/tmp/mb/s.db-shm', { force: true });
const store = await openSqliteStore('/tmp/mb/s.db');
const ct = Buffer.alloc(300, 7).toString('base64');
const id = '1-abcdefghijklmnopqrstuvwxya';
const el = parseXmlDocument(
  `<message xmlns='jabber:client' to='${id}@localhost/1' from='0-abcdefghijklmnopqrstuvwxya@localhost/1' id='m1234567' type='chat'><envelope xmlns='urn:drawbridge:e2ee:1' suite='signal-1' from-device='1'><ciphertext device='1' kind='session'>${ct}</ciphertext></envelope></message>`,
  xmlLimitsAfterLogin,
) as any;
let cong = false;
let wake: (() => void) | undefined;
const m = new Mailboxes({
  store: createSqliteMailbox(store),
  codec: createStanzaCodec('localhost'),
  nowMs: Date.now,
  monotonicMs: () => performance.now(),
  limits: { ...defaultMailboxLimits, pageEntries: Number(process.argv[3] ?? 256) },
  events: {
    congested: c => {
      cong = c;
      if (!c) wake?.();
    },
    damaged() {},
  },
});
await m.open();
const N = Number(process.argv[2] ?? 100000),
  D = 100;
let settled = 0;
let c0 = process.cpuUsage(),
  t0 = performance.now();
for (let i = 0; i < N; i++) {
  m.append(1 + (i % D), el, 700, true, {
    remaining: 1,
    failed: false,
    settled() {
      settled++;
    },
    refused() {},
  });
  if (i % 500 === 499) {
    await new Promise(r => setImmediate(r));
    if (cong)
      await new Promise<void>(r => {
        wake = r;
      });
  }
}
while (settled < N) await new Promise(r => setTimeout(r, 1));
let c = process.cpuUsage(c0);
console.log(
  'store',
  ((N / (performance.now() - t0)) * 1000).toFixed(0),
  '/s cpu us',
  ((c.user + c.system) / N).toFixed(1),
);
// drain
c0 = process.cpuUsage();
t0 = performance.now();
let got = 0;
let first = 0;
for (let d = 1; d <= D; d++) {
  const q: any[] = [];
  const dev = {
    hasRoom: () => q.length < 512,
    deliver(e: any) {
      if (!first) first = performance.now() - t0;
      q.push(e);
      if (q.length === 1)
        setImmediate(() => {
          const all = q.splice(0);
          for (const e of all) {
            got++;
            m.acknowledge(e);
          }
          m.roomAgain(d);
        });
    },
  };
  m.attach(d, dev);
}
while (got < N) await new Promise(r => setTimeout(r, 1));
c = process.cpuUsage(c0);
console.log(
  'drain',
  ((N / (performance.now() - t0)) * 1000).toFixed(0),
  '/s cpu us',
  ((c.user + c.system) / N).toFixed(1),
  'first ms',
  first.toFixed(1),
);
await m.close();
await store.close();
