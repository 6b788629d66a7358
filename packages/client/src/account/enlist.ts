// The gatekeeper's HTTP calls: its reference offer, enlistment, further devices, status, withdrawal.
// Knows nothing of streams, sessions or stores; proofs are arguments.
// Source: docs/protocol/03-http.md.
import { type InteropId, isInteropId, parseJid } from '@drawbridge/wire/jid';
import type { ProblemCode } from '@drawbridge/wire/problem-codes';
import { readStatements, type SignedSigningKey } from '@drawbridge/identity/signing-key-succession';
import { readProviderName } from '../directory/user-name.ts';
import { ClientError, type ClientErrorCode } from '../errors.ts';
import { callJson, type HttpAnswer, type HttpTrust, isHttpsUrl, isRecord, type Problem } from '../connection/http.ts';

export type HostPort = { readonly host: string; readonly port: number };

/** What a gatekeeper offers (`/.well-known/interop-gatekeeper`), checked. Absent endpoints are not offered. */
export type ReferenceOffer = {
  readonly version: number;
  readonly issuer: string;
  readonly domain: string;
  /** Whether enlistments carry a statement of possession; gatekeepers of version 0.1.0 refuse what they don't know. */
  readonly takesPossession: boolean;
  /** Whether a device may take a fresh identity key and stay; gatekeepers of version 0.1.0 can't. */
  readonly renewsIdentities: boolean;
  readonly endpoints: {
    readonly xmpp?: HostPort;
    readonly xmpps?: HostPort;
    readonly websocket?: string;
    readonly compact?: HostPort;
    readonly compactWebsocket?: string;
    readonly http: string;
  };
  /** The gatekeeper's long-term Ed25519 key, base64url of 32 bytes; absent when compact is not offered. */
  readonly signingKey?: string;
  /** What leads from keys that were pinned before to this one. */
  readonly succession: readonly SignedSigningKey[];
  /** What the compact transport may be encrypted with; absent from gatekeepers of version 0.1.0. */
  readonly compactCiphers?: readonly string[];
  readonly suites: readonly string[];
  readonly providers: readonly { readonly number: number; readonly name: string }[];
};

/** docs/protocol/03: `Device`. Keys are base64 with padding, `deviceKey` is base64url. */
export type DeviceRecord = {
  readonly deviceKey: string;
  readonly registrationId: number;
  readonly identityKey: string;
  readonly signedPrekey: { readonly id: number; readonly publicKey: string; readonly signature: string };
  readonly lastResortKemPrekey: { readonly id: number; readonly publicKey: string; readonly signature: string };
  readonly prekeys?: readonly { readonly id: number; readonly publicKey: string }[];
  readonly kemPrekeys?: readonly { readonly id: number; readonly publicKey: string; readonly signature: string }[];
  readonly capabilities?: { readonly suites: readonly string[] };
};

/** `possession`: of `signPossession`, when the offer takes it. */
export type EnlistRequest = {
  readonly proof: string;
  readonly device: DeviceRecord;
  readonly possession?: string;
};

export type Enlistment = {
  readonly interopId: InteropId;
  readonly deviceId: number;
  /** Full JID of the device. */
  readonly jid: string;
  readonly domain: string;
};

export type EnlistmentStatus = {
  readonly interopId: InteropId;
  readonly identifier: string;
  readonly status: string;
  readonly devices: readonly { readonly deviceId: number; readonly enlistedAt: string | number }[];
};

/**
 * Fetches and checks the reference offer. Rejects with `issuer-differs` one that names another issuer than the URL that it
 * came from (RFC 8414 section 3.3): proofs made for that issuer would be this server's to use there.
 */
export async function fetchOffer(gatekeeper: string, trust: HttpTrust): Promise<ReferenceOffer> {
  const url = `${gatekeeper}/.well-known/interop-gatekeeper`;
  const offer = readOffer(answerOf(await callJson({ method: 'GET', url }, trust)));
  if (offer === undefined) throw new ClientError('protocol-error', { detail: 'the reference offer is malformed' });
  if (offer.issuer !== gatekeeper) throw new ClientError('issuer-differs');
  return offer;
}

/**
 * Enlists this device. Repeating it with the same device key gives the same answer. `replace` removes the person's
 * other devices and all that waits for them.
 */
export async function enlistDevice(
  http: string,
  request: EnlistRequest & { readonly replace?: boolean },
  trust: HttpTrust,
): Promise<Enlistment> {
  const url = `${http}/v1/enlistments`;
  return readEnlistment(answerOf(await callJson({ method: 'POST', url, body: request }, trust)));
}

/** Enlists a further device of a person; a device that is there must have authorised its key. */
export async function addDevice(
  http: string,
  interopId: InteropId,
  request: EnlistRequest,
  trust: HttpTrust,
): Promise<Enlistment> {
  const url = `${http}/v1/enlistments/${interopId}/devices`;
  return readEnlistment(answerOf(await callJson({ method: 'POST', url, body: request }, trust)));
}

/** Puts this device under a fresh identity key, and removes the person's others. Repeats give the same answer. */
export async function renewIdentity(
  http: string,
  interopId: InteropId,
  request: EnlistRequest,
  trust: HttpTrust,
): Promise<Enlistment> {
  const url = `${http}/v1/enlistments/${interopId}/identity`;
  return readEnlistment(answerOf(await callJson({ method: 'POST', url, body: request }, trust)));
}

export async function fetchStatus(
  http: string,
  interopId: InteropId,
  proof: string,
  trust: HttpTrust,
): Promise<EnlistmentStatus> {
  const url = `${http}/v1/enlistments/${interopId}`;
  const body = answerOf(await callJson({ method: 'GET', url, bearer: proof }, trust));
  const status = isRecord(body) ? body : {};
  const { identifier, status: state, devices } = status;
  if (typeof identifier !== 'string' || typeof state !== 'string' || !Array.isArray(devices)) throw malformed();
  return {
    interopId,
    identifier,
    status: state,
    devices: devices.map(device => {
      if (!isRecord(device) || typeof device['deviceId'] !== 'number') throw malformed();
      const enlistedAt = device['enlistedAt'];
      if (typeof enlistedAt !== 'string' && typeof enlistedAt !== 'number') throw malformed();
      return { deviceId: device['deviceId'], enlistedAt };
    }),
  };
}

/** Withdraws the person: everything that is kept of them is deleted. */
export async function withdrawEnlistment(
  http: string,
  interopId: InteropId,
  proof: string,
  trust: HttpTrust,
): Promise<void> {
  answerOf(await callJson({ method: 'DELETE', url: `${http}/v1/enlistments/${interopId}`, bearer: proof }, trust));
}

/** What the SDK calls a problem of the gatekeeper that it knows by name; `not-found` is a provider's, too. */
const knownProblems: { readonly [K in ProblemCode]?: ClientErrorCode } = {
  'proof-refused': 'proof-refused',
  'device-authorisation-required': 'device-authorisation-required',
  'identity-key-in-use': 'identity-key-in-use',
  'identity-key-differs': 'identity-key-differs',
  'device-limit': 'device-limit-reached',
  'not-found': 'not-found',
};
const clientCodes: ReadonlyMap<string, ClientErrorCode> = new Map(Object.entries(knownProblems));

/** The body of a good answer; problems become typed errors. */
function answerOf(answer: HttpAnswer): unknown {
  const { problem } = answer;
  if (problem === undefined) return answer.body;
  throw problemError(answer.status, problem, 'gatekeeper-refused');
}

/** `other` is the code for problems that the SDK does not know by name. */
export function problemError(status: number, problem: Problem, other: ClientErrorCode): ClientError {
  const { code, detail, retryAfterSeconds } = problem;
  const known = code === undefined ? undefined : clientCodes.get(code);
  const byStatus = status === 429 || status === 503 ? 'rate-limited' : other;
  const words = [code ?? `HTTP ${status}`, detail].filter(word => word !== undefined).join(': ');
  return new ClientError(known ?? byStatus, {
    detail: words,
    ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
  });
}

function malformed(): ClientError {
  return new ClientError('protocol-error', { detail: 'an HTTP answer is malformed' });
}

function readEnlistment(body: unknown): Enlistment {
  if (!isRecord(body)) throw malformed();
  const { interopId, deviceId, jid, domain } = body;
  if (typeof interopId !== 'string' || !isInteropId(interopId)) throw malformed();
  if (typeof deviceId !== 'number' || !Number.isInteger(deviceId) || deviceId < 1 || deviceId > 127) throw malformed();
  if (typeof domain !== 'string' || typeof jid !== 'string') throw malformed();
  // The address is ours to derive; the gatekeeper's `jid` (bare or full) must be of the same account.
  const parsed = parseJid(jid);
  if (parsed === undefined || parsed.local !== interopId || parsed.domain !== domain) throw malformed();
  return { interopId, deviceId, jid: `${interopId}@${domain}/${deviceId}`, domain };
}

function readOffer(body: unknown): ReferenceOffer | undefined {
  if (!isRecord(body)) return undefined;
  const { version, issuer, domain, endpoints, suites, providers, compactKeys, possession, identityRenewal } = body;
  if (version !== 1 && version !== '1') return undefined;
  if (typeof issuer !== 'string' || !isHttpsUrl(issuer)) return undefined;
  if (typeof domain !== 'string' || parseJid(domain)?.domain !== domain || !isRecord(endpoints)) return undefined;
  const http = endpoints['http'];
  if (typeof http !== 'string' || !isHttpsUrl(http)) return undefined;
  const xmpp = readHostPort(endpoints['xmpp']);
  const xmpps = readHostPort(endpoints['xmpps']);
  const compact = readHostPort(endpoints['compact']);
  const websocket = readWebsocket(endpoints['websocket']);
  const compactWebsocket = readWebsocket(endpoints['compactWebsocket']);
  const signingKey = readSigningKey(compactKeys);
  const compactCiphers = readCiphers(compactKeys);
  return {
    version: 1,
    issuer,
    domain,
    takesPossession: possession === 1,
    renewsIdentities: identityRenewal === 1,
    endpoints: {
      http: http.replace(/\/+$/, ''),
      ...(xmpp === undefined ? {} : { xmpp }),
      ...(xmpps === undefined ? {} : { xmpps }),
      ...(websocket === undefined ? {} : { websocket }),
      ...(compact === undefined ? {} : { compact }),
      ...(compactWebsocket === undefined ? {} : { compactWebsocket }),
    },
    ...(signingKey === undefined ? {} : { signingKey }),
    succession: readStatements(isRecord(compactKeys) ? compactKeys['succession'] : undefined),
    ...(compactCiphers === undefined ? {} : { compactCiphers }),
    suites: Array.isArray(suites) ? suites.filter(suite => typeof suite === 'string') : [],
    providers: Array.isArray(providers)
      ? providers.flatMap(provider => {
          if (!isRecord(provider)) return [];
          const { number } = provider;
          const name = readProviderName(provider['name']);
          return typeof number === 'number' && name !== undefined ? [{ number, name }] : [];
        })
      : [],
  };
}

function readHostPort(value: unknown): HostPort | undefined {
  if (!isRecord(value)) return undefined;
  const { host, port } = value;
  if (typeof host !== 'string' || host === '' || typeof port !== 'number') return undefined;
  return Number.isInteger(port) && port > 0 && port < 65_536 ? { host, port } : undefined;
}

function readWebsocket(value: unknown): string | undefined {
  if (typeof value !== 'string' || !URL.canParse(value)) return undefined;
  return new URL(value).protocol === 'wss:' ? value : undefined;
}

function readCiphers(value: unknown): readonly string[] | undefined {
  const ciphers = isRecord(value) ? value['ciphers'] : undefined;
  return Array.isArray(ciphers) ? ciphers.filter(cipher => typeof cipher === 'string') : undefined;
}

function readSigningKey(value: unknown): string | undefined {
  const key = isRecord(value) ? value['signingKey'] : undefined;
  if (!isRecord(key) || key['kty'] !== 'OKP' || key['crv'] !== 'Ed25519') return undefined;
  const { x } = key;
  return typeof x === 'string' && /^[A-Za-z0-9_-]{43}$/.test(x) ? x : undefined;
}
