// The embedded issuer of own users: a provider of this service's own, in this process.
// Knows nothing of streams, or of other providers.
import { join } from 'node:path';
import type { ExpiryClock } from '@drawbridge/identity/believed-clock';
import type { EgressOptions } from '@drawbridge/identity/egress';
import { openMediaStorage } from '@drawbridge/provider/media-storage';
import { createProvider, type Provider as OwnUsers } from '@drawbridge/provider/provider';
import type { Config } from './config-schema.ts';
import type { ControlLog } from './control-log.ts';
import { clientAddress } from './http/client-address.ts';

/** Undefined when the operator names another issuer. Rejects with what the provider kit says. */
export async function openOwnUsers(
  config: Config,
  log: ControlLog,
  { nowMs, expiry }: { readonly nowMs: () => number; readonly expiry: ExpiryClock },
  egress: EgressOptions,
): Promise<OwnUsers | undefined> {
  const { ownUsers } = config;
  if (ownUsers.kind !== 'embedded') return undefined;
  const dataFolder = join(config.dataFolder, 'users');
  const storage = ownUsers.mediaStorage;
  const mediaStore =
    storage === undefined
      ? undefined
      : await openMediaStorage(storage, {
          spoolFolder: join(dataFolder, 'media', 'spool'),
          environment: process.env,
          log: (event, code) => log('warn', `users-${event}`, { code }),
        });
  return await createProvider({
    issuer: `${config.issuer}/users`,
    gatekeepers: [{ issuer: config.issuer }],
    dataFolder,
    registration: ownUsers.registration,
    egress,
    clientAddress: clientAddress(config.trustedProxies, config.relays),
    // Read through the media proxy alone, which asks whether the reader may.
    media: { reading: 'closed', ...(mediaStore === undefined ? {} : { store: mediaStore }) },
    log: ({ event, code }) => log('warn', `users-${event}`, { code }),
    nowMs,
    expiry,
  });
}
