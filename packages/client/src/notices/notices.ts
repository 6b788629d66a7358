// `client.notices`: changes of identities, devices and contacts that nobody may miss. They stay until they are acknowledged,
// across restarts; events (`client.events`) tell of them at once, but are lost when nobody listens.
// Knows nothing of where changes come from.
import type { LocalDevice } from '../account/local-device.ts';
import { acknowledgeNotice, listNotices, type Notice } from './notice-records.ts';

export class Notices {
  readonly #device: LocalDevice;

  constructor(device: LocalDevice) {
    this.#device = device;
  }

  /** Those that were not acknowledged, oldest first, at most 1,000 at once. */
  list(): Notice[] {
    return this.#device.transaction(listNotices);
  }

  /** A person has seen it: it is not listed again. A change that came meanwhile stays. */
  acknowledge(notice: Notice): void {
    this.#device.transaction(tx => acknowledgeNotice(tx, notice));
  }
}
