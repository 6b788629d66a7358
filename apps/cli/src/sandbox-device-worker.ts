// A worker thread that makes sandbox devices: the slow part of starting a sandbox with thousands of accounts.
import { parentPort, workerData } from 'node:worker_threads';
import { devicesPerBatch, makeDevice } from './sandbox-devices.ts';

const { count, nowMs } = workerData as { count: number; nowMs: number };
for (let left = count; left > 0; left -= devicesPerBatch) {
  parentPort!.postMessage(Array.from({ length: Math.min(devicesPerBatch, left) }, () => makeDevice(nowMs)));
}
