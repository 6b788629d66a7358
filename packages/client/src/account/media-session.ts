// Where this person's files are uploaded, and the session that may: from a provider that runs the kit, or from an app whose
// service has a login of its own. Knows nothing of files. Source: docs/protocol/11-media.md section 11.4.
import { ClientError } from '../errors.ts';
import { isHttpsUrl } from '../connection/http.ts';

/** What `provider.beginSession` of the provider kit gave the app. */
export type MediaSession = {
  /** The session's token. */
  readonly session: string;
  /** `https:` URL where uploads are created. */
  readonly mediaUrl: string;
};

/**
 * Asked before the first upload, and with `renew` when the last session was refused. The app asks its own service, which
 * begins a session for the person that is logged in there. Undefined when there is no place for files.
 */
export type MediaSessionSource = (request: { readonly renew: boolean }) => Promise<MediaSession | undefined>;

export type MediaPlace = {
  /** Where uploads are created; undefined when there is no place. */
  readonly mediaEndpoint: () => Promise<string | undefined>;
  /** The session's token; a new one when the last was refused. */
  readonly session: (renew?: boolean) => Promise<string>;
};

/** Keeps what the app gave until it is refused. Two uploads that begin at once ask the app once. */
export function mediaPlaceOf(source: MediaSessionSource): MediaPlace {
  let asked: Promise<MediaSession | undefined> | undefined;

  function ask(renew: boolean): Promise<MediaSession | undefined> {
    if (asked !== undefined && !renew) return asked;
    const asking = source({ renew }).then(checked);
    asked = asking;
    // What failed, or wasn't there, is asked for again.
    const forget = (): void => {
      if (asked === asking) asked = undefined;
    };
    asking.then(given => given ?? forget(), forget);
    return asking;
  }

  return {
    mediaEndpoint: async () => (await ask(false))?.mediaUrl,
    async session(renew = false) {
      const given = await ask(renew);
      if (given === undefined) throw new ClientError('no-media-origin');
      return given.session;
    },
  };
}

function checked(given: MediaSession | undefined): MediaSession | undefined {
  if (given === undefined) return undefined;
  if (typeof given.session !== 'string' || given.session === '' || !isHttpsUrl(given.mediaUrl)) {
    throw new ClientError('invalid-argument', { detail: 'mediaSession gives { session, mediaUrl }, an https URL' });
  }
  return given;
}
