import { openCore } from '@drawbridge/gatekeeper/core';
import { XmppStream } from '@drawbridge/gatekeeper/listeners/xmpp-stream';
import { defaultListenerLimits } from '@drawbridge/gatekeeper/listeners/admission';
import { defaultMailboxLimits } from '@drawbridge/gatekeeper/mailbox/mailbox';
import { defaultSessionLimits } from '@drawbridge/gatekeeper/routing/device-session';
import { createStanzaCodec } from '@drawbridge/gatekeeper/mailbox/sqlite-mailbox';
const SM = process.argv[2] === 'sm';
const N = 100;
const accounts = new Map<string, any>();
const ids: string[] = [];
for (let i = 0; i < N; i++) {
  const id =
    `${i % 2 ? 0 : 1}-${'abcdefghijklmnopqrstuvwxyz'.slice(0, 22)}${String.fromCharCode(97 + Math.floor(i / 26))}${String.fromCharCode(97 + (i % 26))}22`
      .slice(0, 28)
      .replace(/[^0-9a-z-]/g, '2');
  ids.push(id);
  accounts.set(id, {
    row: i + 1,
    interopId: id,
    provider: i % 2 ? 0 : 1,
    identifier: 'u' + i,
    status: 'active',
    devices: [{ row: i + 1, id: 1, registrationId: 5, thumbprint: 'x' }],
    optIns: new Set([1]),
  });
}
let appended = 0;
const core = await openCore({
  domain: 'localhost',
  accounts: { find: (i: string) => accounts.get(i), findByIdentifier: () => undefined } as any,
  mailboxStore: {
    append: async (r: any) => {
      appended += r.length;
    },
    remove: async () => {},
    page: async () => [],
    state: async () => ({ count: 0, bytes: 0, lastSeq: 0 }),
    devices: async () => [],
    expire: async () => ({ count: 0, bytes: 0 }),
  },
  codec: createStanzaCodec('localhost'),
  iqHandlers: new Map(),
  mayReach: () => true,
  suiteAdmitted: () => true,
  wakeUp() {},
  authenticate: async (t: string) => ({
    kind: 'admitted',
    account: accounts.get(ids[Number(t)]),
    device: accounts.get(ids[Number(t)]).devices[0],
    proofExpiresAtMs: 0,
  }),
  nowMs: Date.now,
  log() {},
  mailboxLimits: defaultMailboxLimits,
  sessionLimits: { ...defaultSessionLimits, messageBurst: 1e15, messagesPerSecond: 1e15 },
  listenerLimits: { ...defaultListenerLimits, maxUnauthenticatedPerAddress: 1e6 },
});
const hdr =
  "<?xml version='1.0'?><stream:stream to='localhost' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";
const enc = (s: string) => Buffer.from(s);
let delivered = 0,
  bytesOut = 0;
const streams: any[] = [];
const pend: string[][] = [];
for (let i = 0; i < N; i++) {
  const out: string[] = [];
  pend.push(out);
  const link = {
    send: (t: string) => {
      bytesOut += t.length;
      if (t.includes('<ping') || t.includes('<r ')) out.push(t);
      if (t.includes('<message')) delivered += t.split('<message').length - 1;
    },
    end() {},
    pause() {},
    resume() {},
    congested: false,
    startTls() {},
  };
  const st = new XmppStream(core.listenerHost, link, {
    framing: 'stream',
    carrier: 'secured',
    place: core.listenerHost.gate.enter('x')!,
  });
  st.bytes(enc(hdr));
  st.bytes(
    enc(
      `<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='OAUTHBEARER'>${Buffer.from('n,,\x01auth=Bearer ' + i + '\x01\x01').toString('base64')}</auth>`,
    ),
  );
  await new Promise(r => setImmediate(r));
  st.bytes(enc(hdr));
  st.bytes(enc("<iq type='set' id='b1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>"));
  if (SM) st.bytes(enc("<enable xmlns='urn:xmpp:sm:3'/>"));
  else st.bytes(enc('<presence/>'));
  streams.push(st);
}
await new Promise(r => setTimeout(r, 300));
const ct = Buffer.alloc(300, 7).toString('base64');
const msgs = streams.map((_, i) =>
  enc(
    `<message to='${ids[i ^ 1]}@localhost' id='m1234567' type='chat'><envelope xmlns='urn:drawbridge:e2ee:1' suite='signal-1' from-device='1'><ciphertext device='1' kind='session'>${ct}</ciphertext></envelope></message>`,
  ),
);
const h = new Array(N).fill(SM ? 0 : 0);
async function round() {
  for (let i = 0; i < N; i++) streams[i].bytes(msgs[i]);
  await new Promise(r => setImmediate(r));
  for (let i = 0; i < N; i++) {
    const o = pend[i]!;
    h[i]++;
    if (o.length) {
      for (const t of o) {
        if (SM) streams[i].bytes(enc(`<a xmlns='urn:xmpp:sm:3' h='${h[i]}'/>`));
        else {
          const m = t.match(/id='(db-ping-\d+)'/);
          if (m) streams[i].bytes(enc(`<iq type='result' id='${m[1]}' to='localhost'/>`));
        }
      }
      o.length = 0;
    }
  }
  await new Promise(r => setImmediate(r));
}
for (let k = 0; k < 300; k++) await round();
delivered = 0;
const c0 = process.cpuUsage();
const R = Number(process.argv[3] ?? 1500);
for (let k = 0; k < R; k++) await round();
const c = process.cpuUsage(c0);
console.log(
  SM ? 'sm' : 'ping',
  'us/msg',
  ((c.user + c.system) / (R * N)).toFixed(2),
  'delivered',
  delivered,
  'of',
  R * N,
  'appended',
  appended,
  'len',
  msgs[0]!.length,
);
await core.close();
process.exit(0);
