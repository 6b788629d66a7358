// `client.links`: personal links, by which strangers come to this person, and other people's, by which this person comes to them.
// Knows nothing of how a link is shown. Source: docs/protocol/10-consent-and-reports.md section 10.8.
import { randomBytes } from 'node:crypto';
import type { LocalDevice } from '../account/local-device.ts';
import type { Lifecycle } from '../connection/lifecycle.ts';
import { inherit } from '../devices/inheritance.ts';
import {
  addLink,
  type ContactLink,
  digestOf,
  fetchLinks,
  redeemLink,
  removeLink,
  requireLinks,
} from '../directory/contact-links.ts';
import type { Contact } from '../directory/people.ts';
import { needUserName } from '../directory/user-name.ts';
import { ClientError } from '../errors.ts';
import { encodeLink, type LinkText, parseLink } from './link-text.ts';

export const linkDefaults = { uses: 1, days: 7 } as const;
/** As the gatekeeper bounds them. */
const maxUses = 1_000;
const maxDays = 365;

export class Links {
  readonly #device: LocalDevice;
  readonly #lifecycle: Lifecycle;

  constructor(device: LocalDevice, lifecycle: Lifecycle) {
    this.#device = device;
    this.#lifecycle = lifecycle;
  }

  /**
   * Makes a link for this many people (1..1,000) and days (1..365). Whoever has it is accepted without a request, and expects
   * this person's identity key. It is shown once: the gatekeeper has a hash of its secret, and this device nothing.
   */
  async make(
    options: { readonly uses?: number; readonly days?: number } = {},
  ): Promise<ContactLink & { link: string }> {
    const { uses = linkDefaults.uses, days = linkDefaults.days } = options;
    for (const [detail, given, most] of [['uses', uses, maxUses] as const, ['days', days, maxDays] as const]) {
      if (!Number.isInteger(given) || given < 1 || given > most) throw new ClientError('invalid-argument', { detail });
    }
    const { request, people } = this.#lifecycle.live();
    const { domain, interopId } = this.#device.enlisted().account;
    const { provider, identifier } = await people.contact(interopId);
    if (provider === undefined || identifier === undefined) throw new ClientError('not-found', { detail: 'own name' });
    const name = needUserName(provider, identifier);
    const { identityKey } = await this.#device.keys();
    const secret = randomBytes(16).toString('base64url');
    await addLink(request, secret, uses, days * 86_400);
    const link = encodeLink({ domain, name, secret, identityKey });
    return { link, id: digestOf(secret), usesLeft: uses, expiresAtMs: this.#device.clock.nowMs() + days * 86_400_000 };
  }

  /** Those in force, of all devices of this person; the links themselves are known to those alone who have them. */
  async list(): Promise<readonly ContactLink[]> {
    return (await fetchLinks(this.#lifecycle.live().request)).links;
  }

  async revoke(id: string): Promise<void> {
    if (!/^[A-Za-z0-9_-]{43}$/.test(id)) throw new ClientError('invalid-argument', { detail: 'id' });
    await removeLink(this.#lifecycle.live().request, id);
  }

  /** Whether strangers of other services find this person by a link alone. */
  async required(): Promise<boolean> {
    return (await fetchLinks(this.#lifecycle.live().request)).required;
  }

  /** Whom this person has decided about, or written to, is no stranger. */
  async require(required: boolean): Promise<void> {
    await requireLinks(this.#lifecycle.live().request, required);
  }

  /**
   * Comes by somebody's link: then they can be written to, and what is written needs no acceptance. `verified`: it was handed
   * over in person, so that its key counts as compared. Rejects with `not-found` for a link of no use (any more), and
   * `untrusted-identity` when the person is known here by another key.
   */
  async open(link: string, options: { readonly verified?: boolean } = {}): Promise<Contact> {
    const text = typeof link === 'string' ? parseLink(link) : undefined;
    const { domain } = this.#device.enlisted().account;
    if (text === undefined) throw new ClientError('invalid-argument', { detail: 'link' });
    if (text.domain !== domain) {
      throw new ClientError('invalid-argument', { detail: `the link is of another gatekeeper, ${text.domain}` });
    }
    const { request, people } = this.#lifecycle.live();
    const interopId = await redeemLink(request, text.secret, domain);
    const found = await people.find(text.name.provider, text.name.identifier);
    if (found.interopId !== interopId) throw new ClientError('untrusted-identity', { detail: 'link' });
    await this.#expect(found, text, options.verified === true);
    return found;
  }

  /** Their key is the one in the link from now on, or was before. */
  async #expect({ interopId }: Contact, { name, identityKey }: LinkText, verified: boolean): Promise<void> {
    const { account, suite } = this.#device.enlisted();
    const known = await suite.readIdentity(interopId);
    if (known.ok) {
      if (Buffer.compare(known.value.identityKey, identityKey) !== 0) {
        throw new ClientError('untrusted-identity', { detail: 'link' });
      }
      if (verified) await suite.setVerified(interopId, identityKey, true, this.#device.commit);
      return;
    }
    const firstSeenAtMs = this.#device.clock.nowMs();
    const person = { ...name, interopId, providerNumber: 0, identityKey, verified, firstSeenAtMs };
    this.#device.transaction(tx => inherit(tx, account.domain, [person]));
  }
}
