// The media proxy: fetches a granted file from its provider's media origin and passes it on as it comes. Hides the
// person's address from the origin, stores nothing, follows nothing, and fetches nothing without a grant.
// Knows nothing of the HTTP framework in front of it, nor of what is in a file.
// Source: docs/protocol/11-media.md section 11.6; threat 5 of the threat model.
import { pipeline, Readable } from 'node:stream';
import type { Egress, EgressErrorCode } from '@drawbridge/identity/egress';
import type { MediaOrigin } from '@drawbridge/provider/media-origin';
import { readRange } from '@drawbridge/provider/media-origin-range';
import { type Budgets, personKey } from '../budgets.ts';
import type { Limits } from '../config-schema.ts';
import type { ReachPolicy } from '../consent/may-reach.ts';
import type { Account, Accounts } from '../enlistment/account.ts';
import type { ProblemCode } from '../http/problems.ts';
import { FetchPlaces } from './fetch-places.ts';
import { grantedBytes } from './granted-bytes.ts';
import type { MediaGrant, MediaGrants } from './media-grants.ts';
import { type FindMediaPlace, mayFetch, type MediaPlace } from './media-origins.ts';

export type MediaProxyDeps = {
  readonly grants: MediaGrants;
  readonly findPlace: FindMediaPlace;
  readonly accounts: Accounts;
  readonly policy: ReachPolicy;
  readonly budgets: Budgets;
  readonly limits: Limits;
  /** Made for this alone: an hour for a fetch, and not in the way of key sets and wake-ups. */
  readonly egress: Egress;
  /** The embedded media origin of own users, read in this process. */
  readonly ownFiles: Pick<MediaOrigin, 'find'> | undefined;
  readonly nowMs: () => number;
  readonly log: (code: string, provider: number) => void;
};

export type MediaAnswer =
  | { readonly kind: 'problem'; readonly code: ProblemCode; readonly headers?: Readonly<Record<string, string>> }
  | {
      readonly kind: 'answer';
      readonly status: 200 | 206;
      readonly headers: Readonly<Record<string, string>>;
      /** Absent for HEAD. Destroy it when the person goes away: the fetch ends with it. */
      readonly body: Readable | undefined;
    };

export type MediaProxy = {
  /** `method` is GET or HEAD, `range` the request's header. Rejects for our own defects only. */
  readonly fetch: (grant: string, method: 'GET' | 'HEAD', range: string | undefined) => Promise<MediaAnswer>;
  /** Fetches under way. */
  readonly active: () => number;
  /** Ends them all; later ones are answered with `busy`. */
  readonly close: () => void;
};

type Upstream =
  | {
      readonly kind: 'response';
      readonly status: number;
      readonly headers: Readonly<Record<string, string>>;
      readonly stream: Readable;
    }
  | { readonly kind: 'failed'; readonly code: EgressErrorCode };

type Part = { readonly startBytes: number; readonly endBytes: number };

export function createMediaProxy(deps: MediaProxyDeps): MediaProxy {
  const { limits, policy, budgets, nowMs } = deps;
  const fetching = new Set<Readable>();
  const places = new FetchPlaces(limits);
  let closed = false;

  async function allowed(grant: MediaGrant, provider: number): Promise<Account | undefined> {
    const account = await deps.accounts.find(grant.interopId);
    const known = account?.devices.some(device => device.id === grant.deviceId) === true;
    return known && mayFetch(account, provider, policy) ? account : undefined;
  }

  async function fetch(text: string, method: 'GET' | 'HEAD', rangeHeader: string | undefined): Promise<MediaAnswer> {
    const problem = (code: ProblemCode): MediaAnswer => ({ kind: 'problem', code });
    const opened = deps.grants.open(text, nowMs());
    if (opened.kind === 'refused')
      return problem(opened.code === 'expired' ? 'media-grant-expired' : 'media-not-found');
    const { grant } = opened;
    // Asked again: origins may have been taken off the list since, people opted out, devices removed.
    const place = deps.findPlace(grant.url);
    const account = place === undefined ? undefined : await allowed(grant, place.provider);
    if (place === undefined || account === undefined) return problem('media-not-allowed');
    const range = method === 'HEAD' ? 'whole' : readRange(rangeHeader, grant.sizeBytes);
    if (range === 'unsatisfiable') {
      const headers = { 'content-range': `bytes */${grant.sizeBytes}` };
      return { kind: 'problem', code: 'media-range-refused', headers };
    }
    const end = closed ? undefined : places.take(account, place);
    if (end === undefined) return problem('busy');
    const part = range === 'whole' ? undefined : range;
    let upstream: Upstream;
    try {
      upstream = await openUpstream(deps, place, method, part);
    } catch (error) {
      end();
      throw error;
    }
    const refused = (code: ProblemCode, reason: string): MediaAnswer => {
      if (upstream.kind === 'response') upstream.stream.destroy();
      end();
      deps.log(reason, place.provider);
      return problem(code);
    };
    if (upstream.kind === 'failed') {
      const code = upstream.code === 'timed-out' ? 'media-origin-timed-out' : 'media-origin-failed';
      return refused(upstream.code === 'busy' || upstream.code === 'closed' ? 'busy' : code, upstream.code);
    }
    const { status, stream } = upstream;
    if (status === 404 || status === 410) return refused('media-not-found', 'gone');
    if (!isGranted(upstream, grant.sizeBytes, part)) return refused('media-origin-failed', 'not-as-granted');
    const whole = status === 200;
    const { startBytes, endBytes } = part !== undefined && !whole ? part : { startBytes: 0, endBytes: grant.sizeBytes };
    const headers = answerHeaders(startBytes, endBytes, whole ? undefined : grant.sizeBytes);
    if (method === 'HEAD') {
      stream.destroy();
      end();
      return { kind: 'answer', status: 200, headers, body: undefined };
    }
    const charge = { budget: 'mediaMebibytesPerAccount', key: personKey(account) } as const;
    const mayGoOn = async (): Promise<boolean> => (await allowed(grant, place.provider)) !== undefined;
    const body = grantedBytes(endBytes - startBytes, () => budgets.take([charge]), mayGoOn);
    fetching.add(body);
    // Whichever end breaks, the other is let go at once.
    pipeline(stream, body, () => {
      fetching.delete(body);
      end();
    });
    return { kind: 'answer', status: whole ? 200 : 206, headers, body };
  }

  return {
    fetch,
    active: () => places.active,
    close() {
      closed = true;
      for (const body of fetching) body.destroy();
      deps.egress.close();
    },
  };
}

/** Whether what the origin says is the granted file: all of it, or the part that was asked for. */
function isGranted(upstream: Upstream & { kind: 'response' }, sizeBytes: number, part: Part | undefined): boolean {
  const { status, headers } = upstream;
  if (status === 200) return headers['content-length'] === String(sizeBytes);
  if (status !== 206 || part === undefined) return false;
  return (
    headers['content-range'] === `bytes ${part.startBytes}-${part.endBytes - 1}/${sizeBytes}` &&
    headers['content-length'] === String(part.endBytes - part.startBytes)
  );
}

async function openUpstream(
  deps: Pick<MediaProxyDeps, 'egress' | 'ownFiles'>,
  place: MediaPlace,
  method: 'GET' | 'HEAD',
  part: Part | undefined,
): Promise<Upstream> {
  if (place.ownFile === undefined) {
    return await deps.egress.open(place.url, {
      method,
      headers: part === undefined ? {} : { range: `bytes=${part.startBytes}-${part.endBytes - 1}` },
      ports: place.ports,
    });
  }
  const file = deps.ownFiles?.find(place.ownFile);
  const { startBytes, endBytes } = part ?? { startBytes: 0, endBytes: file?.sizeBytes ?? 0 };
  const stream = method === 'HEAD' ? Readable.from([]) : await file?.read(startBytes, endBytes);
  if (file === undefined || stream === undefined) {
    return { kind: 'response', status: 404, headers: {}, stream: Readable.from([]) };
  }
  const headers = {
    'content-length': String(endBytes - startBytes),
    'content-range': `bytes ${startBytes}-${endBytes - 1}/${file.sizeBytes}`,
  };
  return { kind: 'response', status: part === undefined ? 200 : 206, headers, stream };
}

/** `sizeBytes`: of the whole file, when this is a part of it. */
function answerHeaders(startBytes: number, endBytes: number, sizeBytes: number | undefined): Record<string, string> {
  return {
    'accept-ranges': 'bytes',
    'cache-control': 'private, no-store',
    'content-disposition': 'attachment',
    'content-length': String(endBytes - startBytes),
    'content-type': 'application/octet-stream',
    ...(sizeBytes === undefined ? {} : { 'content-range': `bytes ${startBytes}-${endBytes - 1}/${sizeBytes}` }),
  };
}
