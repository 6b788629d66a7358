// A file on its way, as an application sees it. A type alone.
import type { ClientErrorCode } from '../errors.ts';
import type { FileProgress } from './file-to-send.ts';

/** A file that was to be sent, and has not become a message yet. */
export type UnsentFile = {
  readonly id: string;
  /** InteropId of the person whom it is for. */
  readonly to: string;
  /** Where it lies, when it is sent by its path. */
  readonly path?: string;
  readonly name: string;
  /** `failed`: it needs a person, and stays in the list until it is dropped or goes on. `paused`: a person wants it to wait. */
  readonly state: 'waiting' | 'paused' | 'sending' | 'sent' | 'failed';
  readonly progress?: FileProgress;
  readonly failure?: { readonly code: ClientErrorCode; readonly detail?: string };
};
