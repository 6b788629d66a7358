// Pictures and sound for scenarios, written by hand so that they hold words that must not arrive.
// Knows nothing of what reads them.
import { randomBytes } from 'node:crypto';
import { crc32, deflateSync } from 'node:zlib';

export const plantedWord = 'PLANTED 51.5074N 0.1278W';

function pngChunk(type: string, data: Uint8Array): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const [length, check] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(data.length);
  check.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, check]);
}

/** A PNG of noise, with the planted word in a text chunk. */
export function noisePng(width: number, height: number): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width);
  header.writeUInt32BE(height, 4);
  header.set([8, 2], 8);
  const rows = Array.from({ length: height }, () => Buffer.concat([Buffer.alloc(1), randomBytes(width * 3)]));
  return Buffer.concat([
    Buffer.from('89504e470d0a1a0a', 'hex'),
    pngChunk('IHDR', header),
    pngChunk('tEXt', Buffer.from(`Comment\0${plantedWord}`)),
    pngChunk('IDAT', deflateSync(Buffer.concat(rows), { level: 1 })),
    pngChunk('IEND', Buffer.alloc(0)),
  ]);
}

/** A WAV of 16 kHz: silence, then as long a tone; the planted word in an INFO chunk. */
export function recordedWav(seconds: number): Buffer {
  const rate = 16_000;
  const data = Buffer.alloc(seconds * rate * 2);
  for (let at = data.length / 4; at < data.length / 2; at += 1) {
    data.writeInt16LE(Math.round(Math.sin((at / rate) * 440 * 2 * Math.PI) * 20_000), at * 2);
  }
  const chunk = (id: string, ...content: Uint8Array[]): Buffer => {
    const body = Buffer.concat(content);
    const head = Buffer.alloc(8);
    head.write(id);
    head.writeUInt32LE(body.length, 4);
    return Buffer.concat([head, body]);
  };
  const format = Buffer.alloc(16);
  format.writeUInt16LE(1, 0);
  format.writeUInt16LE(1, 2);
  format.writeUInt32LE(rate, 4);
  format.writeUInt32LE(rate * 2, 8);
  format.writeUInt16LE(2, 12);
  format.writeUInt16LE(16, 14);
  const info = chunk('LIST', Buffer.from('INFO'), chunk('ICMT', Buffer.from(plantedWord)));
  return chunk('RIFF', Buffer.from('WAVE'), chunk('fmt ', format), info, chunk('data', data));
}
