// Stand-ins for APNs, FCM and a Web Push service that are as strict as the real ones: signatures, times, headers and bodies are
// checked by other people's code (jose) and by a device's own keys. Each tells what it was sent, and answers as a test says.
// For tests. Source: Apple's and Google's documentation, RFC 8030, RFC 8291, RFC 8292.
import { createDecipheriv, createECDH, createPublicKey, hkdfSync, type KeyObject, randomBytes } from 'node:crypto';
import { createSecureServer, type ServerHttp2Stream } from 'node:http2';
import { createServer } from 'node:https';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo, Server as NetServer } from 'node:net';
import { importJWK, jwtVerify } from 'jose';

export type Tls = { readonly cert: string; readonly key: string };
export type ScriptedAnswer = {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
};

type Stage = {
  readonly origin: string;
  readonly port: number;
  /** Device tokens or paths in the order in which they were told. */
  readonly told: string[];
  /** What is answered next, to a request that is in order; then all is well. */
  readonly answers: ScriptedAnswer[];
  readonly close: () => void;
};

async function listening(server: NetServer): Promise<number> {
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

async function textOf(stream: AsyncIterable<unknown>): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const piece of stream) pieces.push(Buffer.from(piece as Uint8Array));
  return Buffer.concat(pieces).toString('utf8');
}

export type ApnsServer = Stage & {
  readonly tokens: Set<string>;
  readonly sessions: () => number;
  /** Ends every connection; new ones are taken. */
  readonly hangUp: () => void;
};

export async function startApns(options: {
  readonly tls: Tls;
  readonly teamId: string;
  readonly keyId: string;
  readonly publicKey: KeyObject;
  readonly topic: string;
  readonly nowMs: () => number;
}): Promise<ApnsServer> {
  const { teamId, keyId, publicKey, topic, nowMs } = options;
  const told: string[] = [];
  const answers: ScriptedAnswer[] = [];
  const tokens = new Set<string>();
  let sessions = 0;
  const open = new Set<{ destroy: () => void }>();

  async function judge(headers: Readonly<Record<string, unknown>>, body: string): Promise<ScriptedAnswer> {
    const token = /^bearer (\S+)$/.exec(String(headers['authorization']))?.[1] ?? '';
    const verified = await jwtVerify(token, publicKey, { issuer: teamId, algorithms: ['ES256'] }).catch(
      () => undefined,
    );
    if (verified?.protectedHeader.kid !== keyId) return { status: 403, body: { reason: 'InvalidProviderToken' } };
    const ageSeconds = nowMs() / 1000 - (verified.payload.iat ?? 0);
    if (ageSeconds > 3_600 || ageSeconds < -60) return { status: 403, body: { reason: 'ExpiredProviderToken' } };
    tokens.add(token);
    if (headers['apns-topic'] !== topic) return { status: 400, body: { reason: 'TopicDisallowed' } };
    if (headers['apns-push-type'] !== 'background' || headers['apns-priority'] !== '5') {
      return { status: 400, body: { reason: 'BadPriority' } };
    }
    const { aps } = JSON.parse(body) as { aps?: { 'content-available'?: number } };
    if (aps?.['content-available'] !== 1) return { status: 400, body: { reason: 'PayloadEmpty' } };
    const device = /^\/3\/device\/([0-9a-f]{64})$/.exec(String(headers[':path']))?.[1];
    if (headers[':method'] !== 'POST' || device === undefined)
      return { status: 400, body: { reason: 'BadDeviceToken' } };
    told.push(device);
    return answers.shift() ?? { status: 200 };
  }

  const server = createSecureServer(options.tls);
  server.on('session', session => {
    sessions++;
    open.add(session);
    session.once('close', () => open.delete(session));
  });
  server.on('stream', (stream: ServerHttp2Stream, headers) => {
    void (async () => {
      const answer = await judge(headers, await textOf(stream));
      stream.respond({ ':status': answer.status, ...answer.headers });
      stream.end(answer.body === undefined ? '' : JSON.stringify(answer.body));
    })();
  });
  const port = await listening(server);
  const hangUp = (): void => open.forEach(each => each.destroy());
  const close = (): void => {
    server.close();
    hangUp();
  };
  return { origin: `https://127.0.0.1:${port}`, port, told, answers, tokens, sessions: () => sessions, hangUp, close };
}

function closeServer(server: Server): void {
  server.close();
  server.closeAllConnections();
}

function httpStage(tls: Tls, answer: (request: IncomingMessage, body: Buffer) => Promise<ScriptedAnswer>): Server {
  return createServer(tls, (request: IncomingMessage, response: ServerResponse) => {
    void (async () => {
      const pieces: Buffer[] = [];
      for await (const piece of request as AsyncIterable<Buffer>) pieces.push(piece);
      const { status, headers = {}, body } = await answer(request, Buffer.concat(pieces));
      response.writeHead(status, headers).end(body === undefined ? '' : JSON.stringify(body));
    })();
  });
}

export type FcmServer = Stage & {
  /** How many access tokens were given out. */
  readonly grants: () => number;
  /** Ends all access tokens before their time. */
  readonly revoke: () => void;
  readonly tokenUri: string;
};

export async function startFcm(options: {
  readonly tls: Tls;
  readonly projectId: string;
  readonly clientEmail: string;
  readonly keyId: string;
  readonly publicKey: KeyObject;
  readonly nowMs: () => number;
}): Promise<FcmServer> {
  const { projectId, clientEmail, keyId, publicKey, nowMs } = options;
  const told: string[] = [];
  const answers: ScriptedAnswer[] = [];
  const access = new Map<string, number>();
  let grants = 0;
  let origin = '';

  async function grant(body: Buffer): Promise<ScriptedAnswer> {
    const form = new URLSearchParams(body.toString());
    const bearer = form.get('grant_type') === 'urn:ietf:params:oauth:grant-type:jwt-bearer';
    const verified = await jwtVerify(form.get('assertion') ?? '', publicKey, {
      ...{ issuer: clientEmail, audience: `${origin}/token`, algorithms: ['RS256'], currentDate: new Date(nowMs()) },
    }).catch(() => undefined);
    const scoped = verified?.payload['scope'] === 'https://www.googleapis.com/auth/firebase.messaging';
    if (!bearer || !scoped || verified.protectedHeader.kid !== keyId)
      return { status: 400, body: { error: 'invalid_grant' } };
    const token = `ya29.${randomBytes(16).toString('hex')}`;
    grants++;
    access.set(token, nowMs() + 3_600_000);
    return { status: 200, body: { access_token: token, expires_in: 3_600, token_type: 'Bearer' } };
  }

  const server = httpStage(options.tls, async (request, body) => {
    if (request.url === '/token') return await grant(body);
    const token = /^Bearer (\S+)$/.exec(request.headers.authorization ?? '')?.[1] ?? '';
    if ((access.get(token) ?? 0) <= nowMs()) return { status: 401, body: { error: { status: 'UNAUTHENTICATED' } } };
    const { message } = JSON.parse(body.toString()) as {
      message?: { token?: string; data?: Record<string, unknown>; android?: { priority?: string } };
    };
    const inOrder =
      request.url === `/v1/projects/${projectId}/messages:send` &&
      typeof message?.token === 'string' &&
      message.android?.priority === 'HIGH' &&
      Object.values(message.data ?? {}).every(value => typeof value === 'string');
    if (!inOrder) return { status: 400, body: { error: { status: 'INVALID_ARGUMENT' } } };
    told.push(message.token ?? '');
    return answers.shift() ?? { status: 200, body: { name: `projects/${projectId}/messages/1` } };
  });
  const port = await listening(server);
  origin = `https://127.0.0.1:${port}`;
  const close = (): void => closeServer(server);
  return {
    ...{ origin, port, told, answers, close, tokenUri: `${origin}/token` },
    grants: () => grants,
    revoke: () => access.clear(),
  };
}

/** A device that subscribed: its keys, what it is told, and how it reads it. */
export class WebPushDevice {
  readonly #keys = createECDH('prime256v1');
  readonly #auth = randomBytes(16);
  readonly path = `/push/${randomBytes(12).toString('hex')}`;

  constructor() {
    this.#keys.generateKeys();
  }

  subscription(origin: string): { endpoint: string; p256dh: string; auth: string } {
    const p256dh = this.#keys.getPublicKey().toString('base64url');
    return { endpoint: `${origin}${this.path}`, p256dh, auth: this.#auth.toString('base64url') };
  }

  /** RFC 8188 with the keys of RFC 8291. Throws when a bit is wrong. */
  read(body: Buffer): string {
    const salt = body.subarray(0, 16);
    const length = body.readUInt8(20);
    const theirs = body.subarray(21, 21 + length);
    const sealed = body.subarray(21 + length);
    const info = Buffer.concat([Buffer.from('WebPush: info\0'), this.#keys.getPublicKey(), theirs]);
    const input = Buffer.from(hkdfSync('sha256', this.#keys.computeSecret(theirs), this.#auth, info, 32));
    const derived = (what: string, bytes: number): Buffer =>
      Buffer.from(hkdfSync('sha256', input, salt, `Content-Encoding: ${what}\0`, bytes));
    const cipher = createDecipheriv('aes-128-gcm', derived('aes128gcm', 16), derived('nonce', 12));
    cipher.setAuthTag(sealed.subarray(-16));
    const record = Buffer.concat([cipher.update(sealed.subarray(0, -16)), cipher.final()]);
    if (record.at(-1) !== 2) throw new Error('the last record is not the last');
    return record.subarray(0, -1).toString('utf8');
  }
}

export type WebPushServer = Stage & { readonly read: string[] };

export async function startWebPush(options: {
  readonly tls: Tls;
  readonly devices: readonly WebPushDevice[];
  readonly nowMs: () => number;
}): Promise<WebPushServer> {
  const told: string[] = [];
  const answers: ScriptedAnswer[] = [];
  const read: string[] = [];
  let origin = '';
  const server = httpStage(options.tls, async (request, body) => {
    const { ttl = '', authorization = '', 'content-encoding': encoding } = request.headers;
    if (request.method !== 'POST' || !/^[0-9]+$/.test(String(ttl))) return { status: 400 };
    const [, t = '', k = ''] = /^vapid t=([^,]+), k=(\S+)$/.exec(authorization) ?? [];
    if (!(await isVapid(t, k, origin, options.nowMs()))) return { status: 403 };
    if (encoding !== 'aes128gcm') return { status: 415 };
    const device = options.devices.find(each => each.path === request.url);
    if (device === undefined) return { status: 404 };
    told.push(device.path);
    read.push(device.read(body));
    return answers.shift() ?? { status: 201 };
  });
  const port = await listening(server);
  origin = `https://127.0.0.1:${port}`;
  const close = (): void => closeServer(server);
  return { origin, port, told, answers, read, close };
}

/** RFC 8292: for this origin, for a day at most, by the key that is shown. */
async function isVapid(token: string, shown: string, audience: string, nowMs: number): Promise<boolean> {
  const point = Buffer.from(shown, 'base64url');
  if (point.length !== 65) return false;
  const [x, y] = [point.subarray(1, 33), point.subarray(33)].map(each => each.toString('base64url'));
  const key = await importJWK({ kty: 'EC', crv: 'P-256', x: x!, y: y! }, 'ES256');
  const checks = { audience, algorithms: ['ES256'], currentDate: new Date(nowMs) };
  const verified = await jwtVerify(token, key, checks).catch(() => undefined);
  const { exp = Number.POSITIVE_INFINITY, sub = '' } = verified?.payload ?? {};
  return exp <= nowMs / 1000 + 86_400 && /^(?:mailto|https):/.test(sub);
}

/** The public half of a private key in PEM. */
export function publicHalf(privateKey: string): KeyObject {
  return createPublicKey(privateKey);
}
