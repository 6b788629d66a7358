// What somebody says of themselves, made fit to be shown. It is proof of nothing.
// Pure. Knows nothing of who it is.
import type { Profile } from '@drawbridge/e2ee/content-kinds';
import { shownName, shownText } from './shown-text.ts';

export function shownProfile(profile: Profile): Profile {
  const { displayName, about } = profile;
  return {
    ...profile,
    displayName: shownName(displayName),
    ...(about === undefined ? {} : { about: shownText(about) }),
  };
}
