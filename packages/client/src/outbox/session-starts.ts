// Begins sessions with a person's devices: fetches their bundles, looks whether they are one person's, and hands them to the
// encryption suite.
// Knows nothing of messages or rows.
// Source: docs/protocol/06-stanzas.md section 6.2, 09-content.md section 9.6.
import type { E2eeSuite, IdentityEvent, RemoteBundle, SessionStarted } from '@drawbridge/e2ee/suite';
import type { InteropId } from '@drawbridge/wire/jid';
import type { Clock } from '../clock.ts';
import type { DeviceLists } from '../directory/device-lists.ts';
import { fetchBundle, type Request } from '../directory/directory.ts';
import { ClientError } from '../errors.ts';
import type { MessageRecord } from '../history/message-log.ts';
import { addIdentityNotices, addNotice } from '../notices/notice-records.ts';
import type { EncryptedStore } from '../store/store.ts';
import { transact } from '../store/transact.ts';

export const sessionStartLimits = {
  /** A list of devices with two identities costs no further bundles for so long. */
  twoIdentitiesMs: 600_000,
} as const;

export const keyOfAnother = 'the identity key is that of somebody else';
export const twoIdentities = 'devices of one person have different identity keys';

/** What stood in the way of a session; of all of a list: device 0. */
export type Refusal = { readonly deviceId: number; readonly code: string };

const wholeList = (code: string): Refusal => ({ deviceId: 0, code });

export type SessionStartsContext = {
  readonly store: EncryptedStore;
  readonly suite: Pick<E2eeSuite, 'local' | 'startSession' | 'readIdentity'>;
  readonly domain: string;
  readonly clock: Clock;
  readonly request: Request;
  readonly lists: Pick<DeviceLists, 'judgeBundle' | 'noteSession'>;
  readonly emit: (
    event:
      | { readonly kind: 'identity'; readonly identity: IdentityEvent }
      | { readonly kind: 'message'; readonly change: 'new'; readonly message: MessageRecord }
      | { readonly kind: 'problem'; readonly error: ClientError },
  ) => void;
};

export class SessionStarts {
  readonly #context: SessionStartsContext;
  /** People whose devices had different identity keys, and until when that is not tried again. */
  readonly #refusedUntilMs = new Map<string, number>();

  constructor(context: SessionStartsContext) {
    this.#context = context;
  }

  /** Gives the code of what stood in the way, or undefined. Throws what the directory refuses. */
  async one(person: InteropId, deviceId: number): Promise<string | undefined> {
    const bundle = await this.#fetch(person, deviceId);
    return bundle === undefined ? 'no-such-device' : await this.#start(bundle);
  }

  /**
   * Sessions with the missing ones among the devices that are listed; gives what stood in the way. All devices of a person
   * have one identity key: a changed key is looked at only when every listed device has it.
   */
  async all(person: InteropId, listed: readonly number[], missing: readonly number[]): Promise<readonly Refusal[]> {
    if ((this.#refusedUntilMs.get(person) ?? 0) > this.#context.clock.nowMs()) return [wholeList('two-identities')];
    const bundles = await this.#fetchAll(person, missing);
    if (bundles === undefined) return [wholeList('no-such-device')];
    const { suite } = this.#context;
    const known = person === suite.local.interopId ? undefined : await suite.readIdentity(person);
    const isNew = (bundle: RemoteBundle): boolean =>
      known?.ok === true && !isSame(bundle.identityKey, known.value.identityKey);
    if (bundles.some(isNew)) {
      const others = await this.#fetchAll(
        person,
        listed.filter(device => !missing.includes(device)),
      );
      if (others === undefined) return [wholeList('no-such-device')];
      bundles.push(...others);
    }
    const [first] = bundles;
    if (bundles.some(bundle => !isSame(bundle.identityKey, first!.identityKey))) return this.#refuse(person);
    const refusals: Refusal[] = [];
    for (const bundle of bundles) {
      const code = await this.#start(bundle);
      if (code !== undefined) refusals.push({ deviceId: bundle.address.deviceId, code });
    }
    return refusals;
  }

  #refuse(person: InteropId): readonly Refusal[] {
    const { clock, store, emit } = this.#context;
    const nowMs = clock.nowMs();
    this.#refusedUntilMs.set(person, nowMs + sessionStartLimits.twoIdentitiesMs);
    const lines = transact(store, tx => addNotice(tx, { kind: 'two-identities', interopId: person }, nowMs));
    emit({ kind: 'problem', error: new ClientError('untrusted-identity', { detail: twoIdentities }) });
    this.#show(lines);
    return [wholeList('two-identities')];
  }

  #show(lines: readonly MessageRecord[]): void {
    for (const message of lines) this.#context.emit({ kind: 'message', change: 'new', message });
  }

  async #fetchAll(person: InteropId, devices: readonly number[]): Promise<RemoteBundle[] | undefined> {
    const bundles: RemoteBundle[] = [];
    for (const device of devices) {
      const bundle = await this.#fetch(person, device);
      if (bundle === undefined) return undefined;
      bundles.push(bundle);
    }
    return bundles;
  }

  /** Undefined: this device is gone; whether the person is, their list of devices says. */
  async #fetch(person: InteropId, deviceId: number): Promise<RemoteBundle | undefined> {
    const { request, domain } = this.#context;
    try {
      return await fetchBundle(request, `${person}@${domain}`, deviceId);
    } catch (error) {
      if (error instanceof ClientError && error.code === 'not-found') return undefined;
      throw error;
    }
  }

  async #start(bundle: RemoteBundle): Promise<string | undefined> {
    const { suite, store, emit, clock, lists } = this.#context;
    const judged = await lists.judgeBundle(bundle);
    if (judged === 'unlisted') return 'unlisted-device';
    if (judged === 'refused') return 'manifest-refused';
    // Also kept and told when the key is refused: a person has to look at it.
    let events: SessionStarted['events'] = [];
    let lines: MessageRecord[] = [];
    const started = await suite.startSession(bundle, staged => {
      transact(store, tx => {
        tx.apply(staged.changes);
        lines = addIdentityNotices(tx, staged.events, clock.nowMs());
      });
      ({ events } = staged);
    });
    for (const identity of events) emit({ kind: 'identity', identity });
    this.#show(lines);
    if (started.ok) {
      await lists.noteSession(bundle.address.interopId);
      return undefined;
    }
    const { error } = started;
    if (error.code === 'store-failed' || error.code === 'commit-failed') {
      throw new ClientError('store-failed', { cause: error.cause });
    }
    return error.code;
  }
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
