// One process of `media-network.ts`: a provider, a gatekeeper, or a person's device that does what its parent asks.
import { createReadStream, createWriteStream, openAsBlob, readFileSync, statSync } from 'node:fs';
import { Writable } from 'node:stream';
import { devEgress, devGatekeeperConfig, type DevPorts } from '@drawbridge/cli/dev-config';
import type { DevPki } from '@drawbridge/cli/dev-pki';
import { type Client, ClientError, type ClientOptions, openClient, type SentFile } from '@drawbridge/client';
import { createHttpPort } from '@drawbridge/gatekeeper/listeners/http-port';
import { startGatekeeper } from '@drawbridge/gatekeeper/main';
import { createProvider } from '@drawbridge/provider/provider';

type Network = { readonly pki: DevPki; readonly gatekeeperUrl: string; readonly providerUrl: string };

export type ChildSetup =
  | (Network & { readonly role: 'provider'; readonly folder: string; readonly port: number })
  | (Network & { readonly role: 'gatekeeper'; readonly folder: string; readonly ports: Omit<DevPorts, 'admin'> })
  | { readonly role: 'device'; readonly options: ClientOptions };

type Person = { readonly provider: string; readonly identifier: string };

/** How the file at a path is given to the SDK. */
export type SourceKind = 'path' | 'blob' | 'stream';

export type ChildCall =
  | { readonly kind: 'opt-in'; readonly provider: string }
  /** Gives the message's id. */
  | { readonly kind: 'send'; readonly to: Person; readonly path: string; readonly as: SourceKind }
  /** Fulfilled when everything that was to be sent before is a message: gives the last one's id. */
  | { readonly kind: 'settle' }
  /** Waits for the message. */
  | { readonly kind: 'save'; readonly id: string; readonly path: string; readonly as: 'path' | 'stream' }
  /** How often messages of that kind stand in the history, of both sides. */
  | { readonly kind: 'count-files' }
  /** Collects garbage: what is resident then is what it takes at rest. */
  | { readonly kind: 'rest' };

export type ChildReport = { readonly call: number } & (
  | { readonly kind: 'progress'; readonly bytes: number }
  | { readonly kind: 'done'; readonly value: string }
  | { readonly kind: 'failed'; readonly code: string }
);

const report = (message: ChildReport): void => void process.send?.(message);
const setup = JSON.parse(process.argv[2]!) as ChildSetup;
process.on('disconnect', () => process.exit(0));

let client: Client | undefined;
if (setup.role === 'device') {
  client = await openClient({ ...setup.options, key: new Uint8Array(32).fill(7) });
  await client.account.enlist();
  await client.connect();
} else await serve(setup);

async function serve(server: Exclude<ChildSetup, { role: 'device' }>): Promise<void> {
  const { pki, folder, gatekeeperUrl, providerUrl } = server;
  if (server.role === 'gatekeeper') {
    const config = devGatekeeperConfig({
      folder,
      pki,
      domain: 'citadel.example',
      ports: { ...server.ports, admin: 0 },
      providers: [{ number: 1, name: 'skylark.example', issuer: providerUrl }],
      unlimited: true,
    });
    // Its HTTP is reached through a line.
    await startGatekeeper({ config: { ...config, issuer: gatekeeperUrl }, log: () => {} });
    return;
  }
  const provider = await createProvider({
    issuer: providerUrl,
    gatekeepers: [{ issuer: gatekeeperUrl }],
    dataFolder: folder,
    registration: 'open',
    egress: devEgress(pki),
    media: {},
  });
  const tls = { cert: readFileSync(pki.certFile, 'utf8'), key: readFileSync(pki.keyFile, 'utf8') };
  const limits = { maxConnections: 1_000, headersTimeoutMs: 15_000, requestTimeoutMs: 30_000 };
  const { server: listener } = createHttpPort(provider.handler, { tls, alsoPlain: false, limits });
  await new Promise<void>(resolve => listener.listen(server.port, '127.0.0.1', resolve));
}

async function sourceOf({ path, as }: { path: string; as: SourceKind }): Promise<SentFile> {
  switch (as) {
    case 'path':
      return { path };
    case 'blob':
      return { from: await openAsBlob(path) };
    case 'stream':
      return { from: createReadStream(path), sizeBytes: statSync(path).size };
  }
}

async function act(call: ChildCall, onProgress: (progress: { bytes: number }) => void): Promise<string> {
  if (call.kind === 'rest') {
    globalThis.gc?.();
    return '';
  }
  const device = client!;
  switch (call.kind) {
    case 'opt-in':
      await device.account.optIn(call.provider);
      return '';
    case 'send':
      return (await device.files.send(call.to, { ...(await sourceOf(call)), onProgress })).id;
    case 'settle': {
      while (device.files.unsent().length > 0) {
        const [file] = device.files.unsent();
        if (file?.state === 'failed') throw new ClientError(file.failure!.code);
        await new Promise(resolve => setTimeout(resolve, 20));
      }
      return (await device.chats.messages({ limit: 1 }))[0]?.message.id ?? '';
    }
    case 'save':
      for (;;) {
        const found = (await device.chats.messages({ limit: 100 })).find(({ message }) => message.id === call.id);
        if (found !== undefined) {
          const to = call.as === 'path' ? call.path : Writable.toWeb(createWriteStream(call.path));
          await device.files.save(found.message, 0, to, { onProgress });
          return '';
        }
        await new Promise(resolve => setTimeout(resolve, 20));
      }
    case 'count-files': {
      const rows = await device.chats.messages({ limit: 1_000 });
      return String(rows.filter(({ message }) => message.kind === 'attachment').length);
    }
  }
}

process.on('message', (call: ChildCall & { readonly number: number }) => {
  let told = 0;
  const onProgress = ({ bytes }: { bytes: number }): void => {
    if (Math.abs(bytes - told) < 500_000) return;
    told = bytes;
    report({ call: call.number, kind: 'progress', bytes });
  };
  act(call, onProgress).then(
    value => report({ call: call.number, kind: 'done', value }),
    (error: unknown) =>
      report({ call: call.number, kind: 'failed', code: error instanceof ClientError ? error.code : String(error) }),
  );
});
report({ call: 0, kind: 'done', value: '' });
