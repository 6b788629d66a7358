// Looks for texts in bytes, as they are and in the disguises that careless software leaves: base64, hex, UTF-16,
// percent-encoding. Knows nothing of where the bytes come from.

/** The byte strings that would betray `text`: found at any offset of base64 too. */
export function disguisesOf(text: string): Buffer[] {
  const bytes = Buffer.from(text, 'utf8');
  const disguises = [bytes, Buffer.from(text, 'utf16le'), Buffer.from(encodeURIComponent(text))];
  disguises.push(Buffer.from(bytes.toString('hex')), Buffer.from(bytes.toString('hex').toUpperCase()));
  // In base64, what stands before shifts the letters: three alignments, without the letters that neighbours share.
  for (let shift = 0; shift < 3; shift++) {
    const shifted = Buffer.concat([Buffer.alloc(shift), bytes]);
    const whole = shifted.subarray(0, shifted.length - (shifted.length % 3));
    const encoded = whole.toString('base64').slice(shift === 0 ? 0 : 4);
    disguises.push(Buffer.from(encoded), Buffer.from(encoded.replaceAll('+', '-').replaceAll('/', '_')));
  }
  return disguises;
}

/** How many of the texts are found in `haystack` in any disguise. */
export function countFound(texts: readonly string[], haystack: Buffer): number {
  return texts.filter(text => disguisesOf(text).some(disguise => disguise.length > 0 && haystack.includes(disguise)))
    .length;
}
