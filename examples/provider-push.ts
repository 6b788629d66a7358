// A provider that wakes its people's phones: the kit with `onWakeUp` set to APNs, FCM and UnifiedPush. Apps name their
// device with `PUT /push-device` ({"service": "apns", "address": "…"}), as the person, by HTTP Basic here.
//
//   PORT         where to listen                                       8446
//   GATEKEEPER   issuer URL of the gatekeeper to work with             https://localhost:5226
//   TLS          folder with server.pem, server-key.pem and ca.pem     drawbridge-sandbox/pki
//   PUSH         JSON file with what there is of {"apns": {teamId, keyId, privateKey, topic, origin?},
//                "fcm": {serviceAccount, origin?}, "unifiedpush": {privateKey, contact}}      push.json
// In production: no `egress` for the kit and none of `allow` for `outside`; both are there so that loopback may be reached.
import { readFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import { join } from 'node:path';
import { createEgress } from '@drawbridge/identity/egress';
import { createProvider, PushLater } from '@drawbridge/provider';
import { Apns, type ApnsOptions } from './push-apns.ts';
import { type PushDevice, PushDevices, type PushService } from './push-devices.ts';
import { Fcm, type FcmOptions } from './push-fcm.ts';
import { WebPush, type WebPushOptions, type WebPushSubscription } from './push-unifiedpush.ts';

const { PORT = '8446', GATEKEEPER = 'https://localhost:5226', TLS = 'drawbridge-sandbox/pki' } = process.env;
const { PUSH = 'push.json' } = process.env;
const pem = (name: string): string => readFileSync(join(TLS, name), 'utf8');
type Settings = {
  readonly apns?: ApnsOptions;
  readonly fcm?: Omit<FcmOptions, 'fetch'>;
  readonly unifiedpush?: Omit<WebPushOptions, 'fetch'>;
  /** Ports of push services on this machine, in development. */
  readonly ports?: readonly number[];
};
const settings = JSON.parse(readFileSync(PUSH, 'utf8')) as Settings;

const allow = { addresses: ['127.0.0.1', '::1'], ca: pem('ca.pem') };
const outside = createEgress({ allow: { ...allow, ports: settings.ports ?? [] } });
const { fetch } = outside;
const apns = settings.apns && new Apns({ ca: pem('ca.pem'), ...settings.apns });
const fcm = settings.fcm && new Fcm({ ...settings.fcm, fetch });
const webPush = settings.unifiedpush && new WebPush({ ...settings.unifiedpush, fetch });
const services: Readonly<Record<PushService, ((address: string) => Promise<'sent' | 'gone'>) | undefined>> = {
  apns: apns && (address => apns.push(address)),
  fcm: fcm && (address => fcm.push(address)),
  unifiedpush: webPush && (address => webPush.push(JSON.parse(address) as WebPushSubscription)),
};
const devices = new PushDevices('push-devices.sqlite');

async function wakeDevice(device: PushDevice): Promise<void> {
  const push = services[device.service];
  if (push !== undefined && (await push(device.address)) === 'gone') devices.remove(device);
}

/** Rejects when a device could not be told: then the kit comes again, and tells all of them again. */
async function wake(identifier: string): Promise<void> {
  const told = await Promise.allSettled(devices.of(identifier).map(wakeDevice));
  const failures: unknown[] = told.flatMap(each => (each.status === 'rejected' ? [each.reason] : []));
  if (failures.length > 0) throw failures.find(each => each instanceof PushLater) ?? failures[0];
}

const provider = await createProvider({
  issuer: `https://localhost:${PORT}/interop`,
  gatekeepers: [{ issuer: GATEKEEPER }],
  dataFolder: 'push-data',
  registration: 'open',
  egress: { allow },
  onWakeUp: wake,
  log: entry => console.error(entry.event, entry.code),
});

async function putDevice(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const credentials = Buffer.from((request.headers.authorization ?? '').replace(/^Basic /, ''), 'base64').toString();
  const colon = credentials.indexOf(':');
  const identifier = credentials.slice(0, colon);
  const { kind } = await provider.directory.authenticate(identifier, credentials.slice(colon + 1));
  if (kind !== 'authenticated') return void response.writeHead(401, { 'www-authenticate': 'Basic' }).end();
  let text = '';
  for await (const piece of request.setEncoding('utf8') as AsyncIterable<string>) {
    text += piece;
    if (text.length > 8_192) return void response.writeHead(413).end();
  }
  const device = readDevice(text);
  const added = device !== undefined && devices.add(identifier, device);
  response.writeHead(added ? 204 : 400).end();
}

function readDevice(text: string): PushDevice | undefined {
  try {
    const { service, address } = JSON.parse(text) as Partial<PushDevice>;
    if (typeof address !== 'string' || service === undefined || !Object.hasOwn(services, service)) return undefined;
    if (service === 'unifiedpush') JSON.parse(address);
    return { service, address };
  } catch {
    return undefined;
  }
}

const handler = (request: IncomingMessage, response: ServerResponse): void => {
  if (request.url?.startsWith('/interop/') === true) provider.handler(request, response);
  else if (request.method === 'PUT' && request.url === '/push-device') {
    putDevice(request, response).catch(() => response.destroy());
  } else response.end(JSON.stringify({ applicationServerKey: webPush?.publicKey }));
};
const server = createServer({ cert: pem('server.pem'), key: pem('server-key.pem') }, handler);
server.listen(Number(PORT), '127.0.0.1', () => console.log(`listening on ${PORT}`));
process.once('SIGTERM', () => {
  server.close();
  server.closeAllConnections();
  void provider.close().then(() => {
    apns?.close();
    outside.close();
    devices.close();
  });
});
