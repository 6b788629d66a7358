// Puts the media side together: grants, proxy, and its own way out. Knows nothing of streams or HTTP.
import { createEgress, type EgressOptions } from '@drawbridge/identity/egress';
import type { MediaOrigin } from '@drawbridge/provider/media-origin';
import type { Budgets } from '../budgets.ts';
import type { Config } from '../config-schema.ts';
import type { ReachPolicy } from '../consent/may-reach.ts';
import type { Registry } from '../providers/registry.ts';
import type { Accounts } from '../enlistment/account.ts';
import type { IqHandlers } from '../routing/iq.ts';
import { createMediaGrants, openMediaGrantKey } from './media-grants.ts';
import { mediaIqHandlers } from './media-iq.ts';
import { createMediaPlaces } from './media-origins.ts';
import { createMediaProxy, type MediaProxy } from './media-proxy.ts';

export type Media = {
  readonly iqHandlers: IqHandlers;
  readonly proxy: MediaProxy;
};

export type MediaDeps = {
  readonly config: Config;
  readonly egressOptions: EgressOptions;
  readonly accounts: Accounts;
  readonly policy: ReachPolicy & Pick<Registry, 'providerOfOrigin'>;
  readonly budgets: Budgets;
  readonly ownFiles: Pick<MediaOrigin, 'find'> | undefined;
  readonly nowMs: () => number;
  readonly log: (code: string, provider: number) => void;
};

/** Throws MediaKeyError when the key file is unfit. */
export function createMedia(deps: MediaDeps): Media {
  const { config, accounts, policy, budgets, ownFiles, nowMs, log } = deps;
  const { limits } = config;
  const grants = createMediaGrants(openMediaGrantKey(config.dataFolder));
  const findPlace = createMediaPlaces(config, policy.providerOfOrigin);
  const egress = createEgress({
    ...deps.egressOptions,
    limits: {
      idleTimeoutMs: limits.mediaIdleSeconds * 1000,
      totalTimeoutMs: limits.mediaFetchSeconds * 1000,
      maxConcurrent: limits.mediaFetches,
    },
  });
  return {
    iqHandlers: mediaIqHandlers({ issuer: config.issuer, grants, findPlace, policy, budgets, limits }),
    proxy: createMediaProxy({ grants, findPlace, accounts, policy, budgets, limits, egress, ownFiles, nowMs, log }),
  };
}
