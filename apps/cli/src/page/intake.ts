// Files that a page hands over to be sent: what they are is said on the page's line first, their bytes come by a request to a
// place that is made for them. Knows nothing of who may ask, and nothing of how files are sent.
import { randomBytes } from 'node:crypto';
import type { Client, SentFile } from '@drawbridge/client';
import { explained, pageError } from './page-error.ts';
import type { PageError, UnsentView } from './protocol.ts';
import { unsentView } from './views.ts';

export const intakeLimits = {
  /** Files that were named, and whose bytes have not come; the oldest goes. */
  offers: 32,
} as const;

type To = Parameters<Client['files']['queue']>[0];
export type Offer = {
  readonly to: To;
  readonly file: Omit<Extract<SentFile, { from: unknown }>, 'from'>;
};

export type Taken =
  | { readonly ok: true; readonly file: UnsentView }
  | { readonly ok: false; readonly error: PageError };

export class Intake {
  readonly #client: () => Client | undefined;
  readonly #onDefect: (error: unknown) => void;
  readonly #offers = new Map<string, Offer>();

  constructor(client: () => Client | undefined, onDefect: (error: unknown) => void) {
    this.#client = client;
    this.#onDefect = onDefect;
  }

  /** Where its bytes go, once. */
  offer(offer: Offer): string {
    const path = `/upload/${randomBytes(24).toString('base64url')}`;
    this.#offers.set(path, offer);
    const [oldest] = this.#offers.keys();
    if (this.#offers.size > intakeLimits.offers) this.#offers.delete(oldest!);
    return path;
  }

  /** Resolves when the file lies in the client's folder, from where it is sent by itself; then the page may forget it. */
  async take(path: string, from: AsyncIterable<Uint8Array>): Promise<Taken | undefined> {
    const offer = this.#offers.get(path);
    this.#offers.delete(path);
    const client = this.#client();
    if (offer === undefined || client === undefined) return undefined;
    try {
      return { ok: true, file: unsentView(await client.files.queue(offer.to, { ...offer.file, from })) };
    } catch (error) {
      const told = explained(error);
      if (told === undefined) this.#onDefect(error);
      return { ok: false, error: told ?? pageError('internal') };
    }
  }
}
