// Silent pushes by UnifiedPush and every other service that speaks Web Push: an endpoint that the app names, encrypted for
// the app, signed by us. A wake-up says nothing but "connect". Waiting, trying again and giving up are the kit's (`onWakeUp`).
// The endpoint comes from a stranger's device, so requests go through an egress client, which reaches public addresses alone.
// Source: RFC 8030 (delivery), RFC 8291 (encryption), RFC 8292 (VAPID); unifiedpush.org.
import {
  createCipheriv,
  createECDH,
  createPrivateKey,
  createPublicKey,
  hkdfSync,
  type KeyObject,
  randomBytes,
  sign,
} from 'node:crypto';
import type { EgressFetch } from '@drawbridge/identity/egress';
import { PushLater } from '@drawbridge/provider';

/** What the app's distributor gave it; keys as base64url. */
export type WebPushSubscription = { readonly endpoint: string; readonly p256dh: string; readonly auth: string };

export type WebPushOptions = {
  /** PEM: a P-256 key that stays the same, since apps tell their distributor its public half. */
  readonly privateKey: string;
  /** A mailto: or https: URL for the push service's operator. */
  readonly contact: string;
  /** An egress client's. */
  readonly fetch: EgressFetch;
  readonly nowMs?: () => number;
};

const ttlSeconds = 3_600;
const tokenLifetimeMs = 12 * 3_600_000;
/** Tokens are kept for so many push services. */
const maxTokens = 1_000;
const recordBytes = 4_096;
/** The endpoint can never be reached. */
const neverReached = ['url-refused', 'port-refused', 'address-refused'];

export class WebPush {
  readonly #options: WebPushOptions;
  readonly #nowMs: () => number;
  readonly #key: KeyObject;
  /** By the push service's origin. */
  readonly #tokens = new Map<string, { readonly text: string; readonly untilMs: number }>();
  /** base64url of the uncompressed point: apps need it to subscribe. */
  readonly publicKey: string;

  constructor(options: WebPushOptions) {
    this.#options = options;
    this.#nowMs = options.nowMs ?? Date.now;
    this.#key = createPrivateKey(options.privateKey);
    const { x = '', y = '' } = createPublicKey(this.#key).export({ format: 'jwk' });
    const point = [Buffer.from([4]), Buffer.from(x, 'base64url'), Buffer.from(y, 'base64url')];
    this.publicKey = Buffer.concat(point).toString('base64url');
  }

  /** `gone`: forget this device. Rejects with PushLater when the service says when to come again, and with an Error otherwise. */
  async push(subscription: WebPushSubscription): Promise<'sent' | 'gone'> {
    if (!URL.canParse(subscription.endpoint)) return 'gone';
    const body = encryptForDevice(Buffer.from('wake-up'), subscription);
    if (body === undefined) return 'gone';
    const { origin } = new URL(subscription.endpoint);
    const response = await this.#options.fetch(subscription.endpoint, {
      method: 'POST',
      headers: {
        authorization: `vapid t=${this.#token(origin)}, k=${this.publicKey}`,
        'content-encoding': 'aes128gcm',
        'content-type': 'application/octet-stream',
        ttl: String(ttlSeconds),
        urgency: 'high',
        topic: 'wake-up',
      },
      body,
    });
    if (response.kind === 'failed') {
      if (neverReached.includes(response.code)) return 'gone';
      throw new Error(`push service: ${response.code}`);
    }
    const { status, headers } = response;
    if (status >= 200 && status < 300) return 'sent';
    if (status === 404 || status === 410) return 'gone';
    if (status === 429 || status === 503) throw PushLater.fromHeader(headers['retry-after'], this.#nowMs());
    throw new Error(`the push service answers ${status}`);
  }

  #token(audience: string): string {
    const now = this.#nowMs();
    const known = this.#tokens.get(audience);
    if (known !== undefined && now < known.untilMs) return known.text;
    const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
    const exp = Math.floor((now + tokenLifetimeMs) / 1000);
    const signed = `${part({ typ: 'JWT', alg: 'ES256' })}.${part({ aud: audience, exp, sub: this.#options.contact })}`;
    const signature = sign('sha256', Buffer.from(signed), { key: this.#key, dsaEncoding: 'ieee-p1363' });
    const text = `${signed}.${signature.toString('base64url')}`;
    if (this.#tokens.size >= maxTokens) this.#tokens.clear();
    this.#tokens.set(audience, { text, untilMs: now + tokenLifetimeMs / 2 });
    return text;
  }
}

/** One record of `aes128gcm` for the subscription; undefined when its keys are none. `fixed` is for the RFC's example. */
export function encryptForDevice(
  content: Uint8Array,
  { p256dh, auth }: Pick<WebPushSubscription, 'p256dh' | 'auth'>,
  fixed?: { readonly salt: Uint8Array; readonly privateKey: Uint8Array },
): Buffer | undefined {
  const theirs = Buffer.from(p256dh, 'base64url');
  const secret = Buffer.from(auth, 'base64url');
  if (theirs.length !== 65 || secret.length !== 16) return undefined;
  const ephemeral = createECDH('prime256v1');
  if (fixed === undefined) ephemeral.generateKeys();
  else ephemeral.setPrivateKey(fixed.privateKey);
  const ours = ephemeral.getPublicKey();
  let shared: Buffer;
  try {
    shared = ephemeral.computeSecret(theirs);
  } catch {
    // Not a point of the curve.
    return undefined;
  }
  const salt = fixed?.salt ?? randomBytes(16);
  const info = Buffer.concat([Buffer.from('WebPush: info\0'), theirs, ours]);
  const input = Buffer.from(hkdfSync('sha256', shared, secret, info, 32));
  const derived = (what: string, bytes: number): Buffer =>
    Buffer.from(hkdfSync('sha256', input, salt, `Content-Encoding: ${what}\0`, bytes));
  const cipher = createCipheriv('aes-128-gcm', derived('aes128gcm', 16), derived('nonce', 12));
  // 2 ends the last record, and the only one.
  const sealed = [cipher.update(content), cipher.update(Buffer.from([2])), cipher.final(), cipher.getAuthTag()];
  const header = Buffer.alloc(21);
  header.set(salt);
  header.writeUInt32BE(recordBytes, 16);
  header.writeUInt8(ours.length, 20);
  return Buffer.concat([header, ours, ...sealed]);
}
