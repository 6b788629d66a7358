// One JSON request over HTTPS to a server that the user of the SDK named, with their own certificate authority in
// development. Knows nothing of what the requests mean.
// Source: RFC 9457 (problem details).
import type { IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { ClientError } from '../errors.ts';
import { agentFor, type Way } from './way.ts';

export const httpLimits = {
  timeoutMs: 15_000,
  maxBodyBytes: 1_048_576,
  maxDetailLength: 300,
} as const;

export type HttpTrust = Way & {
  /** PEM certificates of authorities that are trusted instead of the system's. */
  readonly ca?: string;
  /** Fulfilled when what a request may rest on is durable; undefined: it is. Awaited before the request leaves. */
  readonly durable?: () => Promise<void> | undefined;
};

export type HttpAnswer = {
  readonly status: number;
  /** The parsed body of an answer below 300; undefined for none. */
  readonly body: unknown;
  /** From RFC 9457 problem details, for 400 and above. */
  readonly problem: Problem | undefined;
};

export type Problem = {
  readonly code: string | undefined;
  readonly detail: string | undefined;
  readonly retryAfterSeconds: number | undefined;
};

export type HttpCall = {
  readonly method: 'GET' | 'POST' | 'DELETE';
  readonly url: string;
  readonly bearer?: string;
  readonly body?: unknown;
  readonly timeoutMs?: number;
};

/** Whether text is an https URL without credentials: the only kind that is called. */
export function isHttpsUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const url = new URL(text);
  return url.protocol === 'https:' && url.username === '' && url.password === '';
}

/**
 * Makes one request and reads the whole answer. Redirects are not followed.
 * Rejects with `ClientError`: `invalid-argument`, `unreachable`, `certificate-refused`, `timed-out`, `protocol-error`.
 */
export async function callJson(call: HttpCall, trust: HttpTrust): Promise<HttpAnswer> {
  if (!isHttpsUrl(call.url)) throw new ClientError('invalid-argument', { detail: 'an https URL is needed' });
  await trust.durable?.();
  const { status, text } = await exchange(call, trust);
  const body = parse(text);
  if (status >= 400) return { status, body: undefined, problem: readProblem(body) };
  if (status >= 300) throw new ClientError('protocol-error', { detail: `HTTP ${status}` });
  if (text !== '' && body === undefined) throw new ClientError('protocol-error', { detail: 'the answer is not JSON' });
  return { status, body, problem: undefined };
}

function exchange(call: HttpCall, trust: HttpTrust): Promise<{ status: number; text: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; text: string }>();
  const body = call.body === undefined ? undefined : JSON.stringify(call.body);
  const request = httpsRequest(call.url, {
    method: call.method,
    agent: agentFor(trust, call.url),
    minVersion: 'TLSv1.2',
    ...(trust.ca === undefined ? {} : { ca: trust.ca }),
    headers: {
      accept: 'application/json, application/problem+json',
      ...(body === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
      ...(call.bearer === undefined ? {} : { authorization: `Bearer ${call.bearer}` }),
    },
  });
  const timer = setTimeout(
    () => request.destroy(new ClientError('timed-out', { detail: new URL(call.url).origin })),
    call.timeoutMs ?? httpLimits.timeoutMs,
  );
  request.on('error', error => reject(networkError(error)));
  request.on('close', () => {
    clearTimeout(timer);
    reject(new ClientError('unreachable'));
  });
  request.on('response', (response: IncomingMessage) => {
    const chunks: Buffer[] = [];
    let sizeBytes = 0;
    response.on('data', (chunk: Buffer) => {
      sizeBytes += chunk.length;
      chunks.push(chunk);
      if (sizeBytes > httpLimits.maxBodyBytes) {
        request.destroy(new ClientError('protocol-error', { detail: 'the answer is too large' }));
      }
    });
    response.on('error', error => reject(networkError(error)));
    response.on('end', () => resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }));
  });
  request.end(body);
  return promise;
}

/** Turns an error of node:net, node:tls or node:https into ours; never quotes what a server sent. */
export function networkError(error: unknown): ClientError {
  if (error instanceof ClientError) return error;
  const code = error instanceof Error && 'code' in error ? String(error.code) : undefined;
  const certificate = code !== undefined && /CERT|SELF_SIGNED|UNABLE_TO_|ERR_TLS_CERT|HOSTNAME_MISMATCH/.test(code);
  return new ClientError(certificate ? 'certificate-refused' : 'unreachable', {
    ...(code === undefined ? {} : { detail: code }),
    cause: error,
  });
}

function parse(text: string): unknown {
  try {
    return text === '' ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}

function readProblem(body: unknown): Problem {
  const members = isRecord(body) ? body : {};
  const { code, detail, retryAfterSeconds } = members;
  return {
    code: typeof code === 'string' && /^[a-z0-9-]{1,64}$/.test(code) ? code : undefined,
    detail: typeof detail === 'string' ? detail.slice(0, httpLimits.maxDetailLength) : undefined,
    retryAfterSeconds:
      typeof retryAfterSeconds === 'number' && retryAfterSeconds >= 0 && retryAfterSeconds <= 86_400
        ? retryAfterSeconds
        : undefined,
  };
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
