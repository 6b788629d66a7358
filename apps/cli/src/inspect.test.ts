// Captures made here, packet by packet, of real connections: every link type, lost order, repeats, gaps, used ports.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { nodeSuite } from '@drawbridge/noise/node-crypto';
import { CompactKeyRecorder } from '@drawbridge/stream/compact-key-log';
import { CompactPair, domain } from '@drawbridge/stream/testing/compact-pair';
import { element } from '@drawbridge/wire/element';
import { NS_CLIENT } from '@drawbridge/wire/namespaces';
import * as fc from 'fast-check';
import { CommandError } from './command-error.ts';
import { readPcap } from './inspect-pcap.ts';
import { inspectPcap, inspectRaw, parsePlace } from './inspect-run.ts';

const folder = mkdtempSync(join(tmpdir(), 'drawbridge-inspect-'));
after(() => rmSync(folder, { recursive: true, force: true }));

type Packet = {
  readonly from: 'client' | 'server';
  readonly sequence: number;
  readonly data: Uint8Array;
  readonly flags?: number;
};

const syn = 2;
const ack = 16;

/** One connection's bytes and key log line. */
function connection(text: string): { sent: CompactPair['sent']; line: string } {
  const recorder = new CompactKeyRecorder();
  const pair = new CompactPair({ suite: recorder.watch(nodeSuite('ChaChaPoly', 'SHA256')) }).run();
  const message = (id: string) => element('message', NS_CLIENT, { id }, [element('body', NS_CLIENT, {}, [text])]);
  pair.clientSends([message('from-client')]);
  pair.serverSends([message('from-server'), element('r', 'urn:xmpp:sm:3')]);
  pair.clientSendsBytes(pair.client.keepAlive());
  for (const { from, bytes } of pair.sent) if (from === 'client') recorder.clientSent(bytes);
  // Both ends share the recorder: the keys of the first handshake side that finished are the same.
  return { sent: pair.sent, line: recorder.line(domain, false) };
}

/** Cuts what was sent into segments, behind a three-way handshake. Sequence numbers wrap soon. */
function packetsOf(sent: CompactPair['sent'], size = 700): Packet[] {
  const next = { client: 0xffff_ff00, server: 0xffff_ff80 };
  const packets: Packet[] = [
    { from: 'client', sequence: next.client - 1, data: new Uint8Array(0), flags: syn },
    { from: 'server', sequence: next.server - 1, data: new Uint8Array(0), flags: syn | ack },
    { from: 'client', sequence: next.client, data: new Uint8Array(0) },
  ];
  for (const { from, bytes } of sent) {
    for (let at = 0; at < bytes.length; at += size) {
      const data = bytes.subarray(at, at + size);
      packets.push({ from, sequence: next[from], data });
      next[from] = (next[from] + data.length) >>> 0;
    }
  }
  return packets;
}

type Format = { readonly link: number; readonly version: 4 | 6; readonly isNano?: boolean; readonly isBig?: boolean };

function pcap(packets: readonly Packet[], { link, version, isNano = false, isBig = false }: Format): Buffer {
  const u32 = (value: number): Buffer => {
    const bytes = Buffer.alloc(4);
    if (isBig) bytes.writeUInt32BE(value >>> 0);
    else bytes.writeUInt32LE(value >>> 0);
    return bytes;
  };
  const file = [u32(isNano ? 0xa1b23c4d : 0xa1b2c3d4), u32(0), u32(0), u32(0), u32(262_144), u32(link)];
  for (const [i, packet] of packets.entries()) {
    const tcp = Buffer.alloc(20 + packet.data.length);
    tcp.writeUInt16BE(packet.from === 'client' ? 40_000 : 5_224, 0);
    tcp.writeUInt16BE(packet.from === 'client' ? 5_224 : 40_000, 2);
    tcp.writeUInt32BE(packet.sequence >>> 0, 4);
    tcp[12] = 5 << 4;
    tcp[13] = packet.flags ?? ack;
    tcp.set(packet.data, 20);
    const [source, target] = packet.from === 'client' ? ([1, 2] as const) : ([2, 1] as const);
    let ip: Buffer;
    if (version === 4) {
      ip = Buffer.alloc(20);
      ip[0] = 0x45;
      ip.writeUInt16BE(20 + tcp.length, 2);
      ip[9] = 6;
      ip.set([127, 0, 0, source], 12);
      ip.set([127, 0, 0, target], 16);
    } else {
      ip = Buffer.alloc(40);
      ip[0] = 0x60;
      ip.writeUInt16BE(tcp.length, 4);
      ip[6] = 6;
      ip[23] = source;
      ip[39] = target;
    }
    const type = version === 4 ? [8, 0] : [0x86, 0xdd];
    const before: Readonly<Record<number, Uint8Array>> = {
      0: Buffer.alloc(4),
      // With a VLAN tag in between.
      1: Buffer.from([...Buffer.alloc(12), 0x81, 0, 0, 7, ...type]),
      101: Buffer.alloc(0),
      113: Buffer.alloc(16),
      276: Buffer.alloc(20),
    };
    // The padding that Ethernet adds to short frames is not TCP's.
    const whole = Buffer.concat([before[link]!, ip, tcp, link === 1 ? Buffer.alloc(6) : Buffer.alloc(0)]);
    file.push(u32(1_790_000_000 + i), u32(isNano ? 5_000_000 : 5_000), u32(whole.length), u32(whole.length), whole);
  }
  return Buffer.concat(file);
}

function show(capture: Buffer, keyLog: string): { lines: string[]; stanzas: number } {
  const [file, keys] = [join(folder, 'capture.pcap'), join(folder, 'keys.txt')];
  writeFileSync(file, capture);
  writeFileSync(keys, keyLog);
  const lines: string[] = [];
  const stanzas = inspectPcap(file, keys, line => lines.push(line));
  return { lines, stanzas };
}

const hello = connection('hello');

test('every link type and time format: stanzas with direction and time', () => {
  const formats: Format[] = [
    { link: 0, version: 4 },
    { link: 1, version: 4 },
    { link: 1, version: 6, isNano: true },
    { link: 101, version: 6, isBig: true },
    { link: 113, version: 4, isBig: true, isNano: true },
    { link: 276, version: 6 },
  ];
  for (const format of formats) {
    const { lines, stanzas } = show(pcap(packetsOf(hello.sent), format), hello.line);
    assert.equal(stanzas, 3, JSON.stringify(format));
    const words = lines.map(line => line.replace(/^.*#1 /, '').replace(/, \d+ bytes/, ''));
    assert.match(words[0]!, format.version === 4 ? /^127.0.0.1:40000 → 127.0.0.2:5224$/ : /:40000 → \[.*\]:5224$/);
    assert.deepEqual(words.slice(1), [
      'C→S [handshake XX with ChaChaPoly]',
      'S→C [handshake XX with ChaChaPoly]',
      'C→S [login: sealed by the handshake]',
      "C→S <message id='from-client'><body>hello</body></message>",
      "S→C <message id='from-server'><body>hello</body></message>",
      "S→C <r xmlns='urn:xmpp:sm:3'/>",
      'C→S [keep-alive]',
    ]);
    assert.match(lines[1]!, /^14:13:23\.005 #1 /);
  }
});

test('segments in another order, twice, overlapping, and in tiny pieces read the same', () => {
  const expected = show(pcap(packetsOf(hello.sent), { link: 101, version: 4 }), hello.line);
  const withoutTime = (lines: readonly string[]): string[] => lines.map(line => line.replace(/^\S+ /, '')).toSorted();
  for (const size of [1, 7, 50]) {
    const packets = packetsOf(hello.sent, size);
    const start = packets.slice(0, 3);
    const rest = packets.slice(3);
    const disturbed: Packet[] = [];
    for (let i = 0; i < rest.length; i += 3) {
      const three = rest.slice(i, i + 3).toReversed();
      disturbed.push(...three, ...three.slice(0, 1));
      const [first, second] = [rest[i], rest[i + 1]];
      if (first !== undefined && second !== undefined && first.from === second.from) {
        disturbed.push({ ...first, data: Buffer.concat([first.data, second.data]) });
      }
    }
    const read = show(pcap([...start, ...disturbed], { link: 101, version: 4 }), hello.line);
    // Directions may come in another order, but each is whole.
    assert.deepEqual(withoutTime(read.lines), withoutTime(expected.lines));
  }
});

test('a port that is used again is another connection', () => {
  const again = connection('again');
  const packets = [...packetsOf(hello.sent), ...packetsOf(again.sent)];
  const { lines, stanzas } = show(pcap(packets, { link: 101, version: 4 }), `${hello.line}\n${again.line}\n`);
  assert.equal(stanzas, 6);
  assert.ok(lines.some(line => line.includes('#2') && line.includes('<body>again</body>')));
});

test('a missing packet, missing keys and a capture without a beginning are said', () => {
  const packets = packetsOf(hello.sent, 60);
  const gap = packets.filter((_, i) => i !== packets.length - 3);
  const lost = show(pcap(gap, { link: 101, version: 4 }), hello.line);
  assert.ok(lost.lines.at(-1)!.includes('packets are missing'), lost.lines.join('\n'));
  const other = connection('other');
  const wrong = show(pcap(packets, { link: 101, version: 4 }), other.line);
  assert.equal(wrong.stanzas, 0);
  assert.ok(wrong.lines.some(line => line.includes('no keys of this connection')));
  const late = show(pcap(packets.slice(5), { link: 101, version: 4 }), hello.line);
  assert.deepEqual(late.lines, ['No compact connection begins in this capture.']);
});

test('what another wrote can not move the cursor of whoever reads', () => {
  const hostile = connection('a\u0085b\u202ec\nd');
  const { lines } = show(pcap(packetsOf(hostile.sent), { link: 101, version: 4 }), hostile.line);
  assert.ok(lines.every(line => !/[\p{Cc}\p{Bidi_Control}]/u.test(line)));
});

test('raw bytes of one side or both', () => {
  const of = (side: 'client' | 'server'): string => {
    const file = join(folder, `${side}.bin`);
    writeFileSync(file, Buffer.concat(hello.sent.filter(({ from }) => from === side).map(({ bytes }) => bytes)));
    return file;
  };
  const keys = join(folder, 'raw-keys.txt');
  writeFileSync(keys, hello.line);
  const lines: string[] = [];
  assert.equal(
    inspectRaw({ client: of('client'), server: of('server') }, keys, line => lines.push(line)),
    3,
  );
  assert.ok(lines.includes("#1 C→S <message id='from-client'><body>hello</body></message>"));
  assert.equal(
    inspectRaw({ client: of('client'), server: undefined }, keys, () => {}),
    1,
  );
});

test('files that are none of ours are refused in words', () => {
  const keys = join(folder, 'no-keys.txt');
  writeFileSync(keys, 'CLIENT_RANDOM 00 11\n');
  assert.throws(() => inspectRaw({ client: keys, server: undefined }, keys, () => {}), CommandError);
  const reasonOf = (bytes: Uint8Array): string => {
    const read = readPcap(Buffer.from(bytes));
    return read.kind === 'refused' ? read.reason : 'read';
  };
  assert.match(reasonOf(Buffer.alloc(3)), /too short/);
  assert.match(reasonOf(Buffer.alloc(40)), /not a pcap/);
  assert.match(reasonOf(Buffer.concat([Buffer.from('0a0d0d0a', 'hex'), Buffer.alloc(40)])), /editcap/);
  assert.match(
    reasonOf(Buffer.concat([Buffer.from('d4c3b2a1', 'hex'), Buffer.alloc(16), Buffer.from([99, 0, 0, 0])])),
    /link type 99/,
  );
});

test('any bytes behind a header are read or skipped', () => {
  const header = pcap([], { link: 101, version: 4 });
  const whole = pcap(packetsOf(hello.sent), { link: 1, version: 4 });
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(whole.length - 1), fc.nat(255), (bytes, at, value) => {
      assert.equal(readPcap(Buffer.concat([header, bytes])).kind, 'read');
      const changed = Buffer.from(whole);
      changed[at] = value;
      readPcap(changed);
    }),
  );
});

test('places', () => {
  assert.deepEqual(parsePlace('5224', '127.0.0.1'), { host: '127.0.0.1', port: 5224 });
  assert.deepEqual(parsePlace('localhost:5224', 'x'), { host: 'localhost', port: 5224 });
  assert.deepEqual(parsePlace('[::1]:5224', 'x'), { host: '::1', port: 5224 });
  for (const text of ['', 'x', '70000', 'a:b:5224', '::1']) assert.throws(() => parsePlace(text, 'x'), CommandError);
});
