// A QR code: dark on light whatever the colours of the page, or readers fail. Knows nothing of what it says.
import type { QrView } from '@drawbridge/cli/page/views';

export function Qr({ code: { size, path }, words }: { readonly code: QrView; readonly words: string }) {
  return (
    <svg class="qr" viewBox={`0 0 ${size} ${size}`} role="img" aria-label={words} shape-rendering="crispEdges">
      <path class="qr-light" d={`M0 0h${size}v${size}H0z`} />
      <path class="qr-dark" d={path} />
    </svg>
  );
}
