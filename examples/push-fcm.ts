// Silent pushes to apps on Android, by Firebase Cloud Messaging's HTTP v1 API, with an access token that a service account
// asks for. A wake-up says nothing but "connect". Waiting, trying again and giving up are the kit's (`onWakeUp`).
// Source: firebase.google.com, "Send messages using FCM HTTP v1"; RFC 7523 (JWT bearer grant).
import { sign } from 'node:crypto';
import type { EgressFetch } from '@drawbridge/identity/egress';
import { PushLater } from '@drawbridge/provider';

export type FcmOptions = {
  /** The JSON file of the service account, as the console gives it. */
  readonly serviceAccount: {
    readonly project_id: string;
    readonly client_email: string;
    readonly private_key: string;
    readonly private_key_id: string;
    readonly token_uri: string;
  };
  /** An egress client's. */
  readonly fetch: EgressFetch;
  /** https://fcm.googleapis.com when left out. */
  readonly origin?: string;
  readonly nowMs?: () => number;
};

const scope = 'https://www.googleapis.com/auth/firebase.messaging';
const renewBeforeMs = 60_000;

export class Fcm {
  readonly #options: FcmOptions;
  readonly #nowMs: () => number;
  #token: { readonly text: string; readonly untilMs: number } | undefined;
  #renewing: Promise<string> | undefined;

  constructor(options: FcmOptions) {
    this.#options = options;
    this.#nowMs = options.nowMs ?? Date.now;
  }

  /** `gone`: forget this device. Rejects with PushLater when Google says when to come again, and with an Error otherwise. */
  async push(deviceToken: string): Promise<'sent' | 'gone'> {
    const token = await this.#accessToken();
    let answer = await this.#send(deviceToken, token);
    if (answer.status === 401) {
      // Ended before its time. Of many that hear it only the first asks again.
      if (this.#token?.text === token) this.#token = undefined;
      answer = await this.#send(deviceToken, await this.#accessToken());
    }
    if (answer.status === 200) return 'sent';
    if (answer.status === 404 || answer.code === 'UNREGISTERED' || answer.code === 'SENDER_ID_MISMATCH') return 'gone';
    if (answer.status === 429 || answer.status === 503) {
      throw PushLater.fromHeader(answer.retryAfter, this.#nowMs());
    }
    throw new Error(`FCM answers ${answer.status} ${answer.code}`);
  }

  async #send(deviceToken: string, token: string): Promise<{ status: number; code: string; retryAfter: string }> {
    const { origin = 'https://fcm.googleapis.com', serviceAccount, fetch } = this.#options;
    const message = {
      token: deviceToken,
      data: { event: 'wake-up' },
      android: { priority: 'HIGH', ttl: '3600s', collapse_key: 'wake-up' },
    };
    const response = await fetch(`${origin}/v1/projects/${serviceAccount.project_id}/messages:send`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ message }),
    });
    if (response.kind === 'failed') throw new Error(`FCM: ${response.code}`);
    const { status, headers, body } = response;
    return { status, code: errorCodeIn(body), retryAfter: headers['retry-after'] ?? '' };
  }

  /** Many that need one wait for the same. */
  async #accessToken(): Promise<string> {
    if (this.#token !== undefined && this.#nowMs() < this.#token.untilMs) return this.#token.text;
    this.#renewing ??= this.#renew().finally(() => (this.#renewing = undefined));
    return await this.#renewing;
  }

  async #renew(): Promise<string> {
    const { client_email, private_key, private_key_id, token_uri } = this.#options.serviceAccount;
    const now = this.#nowMs();
    const iat = Math.floor(now / 1000);
    const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
    const claims = { iss: client_email, scope, aud: token_uri, iat, exp: iat + 3_600 };
    const signed = `${part({ alg: 'RS256', typ: 'JWT', kid: private_key_id })}.${part(claims)}`;
    const assertion = `${signed}.${sign('sha256', Buffer.from(signed), private_key).toString('base64url')}`;
    const form = new URLSearchParams({ grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', assertion });
    const response = await this.#options.fetch(token_uri, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: form.toString(),
    });
    if (response.kind === 'failed' || response.status !== 200) {
      throw new Error(`no access token: ${response.kind === 'failed' ? response.code : response.status}`);
    }
    const { access_token, expires_in } = jsonIn(response.body);
    if (typeof access_token !== 'string' || typeof expires_in !== 'number')
      throw new Error('no access token in the answer');
    this.#token = { text: access_token, untilMs: now + expires_in * 1000 - renewBeforeMs };
    return access_token;
  }
}

function jsonIn(body: Uint8Array): Record<string, unknown> {
  try {
    return JSON.parse(Buffer.from(body).toString('utf8')) as Record<string, unknown>;
  } catch {
    return {};
  }
}

function errorCodeIn(body: Uint8Array): string {
  const { error } = jsonIn(body) as { error?: { status?: string; details?: { errorCode?: string }[] } };
  return error?.details?.find(each => each.errorCode !== undefined)?.errorCode ?? error?.status ?? '';
}
