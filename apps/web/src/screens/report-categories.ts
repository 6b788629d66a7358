// The kinds of reports that the SDK takes. Values alone: the page's script has nothing of the SDK in it.
import type { CommandArguments } from '@drawbridge/cli/page/protocol';

export const reportCategories = [
  'spam',
  'fraud',
  'abuse',
  'illegal',
  'other',
] as const satisfies readonly CommandArguments<'people.report'>['category'][];
