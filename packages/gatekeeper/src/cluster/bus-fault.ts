// Whether the bus of a configuration can be reached. Says nothing on it. Knows nothing of nodes.
import type { Config } from '../config-schema.ts';
import { StartError } from '../start-error.ts';

/** A sentence with the next step; undefined when it answers, or the configuration names none. */
export async function busFault(config: Pick<Config, 'bus' | 'domain'>): Promise<string | undefined> {
  if (config.bus === undefined) return undefined;
  const { busPrefix, openNatsBus } = await import('./nats-bus.ts');
  try {
    const bus = await openNatsBus(config.bus, busPrefix(config.domain), () => undefined);
    await bus.close();
    return undefined;
  } catch (error) {
    if (error instanceof StartError) return error.message;
    throw error;
  }
}
