// Makes devices for sandbox accounts: real keys, real signatures. Only the device key's private half is given back: of
// the identity and the prekeys nothing private is kept, so nobody can read what is sent to these accounts.
// Knows nothing of accounts or of where devices are enlisted.
import { on } from 'node:events';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { DeviceJson } from '@drawbridge/gatekeeper/keys/device-keys';
import { createDevice } from '@drawbridge/e2ee/device-keys';
import type { DeviceKeyJwk } from './sandbox-accounts.ts';

export type SandboxDevice = { readonly deviceKey: DeviceKeyJwk; readonly device: DeviceJson };

/** Fewer than this are made on this thread: starting another costs more. */
const worthWorkers = 40;
const maxWorkers = 4;
export const devicesPerBatch = 100;

/** One new device. Its one-time keys are left out: sessions with it start with its last-resort key. */
export function makeDevice(nowMs: number): SandboxDevice {
  const made = createDevice({ nowMs });
  if (!made.ok) throw new Error('a fresh device needs no identity of others');
  const { keys, publication } = made.value;
  const { signedPrekey, lastResortKemPrekey } = publication;
  if (signedPrekey === undefined || lastResortKemPrekey === undefined) throw new Error('a new device has both keys');
  const x = Buffer.from(keys.deviceKey.publicKey).toString('base64url');
  return {
    deviceKey: { kty: 'OKP', crv: 'X25519', x, d: Buffer.from(keys.deviceKey.privateKey).toString('base64url') },
    device: {
      deviceKey: x,
      registrationId: keys.registrationId,
      identityKey: base64(keys.identityKey),
      signedPrekey: signedKey(signedPrekey),
      lastResortKemPrekey: signedKey(lastResortKemPrekey),
    },
  };
}

type SignedKey = { readonly id: number; readonly publicKey: Uint8Array; readonly signature: Uint8Array };

function signedKey({ id, publicKey, signature }: SignedKey): DeviceJson['signedPrekey'] {
  return { id, publicKey: base64(publicKey), signature: base64(signature) };
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}

/** `count` new devices in batches, made on all cores when there are many. */
export async function* makeDevices(count: number, nowMs: number): AsyncGenerator<SandboxDevice[]> {
  if (count < worthWorkers) {
    if (count > 0) yield Array.from({ length: count }, () => makeDevice(nowMs));
    return;
  }
  const workers = Math.min(availableParallelism(), maxWorkers);
  const file = import.meta.url.endsWith('.ts') ? './sandbox-device-worker.ts' : './sandbox-device-worker.js';
  const open = Array.from({ length: workers }, (_, index) => {
    const share = Math.floor(count / workers) + (index < count % workers ? 1 : 0);
    const worker = new Worker(new URL(file, import.meta.url), {
      workerData: { count: share, nowMs },
      execArgv: ['--conditions=drawbridge-source'],
    });
    return on(worker, 'message', { close: ['exit'] });
  });
  // Each is read in turn: all do the same work, and what one has ready meanwhile waits in its queue.
  while (open.length > 0) {
    const next = open.shift()!;
    const { done, value } = (await next.next()) as IteratorResult<[SandboxDevice[]]>;
    if (done === true) continue;
    open.push(next);
    yield value[0];
  }
}
