// Why a stream's XML is refused, kept where all rooms of the decoder write it; the numbers by which they tell each other
// how far they came. Knows nothing of what is read.

import type { StreamErrorCondition } from '../stream-error.ts';

export const accepted = 0;
/** The token's end has not arrived. */
export const incomplete = -1;
/** The refusal says why. */
export const failed = -2;

/** The first refusal of a stream; none while `detail` is empty. */
export class Refusal {
  condition: StreamErrorCondition = 'not-well-formed';
  detail = '';

  get isSet(): boolean {
    return this.detail !== '';
  }

  refuse(condition: StreamErrorCondition, detail: string): typeof failed {
    this.condition = condition;
    this.detail = detail;
    return failed;
  }

  malformed(detail: string): typeof failed {
    return this.refuse('not-well-formed', detail);
  }

  tooLarge(): typeof failed {
    return this.refuse('policy-violation', 'an element is too large');
  }

  forget(): void {
    this.condition = 'not-well-formed';
    this.detail = '';
  }
}
