// What a gatekeeper may do for networks on one machine, and never in production.
// Types alone.
import type { Tap } from './listeners/admission.ts';

export type Development = {
  /** HTTP and WebSocket ports also speak without TLS, told apart by the first byte. */
  readonly alsoPlain?: boolean;
  /** The `xmpp` port speaks without TLS, for measurements. */
  readonly plaintextXmpp?: boolean;
  /** Where the keys of compact sessions are written for `drawbridge inspect`. */
  readonly keyLogFile?: string;
  /** Shown every byte that clients and providers send, after TLS and Noise: for those who check what a gatekeeper can see. */
  readonly tap?: Tap;
};
