// Takes a new configuration while everything runs: certificates, providers, limits, budgets and the log. No stream ends
// but those of a provider that is gone or suspended now. What can't change in a running process is named, and stays.
// Knows nothing of signals or files of configuration.
import type { Config, Limits } from '../config-schema.ts';
import type { Control } from '../control.ts';
import type { Core } from '../core.ts';
import { changeCoreLimits, type CoreLimits, coreLimits } from '../core-limits.ts';
import type { LiveCertificate } from '../tls/live-certificate.ts';
import type { BoundedLog } from './bounded-log.ts';

export type ReloadResult =
  /** `needsRestart`: keys whose new value is used after a restart only. */
  | { readonly kind: 'reloaded'; readonly needsRestart: readonly string[] }
  /** Nothing was changed; `message` says what to do. */
  | { readonly kind: 'refused'; readonly message: string };

export type Reloadable = {
  /** The configuration in use; its members change. */
  readonly config: Config;
  readonly control: Control;
  readonly core: Core;
  readonly limits: CoreLimits;
  readonly listening: { limitsChanged(): void };
  readonly certificate: LiveCertificate | undefined;
  readonly boundedLog: BoundedLog;
};

const fixedKeys = [
  'mode',
  'domain',
  'issuer',
  'dataFolder',
  'storage',
  'bus',
  'publicHost',
  'listeners',
  'trustedProxies',
  'relays',
  'ownUsers',
  'egress',
  'drain',
] as const satisfies readonly (keyof Config)[];
/** Read once at the start: sizes of what is made then. */
const fixedLimits = [
  'accountCacheEntries',
  'oneTimeKeysPerEnlistment',
  'mediaIdleSeconds',
  'mediaFetchSeconds',
  'unacknowledgedMebibytes',
] as const satisfies readonly (keyof Limits)[];

const differ = (a: unknown, b: unknown): boolean => JSON.stringify(a) !== JSON.stringify(b);

/** `next` has been checked as a whole (`loadConfig`). All that can fail comes first: a refusal changes nothing. */
export async function reload(running: Reloadable, next: Config): Promise<ReloadResult> {
  const { config, control, core, certificate } = running;
  const needsRestart: string[] = fixedKeys.filter(key => differ(config[key], next[key]));
  needsRestart.push(...fixedLimits.filter(key => config.limits[key] !== next.limits[key]).map(key => `limits.${key}`));
  if ((config.tls === undefined) !== (next.tls === undefined)) needsRestart.push('tls');
  if (config.tls?.watchSeconds !== next.tls?.watchSeconds) needsRestart.push('tls.watchSeconds');
  let serveCertificate: (() => void) | undefined;
  if (certificate !== undefined && next.tls !== undefined) serveCertificate = certificate.prepare(next.tls);
  if (certificate !== undefined && next.tls !== undefined && serveCertificate === undefined) {
    return { kind: 'refused', message: 'mend the certificate first: certificate-refused says what is wrong' };
  }
  // As they are in use: a provider may not take the origin that stays this gatekeeper's own.
  const { domain, issuer, ownUsers } = config;
  const fault = await control.reconfigure({ ...next, domain, issuer, ownUsers });
  if (fault !== undefined) return { kind: 'refused', message: fault };
  serveCertificate?.();
  const kept = Object.fromEntries(fixedLimits.map(key => [key, config.limits[key]]));
  Object.assign(config.limits, next.limits, kept);
  Object.assign(config.budgets, next.budgets);
  config.providers = next.providers;
  const { terms, contact } = next;
  delete config.terms;
  delete config.contact;
  Object.assign(config, terms === undefined ? {} : { terms }, contact === undefined ? {} : { contact });
  config.policy = next.policy;
  config.applications = next.applications;
  config.integrity = next.integrity;
  config.log = next.log;
  if (config.tls !== undefined && next.tls !== undefined) Object.assign(config.tls, next.tls);
  changeCoreLimits(running.limits, coreLimits(config));
  core.listenerHost.gate.limitsChanged();
  running.listening.limitsChanged();
  running.boundedLog.configure(config.log);
  return { kind: 'reloaded', needsRestart };
}
