// The table of attacks: what a gatekeeper or a provider may try, and the only things that may come of it.
// Each plays against real clients over a real transport.
import type { Attack } from './attack.ts';
import { contentsAndTimes } from './attacks-on-contents.ts';
import { decisions } from './attacks-on-decisions.ts';
import { falseAnswers } from './attacks-on-answers.ts';
import { liftedBlocks } from './attacks-on-blocks.ts';
import { carriedElsewhere } from './attacks-on-carriage.ts';
import { falseCopies } from './attacks-on-copies.ts';
import { takenDisks } from './attacks-on-disks.ts';
import { falseDevices } from './attacks-on-devices.ts';
import { falseKeys } from './attacks-on-keys.ts';
import { gapsInTrust } from './attacks-on-linking.ts';
import { falseNames } from './attacks-on-names.ts';
import { falsePins } from './attacks-on-pins.ts';
import { falseProofs } from './attacks-on-proofs.ts';
import { falseProviders } from './attacks-on-providers.ts';
import { falseReports } from './attacks-on-reports.ts';

export const attacks: readonly Attack[] = [
  ...carriedElsewhere,
  ...falseKeys,
  ...falseDevices,
  ...falseCopies,
  ...gapsInTrust,
  ...falseAnswers,
  ...falseNames,
  ...falseProviders,
  ...falsePins,
  ...falseProofs,
  ...falseReports,
  ...decisions,
  ...liftedBlocks,
  ...takenDisks,
  ...contentsAndTimes,
];
