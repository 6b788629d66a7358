// What the IQ handlers of the domains share. Knows nothing of what they answer.
import type { Element } from '@drawbridge/wire/element';
import type { Budgets, Charge } from './budgets.ts';
import type { Limits } from './config-schema.ts';
import type { ContactLinkStore } from './consent/contact-link-store.ts';
import type { ContactStore } from './consent/contact-store.ts';
import type { People } from './consent/contacts.ts';
import type { Account, Device } from './enlistment/account.ts';
import type { AccountStore } from './enlistment/account-store.ts';
import type { CachedAccounts } from './enlistment/accounts.ts';
import type { Enlistment } from './enlistment/enlistment.ts';
import type { KeyDirectory } from './keys/key-directory.ts';
import type { SignatureChecks } from './keys/signature-checks.ts';
import type { Registry } from './providers/registry.ts';
import type { IqHandlers } from './routing/iq.ts';

export type IqHandlerDeps = {
  readonly domain: string;
  readonly people: AccountStore;
  readonly keys: KeyDirectory;
  readonly signatures: SignatureChecks;
  readonly accounts: CachedAccounts;
  readonly registry: Registry;
  readonly enlistment: Enlistment;
  readonly budgets: Budgets;
  /** How much one thing takes from a budget of this provider: ten times as much on trial. */
  readonly providerCost: (provider: number) => number;
  readonly limits: Limits;
  readonly mayReach: (from: Account, to: Account) => boolean;
  /** The same but for whoever is met by links alone. */
  readonly mayMeet: (from: Account, to: Account) => boolean;
  /** Sends an element to a device that is connected, in a message that is never stored. */
  readonly notifyDevice: (account: Account, device: Device, content: Element) => void;
  readonly contacts: People;
  readonly decided: ContactStore;
  readonly links: ContactLinkStore;
  /** By which what is kept grows old. */
  readonly judgeMs: () => number;
  readonly media: IqHandlers;
  readonly reports: IqHandlers;
};

export type IqDeps = IqHandlerDeps & {
  readonly identityKeyOf: (account: number) => Promise<Uint8Array | undefined>;
  /** What a directory question costs: the asker, and the asker's provider when it is a third party. */
  readonly lookupCharges: (account: Account) => Charge[];
};
