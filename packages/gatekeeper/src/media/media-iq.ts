// Answers `urn:drawbridge:media:1`: a device asks that a file be fetched for it and gets a grant, where to use it and until
// when. Fetches nothing. Source: docs/protocol/11-media.md section 11.6.
// Knows nothing of sockets or files.
import { element } from '@drawbridge/wire/element';
import { NS_MEDIA } from '@drawbridge/wire/namespaces';
import { type Budgets, personKey } from '../budgets.ts';
import type { Limits } from '../config-schema.ts';
import type { ReachPolicy } from '../consent/may-reach.ts';
import { badRequest, notFound, readAttributes, waitAnswer } from '../keys/strict-payload.ts';
import { type IqAnswer, type IqHandler, type IqHandlers, iqKey, type IqRequest } from '../routing/iq.ts';
import type { MediaGrants } from './media-grants.ts';
import { type FindMediaPlace, mayFetch } from './media-origins.ts';

export type MediaIqDeps = {
  /** The gatekeeper's issuer URL: grants are used under it. */
  readonly issuer: string;
  readonly grants: MediaGrants;
  readonly findPlace: FindMediaPlace;
  readonly policy: ReachPolicy;
  readonly budgets: Budgets;
  readonly limits: Limits;
};

export function mediaIqHandlers(deps: MediaIqDeps): IqHandlers {
  const { issuer, grants, findPlace, policy, budgets, limits } = deps;

  function grant({ payload, account, device, nowMs }: IqRequest): IqAnswer {
    const attributes = readAttributes(payload, ['url', 'size']);
    if (attributes === undefined || payload.children.length > 0) return badRequest;
    const { url, size } = attributes as { url: string; size: string };
    if (!/^[1-9][0-9]{0,14}$/.test(size)) return badRequest;
    const waitSeconds = budgets.take([{ budget: 'mediaGrantsPerAccount', key: personKey(account) }]);
    if (waitSeconds > 0) return waitAnswer(waitSeconds);
    const sizeBytes = Number(size);
    if (sizeBytes > limits.mediaFileBytes) return { kind: 'error', condition: 'not-acceptable', type: 'modify' };
    const place = findPlace(url);
    // Unregistered origins and those of providers out of reach look alike.
    if (place === undefined || !mayFetch(account, place.provider, policy)) return notFound;
    const expiresAtMs = nowMs + limits.mediaGrantSeconds * 1000;
    const sealed = grants.seal({
      interopId: account.interopId,
      deviceId: device.id,
      url: place.url,
      sizeBytes,
      expiresAtMs,
    });
    const expires = new Date(expiresAtMs).toISOString();
    return { kind: 'result', payload: element('grant', NS_MEDIA, { href: `${issuer}/media/${sealed}`, expires }) };
  }

  return new Map<string, IqHandler>([[iqKey('get', NS_MEDIA, 'grant'), grant]]);
}
