// Silent pushes to apps on Apple's devices, by APNs' provider API: HTTP/2, one connection, a token signed with ES256.
// A wake-up says nothing but "connect". Waiting, trying again and giving up are the kit's (`onWakeUp`).
// Source: developer.apple.com, "Sending notification requests to APNs", "Establishing a token-based connection to APNs".
import { createPrivateKey, sign } from 'node:crypto';
import {
  type ClientHttp2Session,
  connect,
  constants,
  type IncomingHttpHeaders,
  type IncomingHttpStatusHeader,
} from 'node:http2';
import { PushLater } from '@drawbridge/provider';

export type ApnsOptions = {
  readonly teamId: string;
  readonly keyId: string;
  /** PEM: the .p8 file. */
  readonly privateKey: string;
  /** The app's bundle identifier. */
  readonly topic: string;
  /** https://api.push.apple.com when left out; https://api.sandbox.push.apple.com for development builds. */
  readonly origin?: string;
  /** PEM, trusted instead of the system's authorities: for tests. */
  readonly ca?: string;
  readonly nowMs?: () => number;
};

type Answer = { readonly status: number; readonly reason: string; readonly retryAfter: string | undefined };

/** Apple takes a token for an hour, and wants no new one within 20 minutes. */
const tokenLifetimeMs = 50 * 60_000;
const tokenRestMs = 20 * 60_000;
const timeoutMs = 10_000;
const idleMs = 10 * 60_000;
const usefulSeconds = 3_600;
const maxAnswerCharacters = 4_096;
/** The device has lost the app, or the token was never one of this app. */
const goneReasons = ['BadDeviceToken', 'DeviceTokenNotForTopic', 'Unregistered'];

export class Apns {
  readonly #options: ApnsOptions;
  readonly #nowMs: () => number;
  #session: ClientHttp2Session | undefined;
  #token: { readonly text: string; readonly madeAtMs: number } | undefined;

  constructor(options: ApnsOptions) {
    this.#options = options;
    this.#nowMs = options.nowMs ?? Date.now;
  }

  /** `gone`: forget this device. Rejects with PushLater when Apple says when to come again, and with an Error otherwise. */
  async push(deviceToken: string): Promise<'sent' | 'gone'> {
    if (!/^[0-9A-Fa-f]{8,200}$/.test(deviceToken)) return 'gone';
    const token = this.#currentToken();
    let answer = await this.#ask(deviceToken, token.text);
    if (answer.reason === 'ExpiredProviderToken' && this.#nowMs() - token.madeAtMs >= tokenRestMs) {
      if (this.#token === token) this.#token = undefined;
      answer = await this.#ask(deviceToken, this.#currentToken().text);
    }
    if (answer.status === 200) return 'sent';
    if (answer.status === 410 || goneReasons.includes(answer.reason)) return 'gone';
    if (answer.status === 429 || answer.status === 503) {
      throw PushLater.fromHeader(answer.retryAfter, this.#nowMs());
    }
    throw new Error(`APNs answers ${answer.status} ${answer.reason}`);
  }

  close(): void {
    this.#session?.destroy();
  }

  #currentToken(): { readonly text: string; readonly madeAtMs: number } {
    const now = this.#nowMs();
    if (this.#token !== undefined && now - this.#token.madeAtMs < tokenLifetimeMs) return this.#token;
    const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
    const { teamId, keyId, privateKey } = this.#options;
    const signed = `${part({ alg: 'ES256', kid: keyId })}.${part({ iss: teamId, iat: Math.floor(now / 1000) })}`;
    const key = { key: createPrivateKey(privateKey), dsaEncoding: 'ieee-p1363' } as const;
    const signature = sign('sha256', Buffer.from(signed), key).toString('base64url');
    this.#token = { text: `${signed}.${signature}`, madeAtMs: now };
    return this.#token;
  }

  /** One connection for all; the next request makes another when it has ended. */
  #connection(): ClientHttp2Session {
    if (this.#session !== undefined && !this.#session.closed && !this.#session.destroyed) return this.#session;
    const { origin = 'https://api.push.apple.com', ca } = this.#options;
    const session = connect(origin, ca === undefined ? {} : { ca });
    // Each request hears of it.
    session.on('error', () => {});
    session.setTimeout(idleMs, () => session.close());
    this.#session = session;
    return session;
  }

  async #ask(deviceToken: string, token: string): Promise<Answer> {
    const stream = this.#connection().request({
      ':method': 'POST',
      ':path': `/3/device/${deviceToken}`,
      authorization: `bearer ${token}`,
      'apns-topic': this.#options.topic,
      'apns-push-type': 'background',
      'apns-priority': '5',
      'apns-collapse-id': 'wake-up',
      'apns-expiration': String(Math.floor(this.#nowMs() / 1000) + usefulSeconds),
    });
    stream.setTimeout(timeoutMs, () => stream.close(constants.NGHTTP2_CANCEL));
    stream.end(JSON.stringify({ aps: { 'content-available': 1 } }));
    return await new Promise((resolve, reject) => {
      let headers: IncomingHttpHeaders & IncomingHttpStatusHeader = {};
      let text = '';
      stream.on('response', each => (headers = each));
      stream.setEncoding('utf8').on('data', (piece: string) => {
        if (text.length < maxAnswerCharacters) text += piece;
      });
      stream.once('error', reject);
      stream.once('close', () => {
        const status = headers[':status'] ?? 0;
        if (status === 0) return reject(new Error('APNs did not answer'));
        resolve({ status, reason: reasonIn(text), retryAfter: headers['retry-after'] });
      });
    });
  }
}

function reasonIn(text: string): string {
  try {
    const { reason } = JSON.parse(text) as { reason?: unknown };
    return typeof reason === 'string' ? reason : '';
  } catch {
    return '';
  }
}
