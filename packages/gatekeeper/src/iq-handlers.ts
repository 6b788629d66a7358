// All IQ handlers of the domains in one table, and what they share. Knows nothing of streams or encodings.
import type { Element } from '@drawbridge/wire/element';
import { type Budgets, type Charge, personKey } from './budgets.ts';
import type { Limits } from './config-schema.ts';
import { consentIqHandlers } from './consent/consent-iq.ts';
import type { Account, Device } from './enlistment/account.ts';
import type { CachedAccounts } from './enlistment/accounts.ts';
import { deviceIqHandlers } from './enlistment/device-iq.ts';
import type { AccountStore } from './enlistment/account-store.ts';
import type { Enlistment } from './enlistment/enlistment.ts';
import type { KeyDirectory } from './keys/key-directory.ts';
import { keyIqHandlers } from './keys/key-iq.ts';
import type { Registry } from './providers/registry.ts';
import type { IqHandler, IqHandlers } from './routing/iq.ts';
import { StoreError } from './storage/store-error.ts';

export type IqHandlerDeps = {
  readonly domain: string;
  readonly people: AccountStore;
  readonly keys: KeyDirectory;
  readonly accounts: CachedAccounts;
  readonly registry: Registry;
  readonly enlistment: Enlistment;
  readonly budgets: Budgets;
  readonly limits: Limits;
  readonly mayReach: (from: Account, to: Account) => boolean;
  /** Sends an element to a device that is connected, in a message that is never stored. */
  readonly notifyDevice: (account: Account, device: Device, content: Element) => void;
  readonly media: IqHandlers;
};

export type IqDeps = IqHandlerDeps & {
  readonly identityKeyOf: (account: number) => Promise<Uint8Array | undefined>;
  /** What a directory question costs: the asker, and the asker's provider when it is a third party. */
  readonly lookupCharges: (account: Account) => Charge[];
  /** How much one thing takes from a budget of this provider: ten times as much on trial. */
  readonly providerCost: (provider: number) => number;
};

export function createIqHandlers(given: IqHandlerDeps): IqHandlers {
  const { registry, people } = given;
  const providerCost = (provider: number): number => (registry.find(provider)?.trustClass === 'trial' ? 10 : 1);
  const deps: IqDeps = {
    ...given,
    providerCost,
    identityKeyOf: account => people.readIdentityKey(account),
    lookupCharges: account => {
      const { provider } = account;
      const own: Charge = { budget: 'lookupsPerRequester', key: personKey(account) };
      if (provider === 0) return [own];
      return [own, { budget: 'lookupsPerProvider', key: String(provider), cost: providerCost(provider) }];
    },
  };
  const handlers = new Map<string, IqHandler>();
  for (const domain of [keyIqHandlers(deps), consentIqHandlers(deps), deviceIqHandlers(deps), given.media]) {
    for (const [key, handler] of domain) handlers.set(key, answeringStorageFailures(handler));
  }
  return handlers;
}

/** A full disk or a closing store is our own trouble: the device is told to come again, and nothing was changed. */
function answeringStorageFailures(handler: IqHandler): IqHandler {
  return async request => {
    try {
      return await handler(request);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      return { kind: 'error', condition: 'resource-constraint', type: 'wait' };
    }
  };
}
