// The media proxy: fetches a granted file from its provider's media origin and passes it on as it comes. Hides the
// person's address from the origin, stores nothing, follows nothing, and fetches nothing without a grant.
// Knows nothing of the HTTP framework in front of it, nor of what is in a file.
// Source: docs/protocol/11-media.md section 11.6; threat 5 of the threat model.
import { pipeline, Readable, Transform, type TransformCallback } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Egress, EgressErrorCode } from '@drawbridge/identity/egress';
import type { MediaOrigin } from '@drawbridge/provider/media-origin';
import { readRange } from '@drawbridge/provider/media-origin-range';
import { type Budgets, personKey } from '../budgets.ts';
import type { Limits } from '../config-schema.ts';
import type { ReachPolicy } from '../consent/may-reach.ts';
import type { Account, Accounts } from '../enlistment/account.ts';
import type { ProblemCode } from '../http/problems.ts';
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

const mebibyte = 1_048_576;
const bufferBytes = 262_144;
/** After this many bytes it is asked again whether the person may have them. */
const recheckBytes = 16 * mebibyte;

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
  /** By person, by their provider, and by the provider whose origin it is. */
  const activeOf = new Map<string, number>();
  let active = 0;
  let closed = false;

  async function allowed(grant: MediaGrant, provider: number): Promise<Account | undefined> {
    const account = await deps.accounts.find(grant.interopId);
    const known = account?.devices.some(device => device.id === grant.deviceId) === true;
    return known && mayFetch(account, provider, policy) ? account : undefined;
  }

  async function openUpstream(place: MediaPlace, method: 'GET' | 'HEAD', part: Part | undefined): Promise<Upstream> {
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

  /**
   * Exactly the granted number of bytes, no faster than the person's budget allows. Anything else cuts the connection, so that nobody
   * takes what came for the whole.
   */
  function passOn(grant: MediaGrant, place: MediaPlace, account: Account, bytes: number): Transform {
    const charge = { budget: 'mediaMebibytesPerAccount', key: personKey(account) } as const;
    let leftBytes = bytes;
    let paidBytes = 0;
    let uncheckedBytes = 0;
    const pay = async (wantedBytes: number): Promise<void> => {
      while (paidBytes < wantedBytes && !body.destroyed) {
        const waitSeconds = budgets.take([charge]);
        if (waitSeconds === 0) paidBytes += mebibyte;
        else await sleep(waitSeconds * 1000);
      }
    };
    const body = new Transform({
      highWaterMark: bufferBytes,
      transform(chunk: Buffer, _encoding, done) {
        leftBytes -= chunk.length;
        uncheckedBytes += chunk.length;
        if (leftBytes < 0) return done(new Error('the origin sent more than it said'));
        if (uncheckedBytes >= recheckBytes) {
          uncheckedBytes = 0;
          void allowed(grant, place.provider).then(
            account => {
              if (account === undefined) body.destroy(new Error('the person may not reach it any more'));
              else passOn(chunk, done);
            },
            (error: Error) => body.destroy(error),
          );
        } else passOn(chunk, done);
      },
      flush: done => done(leftBytes > 0 ? new Error('the origin sent less than it said') : null),
    });
    const passOn = (chunk: Buffer, done: TransformCallback): void => {
      const pass = (): void => {
        paidBytes -= chunk.length;
        done(null, chunk);
      };
      if (paidBytes >= chunk.length) pass();
      else void pay(chunk.length).then(pass);
    };
    return body;
  }

  /** A place, with its shares; undefined when one of them is used up. */
  function begin(account: Account, place: MediaPlace): (() => void) | undefined {
    const shares = [
      { name: `person ${account.row}`, most: limits.mediaFetchesPerAccount },
      { name: `people of ${account.provider}`, most: limits.mediaFetchesPerProvider },
      { name: `origins of ${place.provider}`, most: limits.mediaFetchesPerProvider },
    ];
    if (active >= limits.mediaFetches) return undefined;
    if (shares.some(({ name, most }) => (activeOf.get(name) ?? 0) >= most)) return undefined;
    active += 1;
    for (const { name } of shares) activeOf.set(name, (activeOf.get(name) ?? 0) + 1);
    return () => {
      active -= 1;
      for (const { name } of shares) {
        const others = (activeOf.get(name) ?? 1) - 1;
        if (others === 0) activeOf.delete(name);
        else activeOf.set(name, others);
      }
    };
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
    const end = closed ? undefined : begin(account, place);
    if (end === undefined) return problem('busy');
    const part = range === 'whole' ? undefined : range;
    let upstream: Upstream;
    try {
      upstream = await openUpstream(place, method, part);
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
    const headers = {
      'accept-ranges': 'bytes',
      'cache-control': 'private, no-store',
      'content-disposition': 'attachment',
      'content-length': String(endBytes - startBytes),
      'content-type': 'application/octet-stream',
      ...(whole ? {} : { 'content-range': `bytes ${startBytes}-${endBytes - 1}/${grant.sizeBytes}` }),
    };
    if (method === 'HEAD') {
      stream.destroy();
      end();
      return { kind: 'answer', status: 200, headers, body: undefined };
    }
    const body = passOn(grant, place, account, endBytes - startBytes);
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
    active: () => active,
    close() {
      closed = true;
      for (const body of fetching) body.destroy();
      deps.egress.close();
    },
  };
}
