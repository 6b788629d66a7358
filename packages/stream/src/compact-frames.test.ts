// Frames: cut out of any chunking at a linear price, sealed with every limit of the peer kept in mind.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mock, test } from 'node:test';
import { CipherState } from '@drawbridge/noise/cipher-state';
import { nodeSuite } from '@drawbridge/noise/node-crypto';
import { compactContext } from '@drawbridge/wire/compact-value';
import { childElement, type Element, element } from '@drawbridge/wire/element';
import { xmlLimitsAfterLogin } from '@drawbridge/wire/limits';
import { NS_CLIENT, NS_SM } from '@drawbridge/wire/namespaces';
import * as fc from 'fast-check';
import { FrameReader, frameOf, maxFrameBytes, openFrame, sealNothing, sealStanzas } from './compact-frames.ts';

const context = compactContext('citadel.example');
const suite = nodeSuite('AESGCM', 'SHA256');

function keys(): { send: CipherState; receive: CipherState } {
  const key = randomBytes(32);
  return { send: new CipherState(suite, key), receive: new CipherState(suite, key) };
}

function framesOf(reader: FrameReader): Uint8Array[] {
  const frames: Uint8Array[] = [];
  for (;;) {
    const frame = reader.next();
    if (frame === undefined) return frames;
    assert.notEqual(frame, 'frame-too-long');
    frames.push(frame as Uint8Array);
  }
}

/** Bytes written by `TypedArray.set` while `run` runs. */
function copiedBytes(run: () => void): number {
  const spy = mock.method(Uint8Array.prototype, 'set');
  try {
    run();
    return spy.mock.calls.reduce((sum, call) => sum + call.arguments[0].length, 0);
  } finally {
    spy.mock.restore();
  }
}

test('frames come out as they went in, however they were cut, and are not changed by what follows', () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 700 }), { maxLength: 12 }),
      fc.array(fc.integer({ min: 1, max: 900 }), { minLength: 1, maxLength: 20 }),
      fc.integer({ min: 0, max: 10 }),
      (bodies, cuts, prefix) => {
        const wire = Buffer.concat([Buffer.alloc(prefix, 7), ...bodies.map(frameOf)]);
        const reader = new FrameReader(700);
        const out: Uint8Array[] = [];
        let taken: Uint8Array | undefined = prefix === 0 ? new Uint8Array(0) : undefined;
        for (let at = 0, i = 0; at < wire.length; i++) {
          const size = cuts[i % cuts.length]!;
          reader.push(Uint8Array.from(wire.subarray(at, at + size)));
          at += size;
          taken ??= reader.takeBytes(prefix);
          if (taken !== undefined) out.push(...framesOf(reader));
        }
        assert.equal(reader.heldBytes, 0);
        assert.deepEqual(
          out.map(frame => Buffer.from(frame)),
          bodies.map(body => Buffer.from(body)),
        );
      },
    ),
  );
});

test('a large frame that drips in is not copied again and again', () => {
  const frame = frameOf(randomBytes(maxFrameBytes));
  for (const size of [1, 7, 1_000, 65_536]) {
    const reader = new FrameReader(maxFrameBytes);
    let out: Uint8Array | string | undefined;
    const copied = copiedBytes(() => {
      for (let at = 0; at < frame.length; at += size) {
        reader.push(frame.subarray(at, at + size));
        out = reader.next();
      }
    });
    assert.deepEqual(out, frame.subarray(3));
    assert.ok(copied <= 3 * frame.length, `${copied} bytes were copied in pieces of ${size}`);
  }
});

test('frames that come whole are not copied, and a small rest does not keep a large chunk', () => {
  const frames = Array.from({ length: 100 }, () => frameOf(randomBytes(600)));
  const wire = Buffer.concat([...frames, frames[0]!.subarray(0, 5)]);
  const reader = new FrameReader(maxFrameBytes);
  const copied = copiedBytes(() => {
    reader.push(wire);
    assert.equal(framesOf(reader).length, 100);
  });
  assert.equal(copied, 5);
  reader.push(frames[0]!.subarray(5));
  const [last] = framesOf(reader);
  assert.deepEqual(last, frames[0]!.subarray(3));
  assert.ok(last.buffer.byteLength < 2_000, 'the last frame lies in a buffer of its own');
});

test('a length above the limit is refused when it is read, not when it has come', () => {
  const reader = new FrameReader(100);
  reader.push(Uint8Array.of(0, 0, 101));
  assert.equal(reader.next(), 'frame-too-long');
});

test('any number of small stanzas is sealed into frames that the other side takes', () => {
  const { send, receive } = keys();
  const stanzas = Array.from({ length: 5_000 }, (_, i) => element('a', NS_SM, { h: String(i) }));
  const reader = new FrameReader(maxFrameBytes);
  reader.push(sealStanzas(stanzas, context, send)!);
  const out = framesOf(reader).map(frame => openFrame(frame, context, xmlLimitsAfterLogin, receive));
  assert.equal(out.length, 5);
  assert.deepEqual(out.flat(), stanzas);
});

test('a stanza of any size up to the limit passes, in as many Noise messages as it needs', () => {
  // Around the borders of one, two, three and four Noise messages.
  for (const size of [0, 16, 65_400, 65_471, 65_519, 65_520, 131_038, 196_557, 196_558, 261_000]) {
    const { send, receive } = keys();
    // No base64, which would come back as bytes.
    const text = '~'.repeat(size);
    const stanza = element('message', NS_CLIENT, { id: 'm1' }, [element('body', NS_CLIENT, {}, [text])]);
    const reader = new FrameReader(maxFrameBytes);
    reader.push(sealStanzas([stanza, element('r', NS_SM)], context, send)!);
    const frames = framesOf(reader);
    const out = frames.flatMap((frame): readonly Element[] => {
      const opened = openFrame(frame, context, xmlLimitsAfterLogin, receive);
      assert.notEqual(typeof opened, 'string');
      return typeof opened === 'string' ? [] : opened;
    });
    assert.equal(out.length, 2, String(size));
    const body = childElement(out[0]!, 'body', NS_CLIENT)!;
    assert.ok((body.children[0] ?? '') === text);
    const messages = frames.reduce((sum, frame) => sum + Math.ceil(frame.length / 65_535), 0);
    assert.equal(receive.nonce, BigInt(messages));
  }
});

test('an empty frame is a keep-alive', () => {
  const { send, receive } = keys();
  const frame = sealNothing(send)!;
  assert.equal(frame.length, 19);
  assert.deepEqual(openFrame(frame.subarray(3), context, xmlLimitsAfterLogin, receive), []);
  assert.equal(openFrame(frame.subarray(3), context, xmlLimitsAfterLogin, receive), 'frame-not-authentic');
});

test('a frame that is authentic but no stanzas is malformed', () => {
  const { send, receive } = keys();
  const sealed = send.encrypt(Uint8Array.of(0xff, 0xff));
  assert.ok(sealed instanceof Uint8Array);
  assert.equal(openFrame(sealed, context, xmlLimitsAfterLogin, receive), 'frame-malformed');
});

test('a key that is used up seals nothing more', () => {
  const { send } = keys();
  send.skipTo(2n ** 64n - 1n);
  assert.equal(sealNothing(send), undefined);
  assert.equal(sealStanzas([element('r', NS_SM)], context, send), undefined);
});
