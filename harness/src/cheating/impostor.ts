// Keys of a cheat's own, under anybody's name: real libsignal, real bundles, whatever contents. What it manages to read of
// others is kept, so that a test can say that there was nothing.
// Knows nothing of gatekeepers.
import { randomBytes } from 'node:crypto';
import { bindContent, placeOf, SALT_BYTES } from '@drawbridge/e2ee/binding';
import { commitmentOf } from '@drawbridge/e2ee/commitment';
import {
  type Content,
  type DecodedContent,
  decodeContent,
  encodeContent,
  MESSAGE_ID_BYTES,
} from '@drawbridge/e2ee/content';
import { createDevice } from '@drawbridge/e2ee/device-keys';
import { createMemoryStore, type MemoryStore } from '@drawbridge/e2ee/memory-store';
import { openSignalSuite } from '@drawbridge/e2ee/sessions';
import type { DeviceAddress, E2eeSuite, KeyPublication, RemoteBundle } from '@drawbridge/e2ee/suite';
import { attribute, childElement, childElements, type Element, element } from '@drawbridge/wire/element';
import { NS_CLIENT, NS_E2EE, NS_KEYS } from '@drawbridge/wire/namespaces';
import { bytesOf } from './stanzas.ts';

const domain = 'citadel.example';

export class Impostor {
  /** The texts of others that it could read. */
  readonly read: string[] = [];
  /** All that it could read, texts or not. */
  readonly contents: DecodedContent[] = [];
  readonly as: DeviceAddress;
  readonly #suite: E2eeSuite;
  readonly #store: MemoryStore;
  readonly #publication: KeyPublication;
  readonly registrationId: number;

  /** `local`: who its own suite takes it for, where that must be another than the one it poses as. */
  static async pose(as: DeviceAddress, local = as): Promise<Impostor> {
    const made = createDevice({ nowMs: Date.now() });
    if (!made.ok) throw new Error(made.error.code);
    const store = createMemoryStore();
    store.apply(made.value.changes);
    const opened = await openSignalSuite({ local, store, nowMs: Date.now });
    if (!opened.ok) throw new Error(opened.error.code);
    const { publication, keys } = made.value;
    return new Impostor(as, opened.value, store, publication, keys.registrationId);
  }

  private constructor(
    as: DeviceAddress,
    suite: E2eeSuite,
    store: MemoryStore,
    publication: KeyPublication,
    registrationId: number,
  ) {
    this.as = as;
    this.#suite = suite;
    this.#store = store;
    this.#publication = publication;
    this.registrationId = registrationId;
  }

  get fullJid(): string {
    return `${this.as.interopId}@${domain}/${this.as.deviceId}`;
  }

  /** Its keys as the answer to `<bundle/>`. */
  bundle(): Element {
    const { signedPrekey, kemPrekeys, prekeys } = this.#publication;
    const key = (name: string, each: { id: number; publicKey: Uint8Array; signature?: Uint8Array }): Element =>
      element(name, NS_KEYS, { id: String(each.id) }, [
        element('public', NS_KEYS, undefined, [base64(each.publicKey)]),
        ...(each.signature === undefined ? [] : [element('signature', NS_KEYS, undefined, [base64(each.signature)])]),
      ]);
    const attrs = { id: String(this.as.deviceId), registration: String(this.registrationId) };
    const device = element('device', NS_KEYS, attrs, [
      element('identity', NS_KEYS, undefined, [base64(this.#suite.identityKey)]),
      key('signed-prekey', signedPrekey!),
      key('prekey', prekeys[0]!),
      key('kem-prekey', kemPrekeys[0]!),
    ]);
    return element('bundle', NS_KEYS, { jid: `${this.as.interopId}@${domain}` }, [device]);
  }

  /** Begins a session with somebody whose bundle the gatekeeper gave. */
  async meet(interopId: string, answer: Element): Promise<void> {
    const started = await this.#suite.startSession(bundleOf(interopId, answer), staged =>
      this.#store.apply(staged.changes),
    );
    if (!started.ok) throw new Error(started.error.code);
  }

  /** A message stanza for one device, bound and committed to as its author would; `messageId`: to say it again. */
  async say(
    to: DeviceAddress,
    body: Content['body'],
    bound = true,
    messageId: Uint8Array = randomBytes(MESSAGE_ID_BYTES),
    more: Partial<Omit<Content, 'body' | 'messageId'>> = {},
  ): Promise<Element> {
    const encoded = encodeContent({ messageId, sentAtMs: Date.now(), ...more, body });
    if (!encoded.ok) throw new Error(encoded.error.code);
    const place = placeOf({ author: this.as, recipient: to.interopId, domain });
    const binding = { place, number: 1, salt: randomBytes(SALT_BYTES) };
    const content = bound ? bindContent(encoded.value, binding) : encoded.value;
    const commitment = element('commitment', NS_E2EE, undefined, [base64(commitmentOf(binding, content))]);
    const target = { to: to.interopId, devices: [{ deviceId: to.deviceId }], content };
    const encrypted = await this.#suite.encryptFor([target], staged => this.#store.apply(staged.changes));
    if (!encrypted.ok) throw new Error(encrypted.error.code);
    const { kind, bytes } = encrypted.value.ciphertexts[0]!;
    const attrs = { device: String(to.deviceId), kind };
    const ciphertext = element('ciphertext', NS_E2EE, attrs, [base64(bytes)]);
    const envelope = { suite: 'signal-1', 'from-device': String(this.as.deviceId) };
    return element(
      'message',
      NS_CLIENT,
      {
        from: this.fullJid,
        to: `${to.interopId}@${domain}/${to.deviceId}`,
        id: randomBytes(16).toString('base64url'),
        type: 'chat',
      },
      [element('envelope', NS_E2EE, envelope, bound ? [commitment, ciphertext] : [ciphertext])],
    );
  }

  /** Tries to read what a client sends; `author` is its device. Gives whether there was something for it. */
  async open(message: Element, author: DeviceAddress): Promise<boolean> {
    const envelope = childElement(message, 'envelope', NS_E2EE);
    const mine = childElements(envelope ?? message).find(
      each => each.name === 'ciphertext' && attribute(each, 'device') === String(this.as.deviceId),
    );
    if (mine === undefined) return false;
    const bytes = bytesOf(mine);
    const kind = attribute(mine, 'kind') === 'prekey' ? 'prekey' : 'session';
    const opened = await this.#suite.decrypt({ from: author, kind, bytes }, staged =>
      this.#store.apply(staged.changes),
    );
    if (!opened.ok || opened.value.kind !== 'content') return true;
    const content = decodeContent(opened.value.content);
    if (content.ok) this.contents.push(content.value);
    if (content.ok && content.value.body.kind === 'text') this.read.push(content.value.body.text);
    return true;
  }
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}

function bundleOf(interopId: string, answer: Element): RemoteBundle {
  const bundle = childElement(answer, 'bundle', NS_KEYS) ?? answer;
  const device = childElement(bundle, 'device', NS_KEYS);
  if (device === undefined) throw new Error('the answer holds no bundle');
  const signed = (name: string) => {
    const el = childElement(device, name, NS_KEYS)!;
    return {
      id: Number(attribute(el, 'id')),
      publicKey: bytesOf(childElement(el, 'public', NS_KEYS)),
      signature: bytesOf(childElement(el, 'signature', NS_KEYS)),
    };
  };
  return {
    address: { interopId, deviceId: Number(attribute(device, 'id')) },
    registrationId: Number(attribute(device, 'registration')),
    identityKey: bytesOf(childElement(device, 'identity', NS_KEYS)),
    signedPrekey: signed('signed-prekey'),
    kemPrekey: signed('kem-prekey'),
  };
}
