// What happens to the gatekeeper in the middle of traffic: killed, ended, stopped, out of disk space, out of power. Each fault
// leaves a gatekeeper behind that runs again on the same data. Knows nothing of people or of what must hold.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { defaultDiskReserveBytes } from '@drawbridge/gatekeeper/storage/sqlite/disk-reserve';
import type { CiphertextSizes } from './ledger.ts';
import type { Network } from './network.ts';
import type { Random } from './random.ts';
import type { Traffic } from './traffic.ts';
import { createVolume, volumesUnavailable } from './volume.ts';

export const faultNames = ['kill', 'terminate', 'stop', 'disk-full', 'power-cut'] as const;
export type FaultName = (typeof faultNames)[number];

/** What a fault came to. `sameLife`: the process from before is still there. */
export type Struck = {
  readonly sameLife: boolean;
  /** Which of its forms it took. */
  readonly form: string;
  /** From the start of the new process, its code loaded already, until it listened. */
  readonly restartMs?: number;
  /** Whatever else must hold and did not, in words. */
  readonly faults: readonly string[];
};

export type Fault = {
  readonly name: FaultName;
  readonly dataFolder: string;
  readonly sizes: CiphertextSizes;
  /** Comes when this number of messages was acknowledged, at most. */
  readonly afterAcknowledged: number;
  strike(network: Network, traffic: Traffic, random: Random): Promise<Struck>;
  /** When everybody has drained: what the fault left behind is put right. */
  after(): void;
  close(): Promise<void>;
};

export type FaultOptions = {
  /** How long the process is stopped. */
  readonly stopMs: { readonly min: number; readonly max: number };
};

export const defaultFaultOptions: FaultOptions = { stopMs: { min: 1_000, max: 8_000 } };

/** Why a fault can't be made here, in words, or undefined. */
export function faultUnavailable(name: FaultName): string | undefined {
  return name === 'disk-full' || name === 'power-cut' ? volumesUnavailable() : undefined;
}

const usualSizes: CiphertextSizes = { min: 160, max: 6_000 };

/** Prepares a fault; `folder` is empty and stays when it is closed. */
export async function createFault(name: FaultName, folder: string, options: FaultOptions): Promise<Fault> {
  switch (name) {
    case 'kill':
      return createKill(folder);
    case 'terminate':
      return createTerminate(folder);
    case 'stop':
      return createStop(folder, options);
    case 'disk-full':
      return await createDiskFull(folder);
    case 'power-cut':
      return await createPowerCut(folder);
  }
}

function dataFolderIn(folder: string): string {
  const dataFolder = join(folder, 'citadel');
  mkdirSync(dataFolder);
  return dataFolder;
}

async function killAndRestart(network: Network, form: string, faults: readonly string[] = []): Promise<Struck> {
  await network.kill();
  return { sameLife: false, form, restartMs: await network.restart(), faults };
}

function createKill(folder: string): Fault {
  return {
    name: 'kill',
    dataFolder: dataFolderIn(folder),
    sizes: usualSizes,
    afterAcknowledged: 2_000,
    strike: network => killAndRestart(network, 'SIGKILL'),
    after: () => {},
    close: async () => {},
  };
}

function createTerminate(folder: string): Fault {
  return {
    name: 'terminate',
    dataFolder: dataFolderIn(folder),
    sizes: usualSizes,
    afterAcknowledged: 2_000,
    async strike(network) {
      await network.stop();
      return { sameLife: false, form: 'ended in good order', restartMs: await network.restart(), faults: [] };
    },
    after: () => {},
    close: async () => {},
  };
}

function createStop(folder: string, { stopMs }: FaultOptions): Fault {
  return {
    name: 'stop',
    dataFolder: dataFolderIn(folder),
    sizes: usualSizes,
    afterAcknowledged: 2_000,
    async strike(network, _traffic, random) {
      network.signal('SIGSTOP');
      await sleep(random.integer(stopMs.min, stopMs.max));
      const form = random.pick(['SIGCONT', 'SIGCONT, then SIGKILL', 'SIGKILL while stopped'] as const);
      if (form === 'SIGKILL while stopped') return await killAndRestart(network, form);
      network.signal('SIGCONT');
      await sleep(random.integer(0, 100));
      if (form === 'SIGCONT, then SIGKILL') return await killAndRestart(network, form);
      return { sameLife: true, form, faults: [] };
    },
    after: () => {},
    close: async () => {},
  };
}

const refusalsToSee = 20;
const fullWithinMs = 30_000;
const recoveryWithinMs = 10_000;
const page = 4_096;

async function createDiskFull(folder: string): Promise<Fault> {
  const volume = await createVolume(folder, 160);
  return {
    name: 'disk-full',
    dataFolder: dataFolderIn(volume.folder),
    // Larger, so that what lies free inside the database's files is soon used up.
    sizes: { min: 160, max: 40_000 },
    afterAcknowledged: 500,
    async strike(network, traffic, random) {
      const { ledger } = traffic;
      const faults: string[] = [];
      // Somebody else takes all there is, or the gatekeeper's own mailboxes come to what it keeps free.
      const byOthers = random.share() < 0.6;
      volume.fill(byOthers ? random.integer(0, 256) * page : defaultDiskReserveBytes + random.integer(0, 512) * page);
      const refusedBefore = ledger.refusedCount;
      const refusals = (): number => ledger.refusedCount - refusedBefore;
      if (!(await traffic.until(() => refusals() >= refusalsToSee, fullWithinMs)))
        faults.push('the disk never was full');
      // What is acknowledged by its recipient needs no disk.
      const before = ledger.acknowledgedCount;
      if (!(await traffic.until(() => ledger.acknowledgedCount >= before + 20, recoveryWithinMs)))
        faults.push('with a full disk nothing is delivered any more');
      const isKilled = random.share() < 0.4;
      if (!byOthers) {
        // Nobody helps: what the recipients acknowledge makes room.
        if (isKilled) return await killAndRestart(network, 'filled by mailboxes, killed', faults);
        return { sameLife: true, form: 'filled by mailboxes', faults };
      }
      if (isKilled) {
        await network.kill();
        volume.free();
        const form = 'filled by others, killed while full, freed';
        return { sameLife: false, form, restartMs: await network.restart(), faults };
      }
      await sleep(random.integer(0, 200));
      volume.free();
      const stored = traffic.storedFromNow();
      if (!(await traffic.until(() => stored() >= 20, recoveryWithinMs)))
        faults.push('nothing is stored any more after the disk had space again');
      if (random.share() < 0.3) return await killAndRestart(network, 'filled by others, freed, killed', faults);
      return { sameLife: true, form: 'filled by others, freed', faults };
    },
    after: () => volume.free(),
    close: () => volume.close(),
  };
}

async function createPowerCut(folder: string): Promise<Fault> {
  const volume = await createVolume(folder, 96);
  return {
    name: 'power-cut',
    dataFolder: dataFolderIn(volume.folder),
    sizes: usualSizes,
    afterAcknowledged: 2_000,
    async strike(network, traffic, random) {
      await volume.cutPower();
      // The process has not noticed yet. What it acknowledges now, it had better have written before.
      const before = traffic.ledger.acknowledgedCount;
      await sleep(random.integer(0, 300));
      const afterwards = traffic.ledger.acknowledgedCount - before;
      await network.kill();
      await volume.remount();
      const form =
        afterwards > 0 ? 'acknowledged some to live recipients after the cut' : 'acknowledged nothing after the cut';
      return { sameLife: false, form, restartMs: await network.restart(), faults: [] };
    },
    after: () => {},
    close: () => volume.close(),
  };
}
