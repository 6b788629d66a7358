// The demo without a person: a number of messages each way between anna and each gatekeeper's own user, counted, and a search
// for their texts in every byte that the servers received or stored.
import { randomBytes } from 'node:crypto';
import type { Client } from '@drawbridge/client';
import type { DemoGatekeeper, DemoNetwork } from './demo-network.ts';
import { nativePerson, providerName, storedFiles } from './demo-network.ts';
import { countFound } from './plaintext-search.ts';

export type Tally = { sent: number; delivered: number; lost: number; duplicated: number; outOfOrder: number };
export type Search = { readonly bytes: number; readonly found: number };
export type ScriptReport = {
  readonly ok: boolean;
  readonly messages: number;
  /** Over all directions and gatekeepers. */
  readonly total: Tally;
  readonly gatekeepers: Readonly<Record<string, Readonly<Record<string, Tally>>>>;
  /** Texts searched for, and how many were found; `control` proves that the search finds what is there. */
  readonly plaintexts: {
    readonly texts: number;
    readonly received: Search;
    readonly stored: Search;
    readonly control: number;
  };
  readonly seconds: number;
};

/** After the last message was sent, how long may the rest take? */
const settleMs = 15_000;

type Direction = {
  readonly name: string;
  readonly texts: readonly string[];
  readonly arrived: string[];
  done: Promise<void>;
};

/** Runs the script; `onProgress` hears how many messages have arrived. */
export async function runScript(
  network: DemoNetwork,
  messages: number,
  onProgress: (arrived: number, expected: number) => void,
): Promise<ScriptReport> {
  const startedMs = performance.now();
  const expected = messages * 2 * network.gatekeepers.length;
  let arrived = 0;
  const heard = (): void => onProgress(++arrived, expected);
  const runs = await Promise.all(
    network.gatekeepers.map(async gatekeeper => ({
      gatekeeper,
      directions: await converse(gatekeeper, messages, heard),
    })),
  );

  const gatekeepers: Record<string, Record<string, Tally>> = {};
  for (const { gatekeeper, directions } of runs) {
    gatekeepers[gatekeeper.name] = Object.fromEntries(directions.map(direction => [direction.name, tally(direction)]));
  }
  const texts = runs.flatMap(({ directions }) => directions.flatMap(({ texts: each }) => each));
  const received = Buffer.concat([
    network.providerReceived.all(),
    ...network.gatekeepers.map(each => each.received.all()),
  ]);
  const stored = Buffer.concat(storedFiles(network).map(({ content }) => content));
  const control = countFound([network.gatekeepers[0]!.anna.me!.interopId], received);
  const plaintexts = {
    texts: texts.length,
    received: { bytes: received.length, found: countFound(texts, received) },
    stored: { bytes: stored.length, found: countFound(texts, stored) },
    control,
  };
  const tallies = Object.values(gatekeepers).flatMap(each => Object.values(each));
  const complete = tallies.every(
    each => each.delivered === messages && each.lost + each.duplicated + each.outOfOrder === 0,
  );
  const hidden = plaintexts.received.found === 0 && plaintexts.stored.found === 0 && control === 1;
  const seconds = Math.round(performance.now() - startedMs) / 1_000;
  const total: Tally = { sent: 0, delivered: 0, lost: 0, duplicated: 0, outOfOrder: 0 };
  for (const each of tallies) for (const key of Object.keys(total) as (keyof Tally)[]) total[key] += each[key];
  return { ok: complete && hidden, messages, total, gatekeepers, plaintexts, seconds };
}

async function converse(gatekeeper: DemoGatekeeper, messages: number, heard: () => void): Promise<Direction[]> {
  const { anna, native, domain, name } = gatekeeper;
  const own = nativePerson[name];
  // Each text is unlike everything else there is, so that finding it means finding this message.
  const textsOf = (from: string): string[] =>
    Array.from({ length: messages }, (_, i) => `Message ${i + 1} of ${from}: ${randomBytes(12).toString('hex')} ✓`);
  const stop = Promise.withResolvers<void>();
  const listen = (client: Client, direction: Direction): Promise<void> =>
    collect(client, direction, heard, stop.promise);
  const there: Direction = { name: `anna to ${own}`, texts: textsOf('anna'), arrived: [], done: Promise.resolve() };
  const back: Direction = { name: `${own} to anna`, texts: textsOf(own), arrived: [], done: Promise.resolve() };
  there.done = listen(native, there);
  back.done = listen(anna, back);
  // Both have said yes before, so that no bound of a first contact is met.
  await native.contacts.accept(anna.me!.interopId);
  await anna.contacts.accept(native.me!.interopId);
  for (let i = 0; i < messages; i++) {
    await anna.send({ provider: domain, identifier: own }, { text: there.texts[i]! });
    await native.send({ provider: providerName, identifier: 'anna' }, { text: back.texts[i]! });
  }
  const timer = setTimeout(() => stop.resolve(), settleMs);
  await Promise.all([there.done, back.done]);
  clearTimeout(timer);
  stop.resolve();
  return [there, back];
}

/** Reads until all have arrived, and a little longer for what comes twice; or until `stop`. */
async function collect(client: Client, direction: Direction, heard: () => void, stop: Promise<void>): Promise<void> {
  const iterator = client.messages();
  let end = stop;
  for (;;) {
    const next = await Promise.race([iterator.next(), end.then(() => undefined)]);
    if (next === undefined || next.done === true) break;
    direction.arrived.push(next.value.text);
    heard();
    if (direction.arrived.length === direction.texts.length) {
      end = Promise.race([stop, new Promise<void>(resolve => setTimeout(resolve, 300))]);
    }
  }
  void iterator.return?.();
}

function tally({ texts, arrived }: Direction): Tally {
  const place = new Map(texts.map((text, i) => [text, i]));
  const seen = new Set<string>();
  let duplicated = 0;
  let outOfOrder = 0;
  let last = -1;
  for (const text of arrived) {
    const at = place.get(text);
    if (at === undefined) continue;
    if (seen.has(text)) duplicated++;
    else if (at < last) outOfOrder++;
    seen.add(text);
    last = Math.max(last, at);
  }
  return { sent: texts.length, delivered: seen.size, lost: texts.length - seen.size, duplicated, outOfOrder };
}
