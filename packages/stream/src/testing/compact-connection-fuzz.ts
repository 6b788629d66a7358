// Seeded attacks on whole compact connections: a wire that changes, cuts, repeats, swaps and invents bytes between honest
// ends, across logins of every pattern. Knows nothing of time: whoever calls it decides how long.
// Source: docs/protocol/05-compact.md; the laws are those of docs/protocol/08-noise.md.
import type { KeyPair, Suite } from '@drawbridge/noise/crypto';
import { keyPairFromPrivateKey, nodeSuite } from '@drawbridge/noise/node-crypto';
import { type Element, element } from '@drawbridge/wire/element';
import { NS_CLIENT, NS_SM } from '@drawbridge/wire/namespaces';
import { type Alter, CompactPair, goodProof } from './compact-pair.ts';

type Random = (below: number) => number;

/** mulberry32 (public domain): small, and the same on every machine. */
function randomOf(seed: number): Random {
  let state = seed >>> 0;
  return below => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

function bytesOf(random: Random, length: number): Uint8Array {
  return Uint8Array.from({ length }, () => random(256));
}

/**
 * Runs `iterations` connections. Throws an `Error` that holds seed and round as soon as a law is broken:
 * nothing throws; a side reads exactly a beginning of what the other one wrote, in order; both ends of a session have one
 * transcript; the login that the server sees is the client's, or an old one that leads nowhere; an end that failed says nothing more.
 */
export function fuzzCompactConnection(seed: number, iterations: number): void {
  const random = randomOf(seed);
  const newKeyPair = (): KeyPair => keyPairFromPrivateKey(bytesOf(random, 32))!;
  const suites = (['AESGCM', 'ChaChaPoly'] as const).map(
    (cipher): Suite => ({ ...nodeSuite(cipher, 'SHA256'), generateKeyPair: newKeyPair }),
  );
  const current = newKeyPair();
  const previous = newKeyPair();
  const forgotten = newKeyPair();
  const deviceKeyPair = newKeyPair();
  let recorded: Uint8Array[] = [bytesOf(random, 80)];

  for (let round = 0; round < iterations; round++) {
    try {
      const sent = connection(suites[round % 2]!);
      if (sent.length > 0) recorded = sent;
    } catch (error) {
      throw new Error(
        `compact connection: seed ${seed}, round ${round}: ${error instanceof Error ? error.message : ''}`,
        {
          cause: error,
        },
      );
    }
  }

  function connection(suite: Suite): Uint8Array[] {
    const knownStaticKey = [undefined, current, previous, forgotten][random(4)]?.publicKey;
    const proof = random(5) === 0 ? 'not.a.proof' : goodProof;
    const first = stanzas('f', random(4));
    const answers = stanzas('a', random(4));
    const pair = new CompactPair({
      suite,
      serverSuites: suites,
      staticKeyPairs: [current, previous],
      client: { knownStaticKey, deviceKeyPair, proof, stanzas: first },
      answers: () => answers,
      alter: random(3) === 0 ? cutting : attacking(random(12)),
    }).run();
    const said = { client: [] as Element[], server: [...answers] };
    for (let turns = random(5); turns > 0; turns--) {
      const count = 1 + random(3);
      if (random(2) === 0) {
        if (pair.client.transport === undefined) continue;
        const elements = stanzas(`c${turns}-`, count);
        said.client.push(...elements);
        if (random(3) === 0) pair.clientSendsBytes(pair.client.keepAlive());
        pair.clientSends(elements);
      } else {
        if (pair.server.transport === undefined) continue;
        const elements = stanzas(`s${turns}-`, count);
        said.server.push(...elements);
        pair.serverSends(elements);
      }
    }
    law(isBeginning(pair.serverElements, said.client), 'the server reads what the client wrote, in order');
    law(isBeginning(pair.clientElements, said.server), 'the client reads what the server wrote, in order');
    const { login } = pair;
    if (login !== undefined) {
      // A recorded first message of IK can be played again; whoever does that gets no further.
      const isOwn = login.proof === proof && textOf(login.stanzas) === textOf(first);
      const isReplay = login.pattern === 'IK' && pair.serverElements.length === 0;
      law(isOwn || isReplay, 'the login is the one that the client sent');
      law(isSame(login.deviceKey, deviceKeyPair.publicKey), 'the login is of the key that the client holds');
    }
    const clientEnd = pair.client.transport;
    const serverEnd = pair.serverTransport;
    if (clientEnd !== undefined && serverEnd !== undefined) {
      law(isSame(clientEnd.handshakeHash, serverEnd.handshakeHash), 'both sides have one transcript');
    }
    law(failsOnce(pair.clientEvents) && failsOnce(pair.serverEvents), 'an end that failed says nothing more');
    return pair.sent.map(({ bytes }) => bytes);
  }

  function cutting(bytes: Uint8Array): Uint8Array[] {
    const pieces: Uint8Array[] = [];
    for (let at = 0; at < bytes.length; ) {
      const size = 1 + random(random(2) === 0 ? 8 : bytes.length);
      // A copy: whoever changes it must not change what was sent.
      pieces.push(Uint8Array.from(bytes.subarray(at, at + size)));
      at += size;
    }
    return pieces;
  }

  /** Honest until the given move, which it spoils; later moves are spoiled now and then. */
  function attacking(victim: number): Alter {
    let move = 0;
    let before: Uint8Array = recorded[random(recorded.length)]!;
    return bytes => {
      const now = move++;
      const last = before;
      before = bytes;
      if (now !== victim && random(10) !== 0) return cutting(bytes);
      const copy = Uint8Array.from(bytes);
      switch (random(9)) {
        case 0:
          if (copy.length > 0) copy[random(copy.length)]! ^= 1 << random(8);
          return [copy];
        case 1:
          return [copy.subarray(0, random(copy.length + 1))];
        case 2:
          return [copy, copy];
        case 3:
          return [last, copy];
        case 4:
          return [copy, bytesOf(random, 1 + random(60))];
        case 5: {
          const at = random(copy.length + 1);
          return [copy.subarray(0, at), bytesOf(random, 1 + random(3)), copy.subarray(at)];
        }
        case 6:
          return [recorded[random(recorded.length)]!];
        case 7:
          return [];
        default: {
          // A frame of the right shape with anything in it.
          const length = random(120);
          return [Uint8Array.from([0, 0, length, ...bytesOf(random, length)]), copy];
        }
      }
    };
  }

  function stanzas(name: string, count: number): Element[] {
    return Array.from({ length: count }, (_, i) => {
      if (random(4) === 0) return element('r', NS_SM);
      // Now and then one that needs several Noise messages, or that does not fit into a handshake.
      const size = random(40) === 0 ? random(180_000) : random(600);
      const attrs = { id: `${name}${i}` };
      return element('message', NS_CLIENT, attrs, [element('body', NS_CLIENT, {}, ['~'.repeat(size + 1)])]);
    });
  }
}

function law(holds: boolean, text: string): asserts holds {
  if (!holds) throw new Error(text);
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

function textOf(elements: readonly Element[]): string {
  return JSON.stringify(elements);
}

function isBeginning(part: readonly Element[], whole: readonly Element[]): boolean {
  return textOf(part) === textOf(whole.slice(0, part.length));
}

function failsOnce(events: readonly { readonly kind: string }[]): boolean {
  const at = events.findIndex(event => event.kind === 'failed');
  return at === -1 || at === events.length - 1;
}
