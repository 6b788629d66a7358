// Attacks of a gatekeeper that answers wrongly who somebody is.
import type { Attack } from './attack.ts';

export const falseNames: readonly Attack[] = [];
