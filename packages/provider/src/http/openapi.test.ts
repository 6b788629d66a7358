// The OpenAPI document against the server that serves it: every route is in it, every path of it is served, and what is
// answered has the shape and status that it names.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { thumbprintX25519 } from '@drawbridge/identity/jwk';
import { Check } from 'typebox/schema';
import { createProvider, type Provider } from '../provider.ts';
import { createRoutes } from './routes.ts';

type Answer = { readonly content?: Readonly<Record<string, { readonly schema: object }>> };
type Operation = { readonly responses: Readonly<Record<string, Answer>> };
type Document = {
  readonly openapi: string;
  readonly servers: readonly { readonly url: string }[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
};

const folder = mkdtempSync(join(tmpdir(), 'drawbridge-openapi-'));
const prefix = '/interop';
let provider: Provider;
let base = '';
let document: Document;
const server = createServer((request, response) => provider.handler(request, response));
/** Operation and status of each answer that was compared. */
const seen = new Set<string>();

before(async () => {
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}${prefix}`;
  provider = await createProvider({
    ...{ issuer: base, gatekeepers: [{ issuer: 'https://citadel.example' }], dataFolder: ':memory:' },
    ...{ registration: 'open', media: { folder } },
  });
  document = (await (await fetch(`${base}/openapi.json`)).json()) as Document;
});
after(async () => {
  server.close();
  server.closeAllConnections();
  await provider.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Asks, and holds the answer against the document. */
async function ask(method: string, path: string, options: { body?: unknown; headers?: Record<string, string> } = {}) {
  const { body, headers = {} } = options;
  const json = typeof body === 'object' ? { 'content-type': 'application/json' } : {};
  const response = await fetch(`${base}${path}`, {
    ...{ method, headers: { ...json, ...headers } },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  const template = path.replace(/^\/media\/.+/, '/media/{id}');
  const operation = document.paths[template]?.[method.toLowerCase()];
  const answer = operation?.responses[String(response.status)];
  assert.ok(answer !== undefined, `${method} ${template} answers ${response.status}, which the document doesn't name`);
  seen.add(`${method} ${template} ${response.status}`);
  const type = (response.headers.get('content-type') ?? '').split(';', 1)[0] ?? '';
  if (type === 'text/event-stream') {
    await response.body?.cancel();
    return { response, value: undefined };
  }
  const text = await response.text();
  const schema = answer.content?.[type]?.schema;
  const value: unknown = type.endsWith('json') && text !== '' ? JSON.parse(text) : undefined;
  if (schema !== undefined) assert.ok(Check(schema, value), `${method} ${template}: ${text}`);
  // Files speak problem details too; their table is compared in `media-origin.test.ts`.
  else if (!template.startsWith('/media')) assert.equal(text, '', `${method} ${template} ${response.status} ${type}`);
  return { response, value };
}

/** `METHOD /path` of what is really routed. None of it is asked. */
async function servedRoutes(): Promise<string[]> {
  const never = (): never => assert.fail('nothing is asked');
  const budget = { take: never, restore: never };
  const app = await createRoutes({
    ...{ issuer: base, pathPrefix: prefix, registrationOpen: true, mediaUrl: undefined },
    directory: { authenticate: never, exists: never },
    sessions: { begin: never, find: never, end: never, endAll: never },
    streams: { open: never, wake: never, end: never, close: never },
    budgets: { addresses: budget, proofs: budget },
    attempts: { admit: never, succeeded: never },
    ...{ clientAddress: never, keySet: never, issueProof: never, receiveWakeUp: never },
    ...{ receiveEvent: never, log: never },
  });
  const parents: string[] = [];
  const routes: string[] = [];
  for (const line of app.printRoutes({ commonPrefix: false }).split('\n')) {
    const [, indent = '', part = '', methods = ''] = /^(.*?)[├└]── (\S*)(?: \(([A-Z, ]+)\))?$/.exec(line) ?? [];
    if (part === '') continue;
    const path = (parents[indent.length / 4 - 1] ?? '') + part;
    parents[indent.length / 4] = path;
    const asked = methods.split(', ').filter(method => method !== '' && method !== 'HEAD');
    routes.push(...asked.map(method => `${method} ${path.slice(prefix.length)}`));
  }
  await app.close();
  return routes;
}

test('it is OpenAPI 3.1 for the issuer, with every route of the server and no other', async () => {
  assert.equal(document.openapi, '3.1.0');
  assert.deepEqual(document.servers, [{ url: base }]);
  const served = await servedRoutes();
  const documented = Object.entries(document.paths).flatMap(([path, operations]) =>
    Object.keys(operations)
      .filter(method => method !== 'parameters')
      .map(method => `${method.toUpperCase()} ${path}`),
  );
  const withoutFiles = documented.filter(each => !each.includes('/media'));
  assert.deepEqual(withoutFiles.toSorted(), served.filter(each => each !== 'GET /openapi.json').toSorted());
  assert.equal(documented.length - withoutFiles.length, 6);
});

test('what is answered is what the document says', async () => {
  const mia = { identifier: 'mia', password: 'correct horse' };
  await ask('GET', '/.well-known/openid-configuration');
  const { value: keys } = await ask('GET', '/jwks.json');
  assert.deepEqual(keys, provider.keySet());
  for (const body of [mia, mia, { ...mia, identifier: ' mia' }, { ...mia, password: 'x' }, { wrong: 1 }]) {
    await ask('POST', '/v1/users', { body });
  }
  await ask('POST', '/v1/users', { body: 'x', headers: { 'content-type': 'text/plain' } });
  await ask('POST', '/v1/users', { body: { ...mia, password: 'x'.repeat(20_000) } });
  const { value } = await ask('POST', '/v1/sessions', { body: mia });
  const { session, media } = value as { session: string; media: string };
  assert.equal(media, `${base}/media`);
  await ask('POST', '/v1/sessions', { body: { ...mia, password: 'wrong horse' } });
  const headers = { authorization: `Bearer ${session}` };
  const wanted = {
    audience: 'https://citadel.example',
    jkt: thumbprintX25519(new Uint8Array(32).fill(9)),
    transport: 'xmpp',
  };
  await ask('POST', '/v1/ownership-proofs', { body: wanted, headers });
  await ask('POST', '/v1/ownership-proofs', { body: { ...wanted, audience: 'https://heron.example' }, headers });
  await ask('POST', '/v1/ownership-proofs', { body: wanted });
  for (const path of ['/v1/wake-ups', '/v1/events']) {
    await ask('POST', path, { body: 'no token', headers: { 'content-type': 'application/secevent+jwt' } });
    await ask('POST', path, { body: {} });
  }
  await ask('GET', '/v1/wake-ups/stream');
  await ask('GET', '/v1/wake-ups/stream', { headers });

  const tus = { ...headers, 'tus-resumable': '1.0.0' };
  const octets = { 'content-type': 'application/offset+octet-stream' };
  await ask('OPTIONS', '/media');
  await ask('POST', '/media', { headers: { ...tus, 'upload-length': 'x' } });
  await ask('POST', '/media', { headers: { ...tus, 'upload-length': '9999999999999' } });
  await ask('POST', '/media', { headers: { ...tus, 'upload-length': '5', authorization: 'x' } });
  const { response } = await ask('POST', '/media', { headers: { ...tus, 'upload-length': '5' } });
  const file = new URL(response.headers.get('location') ?? '').pathname.slice(prefix.length);
  await ask('GET', file);
  await ask('PATCH', file, { body: 'hel', headers: { ...tus, ...octets, 'upload-offset': '1' } });
  await ask('PATCH', file, { body: 'hello', headers: { ...tus, 'upload-offset': '0', 'content-type': 'text/plain' } });
  await ask('PATCH', file, { body: 'hello', headers: { ...tus, ...octets, 'upload-offset': '0' } });
  await ask('HEAD', file, { headers: tus });
  await ask('GET', file);
  await ask('GET', file, { headers: { range: 'bytes=1-2' } });
  await ask('GET', file, { headers: { range: 'bytes=9-' } });
  await ask('DELETE', file, { headers: { ...tus, 'tus-resumable': '0.9' } });
  await ask('DELETE', file, { headers: tus });
  await ask('DELETE', file, { headers: tus });
  await ask('DELETE', '/v1/sessions', { headers });
  await ask('DELETE', '/v1/sessions', { headers });
  // Every operation was asked, and answered well once at least.
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.keys(methods)
      .filter(method => method !== 'parameters')
      .map(method => `${method.toUpperCase()} ${path}`),
  );
  const well = new Set([...seen].filter(each => / 2\d\d$/.test(each)).map(each => each.slice(0, -4)));
  // What is taken needs a gatekeeper's key: `provider.test.ts`, `events/event-receiver.test.ts`.
  assert.deepEqual(operations.filter(each => !well.has(each)).toSorted(), ['POST /v1/events', 'POST /v1/wake-ups']);
});
