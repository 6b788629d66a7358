// The gatekeeper's configuration: one JSON file, read once, into a value that can't be wrong.
// Knows nothing of what the values do.
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { Value } from 'typebox/value';
import { type ConfigError, contradictions, mediaStorageOf } from './config-checks.ts';
import {
  type Config,
  configSchema,
  embeddedUsers,
  issuedUsers,
  postgresStorage,
  sqliteStorage,
} from './config-schema.ts';

export type { ConfigError, ConfigErrorCode } from './config-checks.ts';
export type { Config } from './config-schema.ts';

export type ConfigResult =
  | { readonly kind: 'loaded'; readonly config: Config }
  | { readonly kind: 'refused'; readonly errors: readonly ConfigError[] };

/** Reads, checks and completes the file. Paths in it are relative to its folder. Never throws. */
export function loadConfig(file: string): ConfigResult {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    return { kind: 'refused', errors: [fileError(error, '', file, 'configuration file')] };
  }
  let value: unknown;
  try {
    value = JSON.parse(text.replace(/^\uFEFF/, ''));
  } catch (error) {
    const message = `${file} is not JSON: ${error instanceof Error ? error.message : 'unreadable'}`;
    return { kind: 'refused', errors: [{ code: 'not-json', key: '', message }] };
  }
  const parsed = parseConfig(value, dirname(resolve(file)));
  if (parsed.kind === 'refused') return parsed;
  const { tls, egress } = parsed.config;
  const files: [string, string | undefined][] = [
    ['tls.certFile', tls?.certFile],
    ['tls.keyFile', tls?.keyFile],
    ['egress.caFile', egress.caFile],
    [
      'storage.passwordFile',
      parsed.config.storage.kind === 'postgres' ? parsed.config.storage.passwordFile : undefined,
    ],
    ['bus.credentialsFile', parsed.config.bus?.credentialsFile],
    ['bus.caFile', parsed.config.bus?.caFile],
    ['ownUsers.mediaStorage.credentialsFile', mediaStorageOf(parsed.config)?.credentialsFile],
    ['ownUsers.mediaStorage.caFile', mediaStorageOf(parsed.config)?.caFile],
  ];
  const errors = files.flatMap(([key, path]) => (path === undefined ? [] : fileFaults(key, path)));
  return errors.length === 0 ? parsed : { kind: 'refused', errors };
}

/** Checks and completes a configuration; relative paths are taken from `folder`. No I/O. */
export function parseConfig(value: unknown, folder: string): ConfigResult {
  const copy = Value.Clone(value) as { ownUsers?: { kind?: unknown }; storage?: { kind?: unknown } } | undefined;
  // Completed by its own kind, so that errors speak of the form that was meant.
  if (copy?.ownUsers?.kind === 'issuer') Value.Default(issuedUsers, copy.ownUsers);
  if (copy?.ownUsers?.kind === 'embedded') Value.Default(embeddedUsers, copy.ownUsers);
  if (copy?.storage?.kind === 'sqlite') Value.Default(sqliteStorage, copy.storage);
  if (copy?.storage?.kind === 'postgres') Value.Default(postgresStorage, copy.storage);
  const config: unknown = Value.Default(configSchema, copy);
  if (!Value.Check(configSchema, config)) return { kind: 'refused', errors: schemaErrors(config) };
  config.dataFolder = resolve(folder, config.dataFolder);
  if (config.tls !== undefined) {
    config.tls.certFile = resolve(folder, config.tls.certFile);
    config.tls.keyFile = resolve(folder, config.tls.keyFile);
  }
  if (config.egress.caFile !== undefined) config.egress.caFile = resolve(folder, config.egress.caFile);
  if (config.storage.kind === 'postgres' && config.storage.passwordFile !== undefined) {
    config.storage.passwordFile = resolve(folder, config.storage.passwordFile);
  }
  for (const key of ['credentialsFile', 'caFile'] as const) {
    const file = config.bus?.[key];
    if (config.bus !== undefined && file !== undefined) config.bus[key] = resolve(folder, file);
  }
  const storage = mediaStorageOf(config);
  if (storage?.credentialsFile !== undefined) storage.credentialsFile = resolve(folder, storage.credentialsFile);
  if (storage?.caFile !== undefined) storage.caFile = resolve(folder, storage.caFile);
  const errors = contradictions(config);
  return errors.length === 0 ? { kind: 'loaded', config } : { kind: 'refused', errors };
}

/** That it can be read; authorities are looked at too, for without one that is good nobody outside is believed. */
function fileFaults(key: string, path: string): ConfigError[] {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    return [fileError(error, key, path, 'file')];
  }
  if (!key.endsWith('.caFile')) return [];
  try {
    void new X509Certificate(bytes);
    return [];
  } catch {
    return [{ code: 'wrong-value', key, message: `${key}: ${path} is not a certificate in PEM: name the authority's` }];
  }
}

function fileError(error: unknown, key: string, path: string, what: string): ConfigError {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'ENOENT') {
    const message = `there is no ${what} ${path}: create it, or name the right one`;
    return { code: 'file-missing', key, message };
  }
  const reason = fileReasons[code ?? ''] ?? code ?? 'unreadable';
  return { code: 'file-unreadable', key, message: `${what} ${path} can't be read: ${reason}` };
}

const fileReasons: Readonly<Record<string, string>> = {
  EACCES: 'this user may not read it: change its owner or mode',
  EISDIR: 'it is a folder: name the file in it',
  ENOTDIR: 'a part of its path is a file: mend the path',
};

function keyOf(pointer: string): string {
  const parts = pointer.split('/').slice(1);
  const names = parts.map(part => part.replaceAll('~1', '/').replaceAll('~0', '~'));
  const written = names.map(name => (/^[0-9]+$/.test(name) ? `[${name}]` : `.${name}`)).join('');
  return written.startsWith('.') ? written.slice(1) : written;
}

function schemaErrors(config: unknown): ConfigError[] {
  const found = new Map<string, ConfigError>();
  const add = (error: ConfigError): void => {
    if (!found.has(error.key) && found.size < 20) found.set(error.key, error);
  };
  const ownUsers = (config as { ownUsers?: { kind?: unknown } } | undefined)?.ownUsers;
  const otherBranch = ownUsers?.kind === 'issuer' ? '/ownUsers/anyOf/0' : '/ownUsers/anyOf/1';
  for (const error of Value.Errors(configSchema, config)) {
    const key = keyOf(error.instancePath);
    if (error.schemaPath.includes(otherBranch)) continue;
    if (error.keyword === 'boolean' || error.keyword === 'anyOf') continue;
    if (error.keyword === 'additionalProperties') {
      for (const name of error.params.additionalProperties) {
        const path = key === '' ? name : `${key}.${name}`;
        add({ code: 'unknown-key', key: path, message: `${path} is not a known key: remove it or mend its spelling` });
      }
    } else if (error.keyword === 'required') {
      for (const name of error.params.requiredProperties) {
        const path = key === '' ? name : `${key}.${name}`;
        add({ code: 'missing-key', key: path, message: `${path} is missing: add it` });
      }
    } else {
      const message = `${key === '' ? 'the file' : key} ${error.message}: mend it (docs/operations/configuration.md)`;
      add({ code: 'wrong-value', key, message });
    }
  }
  if (found.size === 0) {
    add({
      code: 'wrong-value',
      key: '',
      message: 'the configuration fits no known form (docs/operations/configuration.md)',
    });
  }
  return [...found.values()];
}
