// `client.resends`: requests for what was sent before, from a device or under an identity key that it was not sent to. Nothing
// of it is sent again before a person says so.
// Knows nothing of how requests come in, nor of sessions.
// Source: docs/protocol/09-content.md section 9.7.
import { decodeContent } from '@drawbridge/e2ee/content';
import type { InteropId, StanzaId } from '@drawbridge/wire/jid';
import { type LocalDevice, suiteValue } from '../account/local-device.ts';
import type { Lifecycle } from '../connection/lifecycle.ts';
import { ClientError } from '../errors.ts';
import { type MessageId, messageIdOf } from '../history/message-names.ts';
import { readSent } from '../store/outbox-records.ts';
import type { Transaction } from '../store/store.ts';
import { soundly } from '../inbox/damaged-rows.ts';
import { type AskedAgain, listAsked, takeAsked } from './asked-again.ts';

export type ResendRequest = {
  /** Who asks, from which device. */
  readonly interopId: InteropId;
  readonly deviceId: number;
  /** Of the identity key under which they ask: compare it (`client.identities`) before `release`. */
  readonly fingerprint: string;
  readonly stanzaId: StanzaId;
  /** The content that they ask for; of a message in the history, its id. */
  readonly messageId: MessageId;
  /** By this device's clock. */
  readonly atMs: number;
};

export class Resends {
  readonly #device: LocalDevice;
  readonly #lifecycle: Lifecycle;

  constructor(device: LocalDevice, lifecycle: Lifecycle) {
    this.#device = device;
    this.#lifecycle = lifecycle;
  }

  /** Those that wait for a decision, oldest first; one about what is not kept any more is gone. */
  list(): ResendRequest[] {
    const nowMs = this.#device.clock.nowMs();
    return this.#device.transaction(tx =>
      soundly(tx, nowMs, () => listAsked(tx, nowMs)).flatMap(asked => requestOf(tx, asked, nowMs)),
    );
  }

  /**
   * A person wants that device to have it: it is sent again, to it alone, under exactly the key that it was asked for under.
   * Throws `untrusted-identity` when that is not the key in force (any more) or a name of theirs waits (`contacts.moves`), `unknown-message` when it is not there any more.
   */
  async release(request: ResendRequest): Promise<void> {
    const { suite } = this.#device.enlisted();
    const identity = suiteValue(await suite.readIdentity(request.interopId));
    if (identity.pending !== undefined || identity.fingerprint !== request.fingerprint)
      throw new ClientError('untrusted-identity');
    this.#lifecycle.worker().sendAgain(request);
  }

  /** It is not sent. Repeats do nothing. */
  drop(request: ResendRequest): void {
    this.#device.transaction(tx => takeAsked(tx, request));
  }
}

function requestOf(tx: Transaction, asked: AskedAgain, nowMs: number): ResendRequest[] {
  const sent = readSent(tx, asked.stanzaId, nowMs);
  const content = sent === undefined ? undefined : decodeContent(Buffer.from(sent.content, 'base64'));
  return content?.ok === true ? [{ ...asked, messageId: messageIdOf(content.value.messageId) }] : [];
}
