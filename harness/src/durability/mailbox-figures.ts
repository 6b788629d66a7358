// `node --conditions=drawbridge-source harness/src/durability/mailbox-figures.ts [--write]`: figures of full mailboxes.
// Question: with 100,000 messages waiting for one device, how soon does a killed gatekeeper serve again, how soon does
// that device get its first message, and how fast the rest? Does the file grow for ever?
// Expectation: a start is 0.5 s of loading code, and the log has at most 64 MiB to be read again; a first page is 256
// rows; 40,000 a second; the file grows to what was stored at once, and stays there.
import { mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { NS_E2EE } from '@drawbridge/wire/namespaces';
import { domain, type Network, type Person, startNetwork } from './network.ts';
import type { RawStream } from './raw-stream.ts';
import { writeResult } from './result-file.ts';

const stored = 100_000;
const repeats = 3;
const cycles = 10;
const perCycle = 20_000;
const window = 500;
const ciphertext = Buffer.alloc(400, 7).toString('base64');
const patienceMs = 120_000;

/** Everybody sends to one device, until `count` messages are acknowledged. Gives messages per second. */
async function store(network: Network, recipient: Person, count: number): Promise<number> {
  let begun = 0;
  let acknowledged = 0;
  const done = Promise.withResolvers<void>();
  const beganMs = performance.now();
  const streams = await Promise.all(
    network.senders.map(async sender => {
      let sent = 0;
      let handled = 0;
      const fill = (stream: RawStream): void => {
        while (begun < count && sent - handled < window) {
          begun++;
          stream.send(
            `<message to='${recipient.interopId}@${domain}' id='m${begun}' type='chat'>` +
              `<envelope xmlns='${NS_E2EE}' suite='signal-1' from-device='${sender.deviceId}'>` +
              `<ciphertext device='${recipient.deviceId}' kind='session'>${ciphertext}</ciphertext></envelope></message>`,
          );
          sent++;
        }
        if (handled < sent) stream.ask();
      };
      const stream = await network.open(sender, {
        managed: true,
        onStanza: () => done.reject(new Error('a message was refused')),
        onAcknowledged: h => {
          acknowledged += h - handled;
          handled = h;
          if (acknowledged === count) done.resolve();
          else fill(stream);
        },
        onClosed: reason => done.reject(new Error(`a sender lost its stream: ${reason}`)),
      });
      return { stream, fill: () => fill(stream) };
    }),
  );
  for (const { fill } of streams) fill();
  await within(done.promise, 'storing');
  const seconds = (performance.now() - beganMs) / 1_000;
  void Promise.all(streams.map(({ stream }) => stream.end()));
  await Promise.all(streams.map(({ stream }) => stream.gone));
  return count / seconds;
}

type Drain = { readonly firstMs: number; readonly perSecond: number };

/** The device comes, and takes `count` messages. Times are from the answer to its bind. */
async function drain(network: Network, recipient: Person, count: number): Promise<Drain> {
  let received = 0;
  let firstAtMs = 0;
  const done = Promise.withResolvers<void>();
  const stream = await network.open(recipient, {
    managed: true,
    onAcknowledged: () => {},
    onStanza: stanza => {
      if (stanza.name !== 'message') return;
      if (++received === 1) firstAtMs = performance.now();
      if (received === count) done.resolve();
    },
    onClosed: reason => done.reject(new Error(`the recipient lost its stream: ${reason}`)),
  });
  await within(done.promise, 'draining');
  const seconds = (performance.now() - stream.boundAtMs) / 1_000;
  stream.acknowledge();
  await stream.end();
  for (let tries = 0; network.storedEntries() > 0; tries++) {
    if (tries === 1_000) throw new Error('entries stay on disk');
    await sleep(10);
  }
  return { firstMs: firstAtMs - stream.boundAtMs, perSecond: count / seconds };
}

async function within(work: Promise<void>, what: string): Promise<void> {
  const late = Promise.withResolvers<void>();
  const timer = setTimeout(() => late.reject(new Error(`${what} took too long`)), patienceMs);
  try {
    await Promise.race([work, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

function fileBytes(dataFolder: string): { readonly tables: number; readonly log: number } {
  const size = (name: string): number => statSync(join(dataFolder, name), { throwIfNoEntry: false })?.size ?? 0;
  return { tables: size('gatekeeper.sqlite'), log: size('gatekeeper.sqlite-wal') };
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!;
const say = (words: string): void => void process.stderr.write(`${words}\n`);

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { write: { type: 'boolean', default: false } } });
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-mailbox-'));
  const dataFolder = join(folder, 'citadel');
  mkdirSync(dataFolder);
  const network = await startNetwork({ folder, dataFolder, senders: 12, recipients: 2, keepSpare: false });
  try {
    const [recipient, other] = network.recipients as [Person, Person];
    const storing: number[] = [];
    const sizes: { tables: number; log: number }[] = [];
    const restarts: number[] = [];
    const cold: Drain[] = [];
    const warm: Drain[] = [];
    for (let repeat = 0; repeat < repeats; repeat++) {
      storing.push(await store(network, recipient, stored));
      await network.kill();
      const beganMs = performance.now();
      await network.restart();
      const first = await network.open(other, { managed: true, onStanza: () => {}, onAcknowledged: () => {} });
      restarts.push(first.boundAtMs - beganMs);
      await first.end();
      cold.push(await drain(network, recipient, stored));
      sizes.push(fileBytes(dataFolder));
      storing.push(await store(network, recipient, stored));
      warm.push(await drain(network, recipient, stored));
      sizes.push(fileBytes(dataFolder));
      say(
        `${repeat + 1}/${repeats}: stored ${Math.round(storing.at(-1)!)}/s, serving after ${Math.round(restarts.at(-1)!)} ms; ` +
          `first message after ${cold.at(-1)!.firstMs.toFixed(1)} ms just restarted, ${warm.at(-1)!.firstMs.toFixed(1)} ms otherwise; ` +
          `drained ${Math.round(cold.at(-1)!.perSecond)}/s and ${Math.round(warm.at(-1)!.perSecond)}/s`,
      );
    }
    for (let cycle = 0; cycle < cycles; cycle++) {
      await store(network, recipient, perCycle);
      await drain(network, recipient, perCycle);
      sizes.push(fileBytes(dataFolder));
    }
    const growth = sizes.at(-1)!.tables + sizes.at(-1)!.log - sizes[0]!.tables - sizes[0]!.log;
    say(`file after all: ${JSON.stringify(sizes.at(-1))}, grown by ${growth} bytes since the first drain`);
    const firstMs = (drains: readonly Drain[]): number => round(median(drains.map(each => each.firstMs)));
    const check = (claim: string, measured: number, want: 'at-most' | 'at-least', target: number): object => ({
      claim,
      measured,
      want,
      target,
      met: want === 'at-most' ? measured <= target : measured >= target,
    });
    const drains = [...cold, ...warm].map(each => each.perSecond);
    const result = {
      question:
        'With 100,000 messages waiting for one device: how soon is it served after kill -9, and how fast is it drained? Does the file grow for ever?',
      method:
        'XML without TLS, stream management, 400-byte ciphertexts; generator and gatekeeper on the same machine, nothing pinned; serving: from fork to the answer to the first bind, of another device; first message: from the answer to the bind of the device with the messages',
      repeats,
      storedPerSecond: storing.map(Math.round),
      serveAfterKillMs: restarts.map(Math.round),
      firstMessageMs: {
        justRestarted: cold.map(each => round(each.firstMs)),
        otherwise: warm.map(each => round(each.firstMs)),
      },
      drainedPerSecond: drains.map(Math.round),
      fileBytesAfterDrains: sizes,
      checks: [
        check('serving after kill -9 with 100,000 stored, ms', Math.round(Math.max(...restarts)), 'at-most', 2_000),
        check('first message after bind, just restarted, ms', firstMs(cold), 'at-most', 50),
        check('first message after bind, otherwise, ms', firstMs(warm), 'at-most', 50),
        check('drained by one device per second', Math.round(median(drains)), 'at-least', 40_000),
        check('growth of the file from the first drain to the last, bytes', growth, 'at-most', 1024 * 1024),
      ],
    };
    if (values.write) writeResult('mailbox', result);
    process.stdout.write(`${JSON.stringify(result)}\n`);
  } finally {
    await network.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

await main();
