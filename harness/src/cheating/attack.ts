// What an attack is, and what may come of one.
import type { CheatingNetwork } from './network.ts';

/**
 * `delivered`: everything reached the right people and nobody else. `told`: a person sees it, as an event, a notice, or a
 * message that failed or is held. `refused`: the client or the gatekeeper refuses with a typed error. `withheld`: nobody was
 * shown it, and its sender sees no receipt.
 */
export type Outcome = 'delivered' | 'told' | 'refused' | 'withheld';

export type Attack = {
  readonly name: string;
  readonly permitted: readonly Outcome[];
  readonly play: (network: CheatingNetwork) => Promise<Outcome>;
};
