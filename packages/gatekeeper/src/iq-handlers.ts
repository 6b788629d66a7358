// All IQ handlers of the domains in one table, and what they share. Knows nothing of streams or encodings.
import { type Charge, personKey } from './budgets.ts';
import { contactIqHandlers } from './consent/contact-iq.ts';
import { consentIqHandlers } from './consent/consent-iq.ts';
import { directoryIqHandlers } from './consent/directory-iq.ts';
import { linkIqHandlers } from './consent/link-iq.ts';
import { deviceIqHandlers } from './enlistment/device-iq.ts';
import type { IqDeps, IqHandlerDeps } from './iq-deps.ts';
import { keyIqHandlers } from './keys/key-iq.ts';
import { manifestIqHandlers } from './keys/manifest-iq.ts';
import type { IqHandler, IqHandlers } from './routing/iq.ts';
import { StoreError } from './storage/store-error.ts';

export function createIqHandlers(given: IqHandlerDeps): IqHandlers {
  const { people, providerCost } = given;
  const deps: IqDeps = {
    ...given,
    identityKeyOf: account => people.readIdentityKey(account),
    lookupCharges: account => {
      const { provider } = account;
      const own: Charge = { budget: 'lookupsPerRequester', key: personKey(account) };
      if (provider === 0) return [own];
      return [own, { budget: 'lookupsPerProvider', key: String(provider), cost: providerCost(provider) }];
    },
  };
  const handlers = new Map<string, IqHandler>();
  const domains = [
    keyIqHandlers(deps),
    manifestIqHandlers(deps),
    directoryIqHandlers(deps),
    consentIqHandlers(deps),
    contactIqHandlers(deps),
    linkIqHandlers(deps),
    deviceIqHandlers(deps),
    given.media,
    given.reports,
  ];
  for (const domain of domains) {
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
