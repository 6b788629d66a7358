// What a program that runs a gatekeeper imports: `import { startGatekeeper } from '@drawbridge/gatekeeper'`. Each name here
// is a promise; everything else in this package may change. Knows nothing: it only names.
export { startGatekeeper } from './main.ts';
export type { Development } from './development.ts';
export type { Gatekeeper, GatekeeperOptions } from './main.ts';
export { loadConfig, parseConfig } from './config.ts';
export type { Config, ConfigError, ConfigErrorCode, ConfigResult } from './config.ts';
