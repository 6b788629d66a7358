import assert from 'node:assert/strict';
import { createDecipheriv, createHash, createHmac, randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { after, test } from 'node:test';
// The judge: libsignal's own incremental MACs.
import * as incrementalMac from '@signalapp/libsignal-client/dist/incremental_mac.js';
import * as fc from 'fast-check';
import {
  attachmentErrors,
  AttachmentFailure,
  attachmentLimits,
  type AttachmentSecrets,
  createAttachmentReader,
  encodeSealed,
  encryptedSizeBytes,
  openAttachment,
  type OpenSource,
  paddedSizeBytes,
  parseSealed,
  readSealed,
  saveAttachment,
  sealAttachment,
  type SealedAttachment,
} from './attachments.ts';

const folder = mkdtempSync(join(tmpdir(), 'drawbridge-attachments-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/** Gives the bytes in pieces of the sizes given, again and again. */
async function* inPieces(bytes: Uint8Array, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  for (let at = 0, i = 0; at < bytes.length; i += 1) {
    const size = sizes[i % sizes.length]!;
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

const source =
  (bytes: Uint8Array, sizes: readonly number[] = [65_536]): OpenSource =>
  () =>
    inPieces(bytes, sizes);

async function seal(bytes: Uint8Array): Promise<{ sealed: SealedAttachment; encrypted: Buffer }> {
  const result = await sealAttachment(source(bytes), bytes.length);
  assert.equal(result.kind, 'sealed');
  assert.ok(result.kind === 'sealed');
  return { sealed: result.sealed, encrypted: await buffer(readSealed(source(bytes), result.sealed)) };
}

async function open(
  encrypted: AsyncIterable<Uint8Array>,
  secrets: AttachmentSecrets,
): Promise<{ code: string; plain: Buffer }> {
  const parts: Uint8Array[] = [];
  const result = await openAttachment(encrypted, secrets, part => void parts.push(Uint8Array.from(part)));
  return { code: result.kind === 'opened' ? 'opened' : result.code, plain: Buffer.concat(parts) };
}

test('files of any size come back byte for byte, in whatever pieces they travel', async () => {
  const chunk = attachmentLimits.minChunkBytes;
  const sizes = [0, 1, 15, 16, 17, 492, 493, 541, 542, chunk - 49, chunk - 48, chunk, 3 * chunk + 5, 1_000_003];
  for (const size of sizes) {
    const plain = randomBytes(size);
    const { sealed, encrypted } = await seal(plain);
    assert.equal(encrypted.length, sealed.encryptedSizeBytes);
    for (const pieces of [[65_536], [1, 7, 4_096], [encrypted.length]]) {
      const opened = await open(inPieces(encrypted, pieces), sealed);
      assert.equal(opened.code, 'opened');
      assert.ok(opened.plain.equals(plain), `${size} bytes`);
    }
  }
});

test('the form is the one that libsignal and the primitives by themselves know', async () => {
  const plain = randomBytes(700_001);
  const { sealed, encrypted } = await seal(plain);
  const { key, digest, incrementalMac: macs, incrementalMacChunkBytes: chunkBytes } = sealed;
  const choice = incrementalMac.everyNthByte(chunkBytes);
  const judge = new incrementalMac.DigestingPassThrough(new Uint8Array(key.subarray(32)), choice);
  await buffer(Readable.from([encrypted]).pipe(judge));
  assert.deepEqual(Buffer.from(macs), Buffer.from(judge.getFinalDigest()));
  const validator = new incrementalMac.ValidatingPassThrough(
    new Uint8Array(key.subarray(32)),
    choice,
    new Uint8Array(macs),
  );
  assert.ok((await buffer(Readable.from([encrypted]).pipe(validator))).equals(encrypted));

  assert.deepEqual(Buffer.from(digest), createHash('sha256').update(encrypted).digest());
  const body = encrypted.subarray(0, -32);
  assert.deepEqual(createHmac('sha256', key.subarray(32)).update(body).digest(), encrypted.subarray(-32));
  const decipher = createDecipheriv('aes-256-cbc', key.subarray(0, 32), body.subarray(0, 16));
  const padded = Buffer.concat([decipher.update(body.subarray(16)), decipher.final()]);
  assert.equal(padded.length, paddedSizeBytes(plain.length));
  assert.ok(padded.subarray(0, plain.length).equals(plain));
  assert.ok(padded.subarray(plain.length).every(byte => byte === 0));
});

test('sizes: a series that hides the size, costs at most a twentieth, and stays within the limits', () => {
  assert.deepEqual([0, 1, 541, 542, 568, 569].map(paddedSizeBytes), [541, 541, 541, 568, 568, 596]);
  fc.assert(
    fc.property(fc.integer({ min: 0, max: attachmentLimits.maxSizeBytes }), size => {
      const padded = paddedSizeBytes(size);
      assert.ok(padded >= size && padded <= Math.max(541, size * 1.05 + 1));
      assert.equal(paddedSizeBytes(padded), padded);
      assert.equal(encryptedSizeBytes(size), encryptedSizeBytes(padded));
    }),
  );
  const largest = encryptedSizeBytes(attachmentLimits.maxSizeBytes);
  assert.ok(largest / attachmentLimits.maxChunkBytes <= attachmentLimits.maxChunks);
});

test('every alteration is refused, and what was given out before is a true beginning', async () => {
  const chunk = attachmentLimits.minChunkBytes;
  const plain = randomBytes(5 * chunk + 1_000);
  const { sealed, encrypted } = await seal(plain);
  const cut = fc.integer({ min: 0, max: encrypted.length - 1 });
  const chunkIndex = fc.integer({ min: 0, max: 4 });
  const chunkAt = (index: number): Buffer => encrypted.subarray(index * chunk, (index + 1) * chunk);
  const altered = fc.oneof(
    fc.tuple(cut, fc.integer({ min: 1, max: 255 })).map(([at, bits]) => {
      const copy = Buffer.from(encrypted);
      copy[at]! ^= bits;
      return { bytes: copy, codes: ['altered'], firstWrong: at };
    }),
    cut.map(at => ({ bytes: encrypted.subarray(0, at), codes: ['truncated'], firstWrong: at })),
    fc.uint8Array({ minLength: 1, maxLength: 40 }).map(more => ({
      bytes: Buffer.concat([encrypted, more]),
      codes: ['too-long'],
      firstWrong: encrypted.length,
    })),
    fc
      .tuple(chunkIndex, chunkIndex)
      .filter(([a, b]) => a < b)
      .map(([a, b]) => {
        const order = [0, 1, 2, 3, 4];
        [order[a], order[b]] = [b, a];
        const bytes = Buffer.concat([...order.map(chunkAt), encrypted.subarray(5 * chunk)]);
        return { bytes, codes: ['altered'], firstWrong: a * chunk };
      }),
    chunkIndex.map(a => ({
      bytes: Buffer.concat([encrypted.subarray(0, (a + 1) * chunk), encrypted.subarray(a * chunk)]),
      codes: ['altered', 'too-long'],
      firstWrong: (a + 1) * chunk,
    })),
    chunkIndex.map(a => ({
      bytes: Buffer.concat([encrypted.subarray(0, a * chunk), encrypted.subarray((a + 1) * chunk)]),
      codes: ['altered', 'truncated'],
      firstWrong: a * chunk,
    })),
  );
  await fc.assert(
    fc.asyncProperty(altered, fc.constantFrom(4_096, 65_536, 1 << 20), async ({ bytes, codes, firstWrong }, size) => {
      const opened = await open(inPieces(bytes, [size]), sealed);
      assert.ok(codes.includes(opened.code), opened.code);
      assert.ok(opened.plain.equals(plain.subarray(0, opened.plain.length)));
      assert.ok(opened.plain.length <= Math.floor(firstWrong / chunk) * chunk, 'nothing of the wrong chunk');
    }),
    { numRuns: 60 },
  );
});

test('wrong keys, digests and descriptions are refused in words of their own', async () => {
  const { sealed, encrypted } = await seal(randomBytes(200_000));
  const flipped = (bytes: Uint8Array, at: number): Uint8Array => bytes.map((byte, i) => (i === at ? byte ^ 1 : byte));
  const codeOf = async (change: Partial<AttachmentSecrets>): Promise<string> =>
    (await open(inPieces(encrypted, [65_536]), { ...sealed, ...change })).code;
  assert.equal(await codeOf({ key: flipped(sealed.key, 40) }), 'altered');
  assert.equal(await codeOf({ key: new Uint8Array(randomBytes(64)) }), 'altered');
  assert.equal(await codeOf({ digest: flipped(sealed.digest, 3) }), 'digest-mismatch');
  assert.equal(await codeOf({ incrementalMac: flipped(sealed.incrementalMac, 0) }), 'altered');
  assert.equal(
    await codeOf({ incrementalMac: flipped(sealed.incrementalMac, sealed.incrementalMac.length - 1) }),
    'altered',
  );
  // An AES key that isn't the MAC key's partner can come from a broken sender alone.
  assert.notEqual(await codeOf({ key: flipped(sealed.key, 0) }), 'opened');
  for (const change of [
    { key: sealed.key.subarray(1) },
    { digest: new Uint8Array(31) },
    { incrementalMac: sealed.incrementalMac.subarray(32) },
    { incrementalMac: new Uint8Array(0) },
    { incrementalMacChunkBytes: 0 },
    { incrementalMacChunkBytes: 1.5 },
    { incrementalMacChunkBytes: 2 ** 31 },
    { sizeBytes: -1 },
    { sizeBytes: Number.NaN },
    { sizeBytes: attachmentLimits.maxSizeBytes + 1 },
    { sizeBytes: 10 },
  ]) {
    assert.equal(await codeOf(change), 'pointer-refused', JSON.stringify(Object.keys(change)));
  }
  assert.equal((await sealAttachment(source(new Uint8Array(0)), attachmentLimits.maxSizeBytes + 1)).kind, 'refused');
});

test('a sender who says a smaller size can hide nothing behind it', async () => {
  const plain = randomBytes(570);
  // A last byte that is zero would be padding.
  plain[569] = 1;
  const { sealed, encrypted } = await seal(plain);
  assert.equal((await open(inPieces(encrypted, [100]), { ...sealed, sizeBytes: 569 })).code, 'padding-refused');
  assert.equal((await open(inPieces(encrypted, [100]), { ...sealed, sizeBytes: 571 })).code, 'opened');
});

test('an upload goes on anywhere; a file that was changed never goes out under the old key', async () => {
  const plain = randomBytes(300_000);
  const { sealed, encrypted } = await seal(plain);
  const kept = parseSealed(encodeSealed(sealed));
  assert.deepEqual(kept, sealed);
  assert.ok(kept !== undefined);
  for (const from of [0, 1, 15, 16, 65_535, 65_536, 200_000, encrypted.length - 1, encrypted.length]) {
    assert.ok((await buffer(readSealed(source(plain), kept, from))).equals(encrypted.subarray(from)), `${from}`);
  }
  const changed = Buffer.from(plain);
  changed[150_000]! ^= 1;
  for (const other of [changed, plain.subarray(1), Buffer.concat([plain, Buffer.from('x')])]) {
    const out: Uint8Array[] = [];
    await assert.rejects(
      async () => {
        for await (const part of readSealed(source(other), sealed)) out.push(part);
      },
      (error: unknown) => error instanceof AttachmentFailure && error.code === 'source-changed',
    );
    const sent = Buffer.concat(out);
    assert.ok(sent.equals(encrypted.subarray(0, sent.length)), 'only what was described before');
  }
  assert.deepEqual(await sealAttachment(source(plain), 299_999), { kind: 'refused', code: 'source-changed' });
  assert.deepEqual(await sealAttachment(source(plain), 300_001), { kind: 'refused', code: 'source-changed' });
  fc.assert(fc.property(fc.string(), text => assert.equal(parseSealed(text), undefined)));
  assert.equal(parseSealed(encodeSealed(sealed).replace('1.300000', '1.9999999999')), undefined);
});

test('errors of the source and of the writer end as values', async () => {
  const { sealed, encrypted } = await seal(randomBytes(200_000));
  async function* breaking(): AsyncGenerator<Uint8Array> {
    yield encrypted.subarray(0, 100_000);
    throw new Error('connection reset');
  }
  assert.equal((await open(breaking(), sealed)).code, 'source-failed');
  const full = await openAttachment(inPieces(encrypted, [65_536]), sealed, () => Promise.reject(new Error('ENOSPC')));
  assert.deepEqual(full, { kind: 'refused', code: 'write-failed' });
  const sealing = await sealAttachment(breaking, 200_000);
  assert.deepEqual(sealing, { kind: 'refused', code: 'source-failed' });
  for (const { text } of Object.values(attachmentErrors)) assert.match(text, /\.$/);
});

test('a file is saved whole or not at all', async () => {
  const plain = randomBytes(150_000);
  const { sealed, encrypted } = await seal(plain);
  const path = join(folder, 'saved');
  writeFileSync(path, 'what was there');
  const short = inPieces(encrypted.subarray(0, -1), [65_536]);
  assert.deepEqual(await saveAttachment(short, sealed, path), { kind: 'refused', code: 'truncated' });
  assert.equal(readFileSync(path, 'utf8'), 'what was there');
  assert.deepEqual(readdirSync(folder), ['saved']);
  assert.deepEqual(await saveAttachment(inPieces(encrypted, [65_536]), sealed, path), { kind: 'opened' });
  assert.ok(readFileSync(path).equals(plain));
  assert.deepEqual(readdirSync(folder), ['saved']);
  const nowhere = await saveAttachment(inPieces(encrypted, [65_536]), sealed, join(folder, 'none', 'x'));
  assert.deepEqual(nowhere, { kind: 'refused', code: 'write-failed' });
});

test('plays while it arrives, and from anywhere; a copy that is changed later is noticed', async () => {
  const chunk = attachmentLimits.minChunkBytes;
  const plain = randomBytes(6 * chunk + 77);
  const { sealed, encrypted } = await seal(plain);
  const copy = Buffer.from(encrypted);
  let arrivedBytes = 0;
  const reader = createAttachmentReader(sealed, async (at, into) =>
    copy.copy(into, 0, at, Math.max(at, Math.min(at + into.length, arrivedBytes))),
  );
  assert.deepEqual(await reader.read(0), { kind: 'not-yet' });
  arrivedBytes = chunk + 5;
  const early = await reader.read(0);
  assert.ok(early.kind === 'plaintext' && early.bytes.length >= chunk - 32);
  assert.ok(Buffer.from(early.bytes).equals(plain.subarray(0, early.bytes.length)));
  assert.deepEqual(await reader.read(2 * chunk), { kind: 'not-yet' });
  arrivedBytes = copy.length;
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 0, max: plain.length - 1 }), async at => {
      const read = await reader.read(at);
      assert.ok(read.kind === 'plaintext' && read.bytes.length > 0);
      assert.ok(Buffer.from(read.bytes).equals(plain.subarray(at, at + read.bytes.length)));
    }),
    { numRuns: 60 },
  );
  const parts: Uint8Array[] = [];
  for (let at = 0; ; at += parts.at(-1)!.length) {
    const read = await reader.read(at);
    assert.ok(read.kind === 'plaintext');
    if (read.bytes.length === 0) break;
    parts.push(read.bytes);
  }
  assert.ok(Buffer.concat(parts).equals(plain));

  copy[2 * chunk + 40]! ^= 1;
  assert.deepEqual(await reader.read(2 * chunk), { kind: 'refused', code: 'altered' });
  assert.deepEqual(await createAttachmentReader(sealed, async (at, into) => copy.copy(into, 0, at)).read(5 * chunk), {
    kind: 'refused',
    code: 'altered',
  });
  const broken = createAttachmentReader(sealed, () => Promise.reject(new Error('EIO')));
  assert.deepEqual(await broken.read(0), { kind: 'refused', code: 'source-failed' });
  const malformed = createAttachmentReader({ ...sealed, incrementalMacChunkBytes: 0 }, async () => 1);
  assert.deepEqual(await malformed.read(0), { kind: 'refused', code: 'pointer-refused' });
});

test('memory stays flat: 64 MiB and more pass through', { timeout: 60_000 }, async () => {
  const sizeBytes = Number(process.env['DRAWBRIDGE_BIG_ATTACHMENT_BYTES'] ?? 64 * 1_048_576) + 13;
  const block = randomBytes(65_536);
  const hashOf = createHash('sha256');
  async function* generated(): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < sizeBytes; at += block.length)
      yield block.subarray(0, Math.min(block.length, sizeBytes - at));
  }
  for await (const part of generated()) hashOf.update(part);
  const expected = hashOf.digest('hex');
  const result = await sealAttachment(generated, sizeBytes);
  assert.ok(result.kind === 'sealed');
  const startBytes = process.memoryUsage().rss;
  let peakBytes = 0;
  const opened = createHash('sha256');
  const done = await openAttachment(readSealed(generated, result.sealed), result.sealed, part => {
    opened.update(part);
    peakBytes = Math.max(peakBytes, process.memoryUsage().rss);
  });
  assert.deepEqual(done, { kind: 'opened' });
  assert.equal(opened.digest('hex'), expected);
  assert.ok(peakBytes - startBytes < 64 * 1_048_576, `${peakBytes - startBytes} bytes more`);
});
