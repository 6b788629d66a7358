// What a relay passes on, and its limits: one JSON file, or options of the command, into a value that can't be wrong.
// Knows nothing of connections.
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { type Static, Type } from 'typebox';
import { Value } from 'typebox/value';
import { CommandError, usageError } from '../command-error.ts';

export type Place = { readonly host: string; readonly port: number };

const place = (description: string) => Type.String({ minLength: 3, maxLength: 261, description });
const count = (value: number, maximum: number, description: string) =>
  Type.Integer({ minimum: 1, maximum, default: value, description });
const closed = { additionalProperties: false } as const;

export const relaySchema = Type.Object(
  {
    listen: Type.Optional(place('`host:port` to listen on; `[::]:8444` when absent')),
    upstreams: Type.Array(place('`host:port`'), {
      minItems: 1,
      maxItems: 64,
      uniqueItems: true,
      description: "the gatekeeper's ports, as its reference offer names them; nothing else is reached",
    }),
    outgoingAddress: Type.Optional(
      Type.String({ minLength: 2, maxLength: 45, description: 'address of this machine that the gatekeeper sees' }),
    ),
    health: Type.Optional(place('`host:port` of `/healthz`, `/readyz` and `/metrics`; plain HTTP, off the Internet')),
    drainSeconds: Type.Integer({
      minimum: 0,
      maximum: 600,
      default: 10,
      description: 'after SIGTERM, the time in which tunnels are ended in random order',
    }),
    limits: Type.Object(
      {
        connections: count(20_000, 1_000_000, 'open connections'),
        connectionsPerAddress: count(256, 1_000_000, 'of these, of one address (IPv4, or /64 of IPv6)'),
        connectionsPerSite: count(1_024, 1_000_000, 'of these, of one /48 of IPv6'),
        tunnelBurstPerAddress: count(128, 1_000_000, 'ways to the gatekeeper that one address may open at once'),
        tunnelsPerMinutePerAddress: count(120, 1_000_000, 'and per minute after that'),
        openingSeconds: count(10, 600, 'time in which the upstream has to be named, and again to be reached'),
        idleSeconds: count(900, 86_400, 'a tunnel in which nothing moves for so long is ended'),
        mebibyteBurstPerAddress: count(256, 1_048_576, 'MiB that one address may move at once, both ways together'),
        kibibytesPerSecondPerAddress: count(8_192, 10_485_760, 'and KiB per second after that; then it goes slower'),
      },
      { ...closed, default: {}, description: 'sizes and counts' },
    ),
  },
  closed,
);

export type RelayFile = Static<typeof relaySchema>;

export type RelayConfig = Pick<RelayFile, 'drainSeconds' | 'limits'> & {
  readonly listen: Place;
  readonly upstreams: readonly Place[];
  readonly outgoingAddress: string | undefined;
  readonly health: Place | undefined;
};

/** What the command line says; the same names as in the file. */
export type RelayFlags = {
  config?: string;
  listen?: string;
  upstream?: string[];
  outgoingAddress?: string;
  health?: string;
};

/** Options, or the file that they name. Throws a CommandError that says what to mend. */
export function readRelayConfig(flags: RelayFlags): RelayConfig {
  const { config: file, upstream, ...rest } = flags;
  const given = { ...rest, ...(upstream === undefined ? {} : { upstreams: upstream }) };
  if (file === undefined) {
    if (upstream === undefined)
      throw usageError('--upstream is missing', 'give --upstream, or --config with upstreams');
    return parseRelayConfig(given, 'the command line');
  }
  if (Object.keys(given).length > 0) {
    throw usageError('--config stands in place of the other options', 'put them into the file, or leave --config out');
  }
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new CommandError(`${file} is not JSON: ${error.message}`, 'mend it; `drawbridge relay --help` shows one');
  }
  return parseRelayConfig(value, file);
}

export function parseRelayConfig(value: unknown, from: string): RelayConfig {
  const wrong = (words: string): CommandError =>
    usageError(`${from}: ${words}`, 'mend it; `drawbridge relay --help` and docs/operations/configuration.md help');
  const file: unknown = Value.Default(relaySchema, Value.Clone(value));
  if (!Value.Check(relaySchema, file)) throw wrong(faultOf(file));
  const placeOf = (name: string, text: string): Place => {
    const parsed = parsePlace(text);
    if (parsed === undefined) throw wrong(`${name} ${text} is not host:port`);
    return parsed;
  };
  const { listen = '[::]:8444', outgoingAddress, health, drainSeconds, limits } = file;
  if (outgoingAddress !== undefined && isIP(outgoingAddress) === 0) {
    throw wrong(`outgoingAddress ${outgoingAddress} is not an address`);
  }
  const upstreams = file.upstreams.map(text => placeOf('upstream', text));
  const dead = upstreams.find(({ port }) => port === 0);
  if (dead !== undefined) throw wrong(`upstream ${placeText(dead)} has no port`);
  return {
    listen: placeOf('listen', listen),
    upstreams,
    outgoingAddress,
    health: health === undefined ? undefined : placeOf('health', health),
    drainSeconds,
    limits,
  };
}

function faultOf(file: unknown): string {
  const error = Value.Errors(relaySchema, file).find(({ keyword }) => keyword !== 'boolean');
  if (error === undefined) return 'it fits no known form';
  if (error.keyword === 'additionalProperties') return `${error.params.additionalProperties.join(', ')} is not known`;
  const path = error.instancePath.slice(1).replaceAll('/', '.');
  return `${path === '' ? 'the configuration' : path} ${error.message}`;
}

/** `name:port`, `192.0.2.7:443` or `[2001:db8::7]:443`, in lower case. */
export function parsePlace(text: string): Place | undefined {
  const found = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9](?:[A-Za-z0-9.-]{0,252})?)):([0-9]{1,5})$/.exec(text);
  const host = (found?.[1] ?? found?.[2])?.toLowerCase();
  const port = Number(found?.[3]);
  if (host === undefined || port > 65_535 || (found?.[1] !== undefined && isIP(host) !== 6)) return undefined;
  return { host, port };
}

export function placeText({ host, port }: Place): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}
