// TCP streams out of a classic pcap file (`tcpdump -w`): each side's bytes in order, with the times at which they came.
// Reads Ethernet (also with VLAN tags), loopback, raw IP and Linux cooked captures; IPv4 and IPv6. Not: pcapng, IP
// fragments, IPv6 extension headers, tunnels. Knows nothing of what the bytes mean.
// Source: draft-ietf-opsawg-pcap, RFC 9293 section 3 (sequence numbers).

/** Bytes of one direction of a TCP connection, in order. */
export type TcpChunk = {
  /** The same for both directions. */
  readonly connection: number;
  /** `address:port` of who sent it. */
  readonly from: string;
  readonly to: string;
  readonly atMs: number;
  readonly bytes: Uint8Array;
};

export type PcapError = { readonly kind: 'refused'; readonly reason: string };

/** Segments that wait for one before them, for one direction. More than this and the gap is taken for lost. */
const maxWaitingBytes = 8 * 1024 * 1024;
const maxConnections = 10_000;
const maxPacketBytes = 256 * 1024;

const linkTypes: Readonly<Record<number, (packet: Buffer) => Buffer | undefined>> = {
  0: packet => packet.subarray(4),
  1: ethernetPayload,
  101: packet => packet,
  113: packet => packet.subarray(16),
  228: packet => packet,
  229: packet => packet,
  276: packet => packet.subarray(20),
};

/**
 * The TCP payload of a capture file. Retransmissions and segments out of order are put right; a direction ends where a
 * segment is missing (`gaps` counts these). `skipped` counts packets that are no TCP, or of a kind not read here.
 */
export function readPcap(
  file: Buffer,
): { readonly kind: 'read'; readonly chunks: TcpChunk[]; readonly gaps: number; readonly skipped: number } | PcapError {
  if (file.length < 24) return { kind: 'refused', reason: 'it is not a capture file: too short' };
  const magic = file.readUInt32LE(0);
  if (magic === 0x0a0d0d0a) {
    return { kind: 'refused', reason: 'it is pcapng: convert it with `editcap -F pcap` or capture with `tcpdump -w`' };
  }
  const isLittle = magic === 0xa1b2c3d4 || magic === 0xa1b23c4d;
  const isBig = magic === 0xd4c3b2a1 || magic === 0x4d3cb2a1;
  if (!isLittle && !isBig) return { kind: 'refused', reason: 'it is not a pcap file' };
  const isNano = magic === 0xa1b23c4d || magic === 0x4d3cb2a1;
  const u32 = (at: number): number => (isLittle ? file.readUInt32LE(at) : file.readUInt32BE(at));
  const linkType = u32(20) & 0xffff;
  const payloadOf = linkTypes[linkType];
  if (payloadOf === undefined) return { kind: 'refused', reason: `its link type ${linkType} is not read here` };

  const streams = new TcpStreams();
  let skipped = 0;
  for (let at = 24; at + 16 <= file.length; ) {
    const atMs = u32(at) * 1_000 + u32(at + 4) / (isNano ? 1_000_000 : 1_000);
    const captured = u32(at + 8);
    if (captured > maxPacketBytes || at + 16 + captured > file.length) break;
    const packet = file.subarray(at + 16, at + 16 + captured);
    at += 16 + captured;
    const segment = segmentOf(payloadOf(packet));
    if (segment === undefined) skipped++;
    else streams.add(segment, atMs);
  }
  return { kind: 'read', chunks: streams.chunks, gaps: streams.gaps, skipped };
}

type Segment = {
  readonly from: string;
  readonly to: string;
  readonly sequence: number;
  readonly isSyn: boolean;
  readonly isAck: boolean;
  readonly data: Buffer;
};

function ethernetPayload(packet: Buffer): Buffer | undefined {
  let at = 12;
  while (packet.length >= at + 2) {
    const type = packet.readUInt16BE(at);
    if (type === 0x8100 || type === 0x88a8) at += 4;
    else return type === 0x0800 || type === 0x86dd ? packet.subarray(at + 2) : undefined;
  }
  return undefined;
}

function segmentOf(ip: Buffer | undefined): Segment | undefined {
  if (ip === undefined || ip.length < 20) return undefined;
  const version = ip[0]! >>> 4;
  if (version === 4) {
    const headerBytes = (ip[0]! & 15) * 4;
    const totalBytes = ip.readUInt16BE(2);
    const isFragment = (ip.readUInt16BE(6) & 0x3fff) !== 0;
    if (ip[9] !== 6 || isFragment || headerBytes < 20 || totalBytes < headerBytes) return undefined;
    const address = (at: number): string => ip.subarray(at, at + 4).join('.');
    return tcpSegment(ip.subarray(headerBytes, totalBytes), totalBytes - headerBytes, address(12), address(16));
  }
  if (version !== 6 || ip.length < 40 || ip[6] !== 6) return undefined;
  const payloadBytes = ip.readUInt16BE(4);
  const address = (at: number): string =>
    `[${ip
      .subarray(at, at + 16)
      .toString('hex')
      .match(/.{4}/g)!
      .join(':')}]`;
  return tcpSegment(ip.subarray(40, 40 + payloadBytes), payloadBytes, address(8), address(24));
}

/** Undefined when the packet was cut short by the capture (`tcpdump -s`). */
function tcpSegment(tcp: Buffer, sizeBytes: number, from: string, to: string): Segment | undefined {
  if (tcp.length < 20 || tcp.length < sizeBytes) return undefined;
  const headerBytes = (tcp[12]! >>> 4) * 4;
  if (headerBytes < 20 || headerBytes > tcp.length) return undefined;
  return {
    from: `${from}:${tcp.readUInt16BE(0)}`,
    to: `${to}:${tcp.readUInt16BE(2)}`,
    sequence: tcp.readUInt32BE(4),
    isSyn: (tcp[13]! & 2) !== 0,
    isAck: (tcp[13]! & 16) !== 0,
    data: tcp.subarray(headerBytes),
  };
}

type Direction = { next: number; readonly waiting: Map<number, Buffer>; waitingBytes: number; isLost: boolean };

class TcpStreams {
  readonly chunks: TcpChunk[] = [];
  readonly #directions = new Map<string, Direction>();
  readonly #connections = new Map<string, number>();
  #count = 0;
  #lost = 0;

  /** Directions in which a segment is missing. */
  get gaps(): number {
    return this.#lost + [...this.#directions.values()].filter(each => each.waiting.size > 0).length;
  }

  add({ from, to, sequence, isSyn, isAck, data }: Segment, atMs: number): void {
    const key = `${from} ${to}`;
    const both = from < to ? `${from} ${to}` : `${to} ${from}`;
    const next = (sequence + 1) >>> 0;
    if (isSyn) {
      const known = this.#directions.get(key);
      // Sent again.
      if (known?.next === next) return;
      if (!isAck) {
        // Ports are used again: whoever opens begins another connection.
        this.#begin(both);
        this.#directions.delete(`${to} ${from}`);
      }
      if (known !== undefined && known.waiting.size > 0) this.#lost++;
      this.#directions.set(key, newDirection(next));
      return;
    }
    if (data.length === 0) return;
    if (!this.#connections.has(both)) this.#begin(both);
    const connection = this.#connections.get(both);
    if (connection === undefined) return;
    let direction = this.#directions.get(key);
    if (direction === undefined) {
      direction = newDirection(sequence);
      this.#directions.set(key, direction);
    }
    if (direction.isLost) return;
    if (distance(direction.next, sequence) > 0) {
      this.#wait(direction, sequence, data);
      return;
    }
    this.#take(direction, sequence, data, { connection, from, to, atMs });
    for (let found = true; found; ) {
      found = false;
      for (const [waitingAt, waitingData] of direction.waiting) {
        if (distance(direction.next, waitingAt) > 0) continue;
        direction.waiting.delete(waitingAt);
        direction.waitingBytes -= waitingData.length;
        this.#take(direction, waitingAt, waitingData, { connection, from, to, atMs });
        found = true;
      }
    }
  }

  #begin(both: string): void {
    if (this.#count < maxConnections) this.#connections.set(both, ++this.#count);
    else this.#connections.delete(both);
  }

  #wait(direction: Direction, sequence: number, data: Buffer): void {
    const known = direction.waiting.get(sequence);
    if (known !== undefined && known.length >= data.length) return;
    direction.waiting.set(sequence, data);
    direction.waitingBytes += data.length - (known?.length ?? 0);
    if (direction.waitingBytes <= maxWaitingBytes) return;
    direction.isLost = true;
    direction.waiting.clear();
    this.#lost++;
  }

  /** The part that is new of a segment that begins at or before what is expected. */
  #take(direction: Direction, sequence: number, data: Buffer, about: Omit<TcpChunk, 'bytes'>): void {
    const known = -distance(direction.next, sequence);
    if (known >= data.length) return;
    const bytes = data.subarray(known);
    direction.next = (direction.next + bytes.length) >>> 0;
    this.chunks.push({ ...about, bytes });
  }
}

function newDirection(next: number): Direction {
  return { next, waiting: new Map(), waitingBytes: 0, isLost: false };
}

/** How far `sequence` is ahead of `next`, -2^31..2^31-1: sequence numbers wrap. */
function distance(next: number, sequence: number): number {
  return (sequence - next) | 0;
}
