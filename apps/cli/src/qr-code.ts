// QR codes of what people pass on by hand, for a terminal and for a page. Knows nothing of what they say.
import encodeQR from 'qr';

/** The most bytes by level of error correction: those of version 20, which a camera still reads from a screen. */
export const maxQrBytes = { low: 858, medium: 666 } as const;

/** Light squares around it, which readers need (ISO/IEC 18004 section 9.1). */
const margin = 4;

/** Dark squares by row and column, the margin included. */
export type QrGrid = readonly (readonly boolean[])[];

/** Undefined when the text is too long. */
export function qrGrid(text: string, level: keyof typeof maxQrBytes): QrGrid | undefined {
  if (Buffer.byteLength(text) > maxQrBytes[level]) return undefined;
  return encodeQR(text, 'raw', { ecc: level, encoding: 'byte', border: margin });
}

/** Two rows in one line of text; light is drawn, for terminals are dark. */
export function qrLines(grid: QrGrid): string[] {
  const lines: string[] = [];
  for (let y = 0; y < grid.length; y += 2) {
    const [upper, lower] = [grid[y]!, grid[y + 1]];
    lines.push(upper.map((dark, x) => '█▀▄ '[(dark ? 2 : 0) + ((lower?.[x] ?? true) ? 1 : 0)]!).join(''));
  }
  return lines;
}

/** As an SVG path within a square of `size`. Undefined when the text is too long. */
export function qrPicture(text: string): { readonly size: number; readonly path: string } | undefined {
  const grid = qrGrid(text, 'medium');
  if (grid === undefined) return undefined;
  let path = '';
  for (const [y, row] of grid.entries()) {
    for (let x = 0; x < row.length; x++) {
      const from = x;
      while (row[x] === true) x++;
      if (x > from) path += `M${from} ${y}h${x - from}v1h-${x - from}z`;
    }
  }
  return { size: grid.length, path };
}
