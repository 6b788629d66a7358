// How a domain answers an IQ: a table from (type, namespace, element) to a function. Knows nothing of streams.
import type { Element } from '@drawbridge/wire/element';
import type { Account, Device } from '../enlistment/account.ts';

export type IqRequest = {
  readonly type: 'get' | 'set';
  readonly payload: Element;
  readonly account: Account;
  readonly device: Device;
  readonly nowMs: number;
};

/**
 * `condition` is an RFC 6120 section 8.3.3 condition; `application` an element of `urn:drawbridge:errors:1`.
 * An answer that waits for storage is a promise; it never rejects for a reason that the peer caused.
 */
export type IqAnswer =
  | { readonly kind: 'result'; readonly payload?: Element }
  | {
      readonly kind: 'error';
      readonly condition: string;
      readonly type?: 'auth' | 'cancel' | 'continue' | 'modify' | 'wait';
      readonly text?: string;
      readonly application?: Element;
    };

export type IqHandler = (request: IqRequest) => IqAnswer | Promise<IqAnswer>;

/** Keys are `iqKey(type, ns, name)`. */
export type IqHandlers = ReadonlyMap<string, IqHandler>;

export function iqKey(type: 'get' | 'set', ns: string, name: string): string {
  return `${type} ${ns} ${name}`;
}
