// Sound as a WAV file of one channel and 16 bits: what every browser can make of what it recorded. Pure.

const headerBytes = 44;

export function encodeWav(samples: Float32Array, sampleHz: number): Blob {
  const view = new DataView(new ArrayBuffer(headerBytes + 2 * samples.length));
  const word = (at: number, text: string): void => {
    for (let i = 0; i < text.length; i++) view.setUint8(at + i, text.charCodeAt(i));
  };
  word(0, 'RIFF');
  view.setUint32(4, view.byteLength - 8, true);
  word(8, 'WAVEfmt ');
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, 1, true);
  view.setUint32(24, sampleHz, true);
  view.setUint32(28, 2 * sampleHz, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  word(36, 'data');
  view.setUint32(40, 2 * samples.length, true);
  for (const [at, sample] of samples.entries()) {
    const whole = Math.max(-1, Math.min(1, sample));
    view.setInt16(headerBytes + 2 * at, Math.round(whole * 32_767), true);
  }
  return new Blob([view], { type: 'audio/wav' });
}
