// The hook to the provider's own users: who exists and whose password this is. Types only.
// Knows nothing of sessions, proofs or HTTP.

export type Authentication =
  | { readonly kind: 'authenticated' }
  /** Unknown user or wrong password: the same answer in the same time. */
  | { readonly kind: 'refused' }
  /** Too much is under way; nothing was checked. */
  | { readonly kind: 'busy' };

export type Registration =
  | { readonly kind: 'registered' }
  | { readonly kind: 'refused'; readonly code: 'identifier-taken' | 'identifier-refused' | 'password-refused' }
  | { readonly kind: 'busy' };

/**
 * A provider puts its own user base behind this; `sqlite-directory.ts` is the embedded default. Every adapter passes
 * testing/user-directory-contract.ts.
 */
export type UserDirectory = {
  readonly authenticate: (identifier: string, password: string) => Promise<Authentication>;
  /** Asked before every proof: a removed user gets none. */
  readonly exists: (identifier: string) => Promise<boolean>;
  /** Left out where people register elsewhere. Of two at once with one identifier exactly one is registered. */
  readonly register?: (identifier: string, password: string) => Promise<Registration>;
  /** The provider's statement that the person is in a region where the right to interoperability applies. */
  readonly region?: (identifier: string) => Promise<'covered' | undefined>;
  readonly close?: () => void | Promise<void>;
};
