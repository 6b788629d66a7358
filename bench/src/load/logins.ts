// Logs people in, many at a time, with proofs fetched shortly before they are needed. Knows nothing of what they do then.
import type { ClientSink, LoadClient, Session, TlsChoice } from './client.ts';
import { CompactLoadClient, fetchPinnedKey, type PinnedKey } from './compact-load-client.ts';
import { fetchProofs, type Payload, type Person, type Target } from './target.ts';
import { XmppClient } from './xmpp-client.ts';

export type LoginOptions = {
  readonly target: Target;
  readonly payload: Payload;
  readonly managed: boolean;
  readonly available: boolean;
  readonly sink: ClientSink;
  readonly tls?: TlsChoice;
  /** Logins under way at once; gatekeepers allow 32 of one address by default. */
  readonly atOnce: number;
};

/** What a device keeps between its connections. */
export type Known = { pinned: PinnedKey | undefined; staticKey: Uint8Array | undefined };

export async function learn(target: Target): Promise<Known> {
  return { pinned: target.carrier === 'compact' ? await fetchPinnedKey(target) : undefined, staticKey: undefined };
}

/** One login. Rejects with a LoginFailed. */
export async function logIn(
  options: Omit<LoginOptions, 'atOnce'>,
  known: Known,
  person: Person,
  proof: string | undefined,
  resume?: Session,
  localAddress?: string,
): Promise<LoadClient> {
  const { target, payload, managed, available, sink, tls } = options;
  const shared = { target, payload, managed, available, sink, person, proof, resume, localAddress };
  const common = { ...shared, ...(tls === undefined ? {} : { tls }) };
  if (target.carrier === 'xml') return await new XmppClient(common).opened;
  const client = await new CompactLoadClient({
    ...common,
    pinned: known.pinned!,
    staticKey: known.staticKey,
  }).opened;
  known.staticKey ??= client.staticKey;
  return client;
}

/** All these people, in their order; the first failure ends it. */
export async function logInAll(options: LoginOptions, people: readonly Person[]): Promise<LoadClient[]> {
  const known = await learn(options.target);
  const clients: LoadClient[] = [];
  for (let first = 0; first < people.length; first += 1_000) {
    const part = people.slice(first, first + 1_000);
    const proofs = await proofsFor(options.target, part);
    let next = 0;
    const lane = async (): Promise<void> => {
      for (let at = next++; at < part.length; at = next++) {
        clients[first + at] = await logIn(options, known, part[at]!, proofs?.[at]);
      }
    };
    await Promise.all(Array.from({ length: Math.min(options.atOnce, part.length) }, lane));
  }
  return clients;
}

/** One fresh proof for each person. Proofs are given out for ranges: those of people in between are thrown away. */
async function proofsFor(target: Target, people: readonly Person[]): Promise<string[] | undefined> {
  const indexes = people.map(person => person.index);
  const first = Math.min(...indexes);
  const proofs = await fetchProofs(target, first, Math.max(...indexes) - first + 1);
  return proofs === undefined ? undefined : indexes.map(index => proofs[index - first]!);
}
